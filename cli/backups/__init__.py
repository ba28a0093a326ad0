"""Backups of the whole database: made, proved by restoring them, kept a while, put back."""
