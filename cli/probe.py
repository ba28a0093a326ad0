"""`facet health`: what a container's health check and a liveness probe ask."""

import socket
from typing import Annotated

import typer
from kombu.exceptions import OperationalError

from cli import system
from cli.output import COULD_NOT, Json, emit, fail, say
from shared import queue
from shared.db import transaction
from sql import query

ANSWER_S = 10.0
OVERDUE_S = 60.0  # beyond the time after which a message is sent again


def health(
    role: Annotated[
        str | None,
        typer.Argument(help="steward, scheduler, worker, consolidator; default: the servers."),
    ] = None,
    pid: Annotated[
        int, typer.Option(min=1, help="Of the process on this machine; in a container it is 1.")
    ] = 1,
    json: Json = False,
) -> None:
    """Whether the servers answer and a process on this machine takes work.

    \b
    Examples:
      facet health
      facet health worker
      facet health steward --json

    For a container's health check and a liveness probe. A worker that is alive but deaf to the
    broker is not healthy. A steward is judged by what stewards do: whether due work has been
    announced of late. Exit 0 healthy, 1 not.
    """
    if role is not None and role not in system.ROLES:
        fail(f"there is no role {role!r}", hint=f"one of {', '.join(system.ROLES)}", code=2)
    engine, given = system.engine(), system.settings()
    app = queue.make_app(given)
    trouble = ""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=ANSWER_S)
        if role in system.CELERY:
            node = f"{role}-{pid}@{socket.gethostname()}"
            if not app.control.ping(destination=[node], timeout=ANSWER_S):
                trouble = f"{node} does not answer"
    except (OperationalError, OSError) as error:
        trouble = f"the broker does not answer: {error}"
    if role == "steward" and not trouble:
        values = {"overdue_s": given.announce_again_s + OVERDUE_S}
        with transaction(engine) as tx:
            unheard = tx.execute(query("unannounced_kinds"), values).scalars().all()
        if unheard:
            trouble = f"no steward announces what is due: {', '.join(unheard)}"
    if json:
        emit({"healthy": not trouble, "role": role, "trouble": trouble or None})
    elif trouble:
        say(f"facet: {trouble}")
    raise SystemExit(COULD_NOT if trouble else 0)
