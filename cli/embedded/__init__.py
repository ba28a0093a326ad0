"""A private PostgreSQL and Valkey from Python wheels, and the processes beside them.

`servers.start_servers` is the library door, `supervisor.Supervisor` the one for `facet demo`,
`supervisor.spawn_detached` and `supervisor.stop_running` those for `facet up` and `facet down`.
Linux and macOS; imports nothing of the pipeline but `shared.errors`.
"""
