"""Suppliers to run against. Imports nothing of the pipeline; `python -m simulator` serves one."""
