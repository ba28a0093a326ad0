"""Incidents and alerts: what wants a person, and how it reaches one."""
