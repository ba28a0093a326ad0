"""A private PostgreSQL and Valkey from Python wheels, and the processes beside them.

`servers.start_servers` and `servers.temporary_servers` are the library doors,
`supervisor.Supervisor` runs a demo, `detached.spawn_detached` and `detached.stop_running` are
`facet up` and `facet down`. Linux and macOS; of the pipeline it imports `shared.errors` alone.
"""
