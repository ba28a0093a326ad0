"""The fault campaign: `python -m bench.faults --help`; docs/reliability.md has its figures."""
