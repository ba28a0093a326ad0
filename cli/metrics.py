"""`facet metrics`: the process that Prometheus asks."""

from typing import Annotated

import redis
import typer

from cli import system
from cli.output import Json, emit, say
from scheduler.steward import stop_on_signals
from shared import db, telemetry
from shared.accounts import accounts
from shared.errors import NotNow

ANSWER_S_MAX = 10  # a scrape that takes longer is no use


def serve_metrics(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The TCP port to answer on.")] = 9464,
    host: Annotated[
        str, typer.Option(help="The address to answer on; 0.0.0.0 in a container.")
    ] = "127.0.0.1",
    once: Annotated[
        bool, typer.Option("--once", help="Print them once, in Prometheus's text format.")
    ] = False,
    json: Json = False,
) -> None:
    """Answer Prometheus with the state of everything, until SIGTERM.

    \b
    Examples:
      facet metrics
      facet metrics --host 0.0.0.0 --port 9464
      facet metrics --once | grep facet_work_oldest_due_seconds

    One such process tells for all the others. FACET_DATABASE_URL_READONLY names a login that may
    only read. `--json` prints each sample once, one a line.
    """
    # Only this command needs them, and they take their time.
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415

    from shared import metrics  # noqa: PLC0415

    telemetry.be("metrics")
    given = system.settings()
    engine = db.connect(
        system.url_of(given, "readonly"),
        pool_size=1,
        statement_timeout_s=ANSWER_S_MAX,
        pooled=given.database_pooled,
    )
    db.require_schema(engine)
    client = redis.Redis.from_url(given.redis(), socket_timeout=5, socket_connect_timeout=5)
    facet = metrics.Facet(engine, client, accounts(given, client))
    if json:
        for metric in facet.collect():
            for sample in metric.samples:
                emit({"name": sample.name, "labels": sample.labels, "value": sample.value})
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(facet)
    if once:
        typer.echo(generate_latest(registry).decode(), nl=False)
        return
    stop = stop_on_signals()
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise NotNow(
            f"cannot answer on {host}:{port}: {error.strerror}", hint="`facet metrics --port 9465`"
        ) from error
    say(f"metrics on http://{host}:{port}/metrics")
    stop.wait()
    server.shutdown()
    thread.join()
