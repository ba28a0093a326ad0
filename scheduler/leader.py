"""One of several stewards leads, by a lease in the database and by the database's clock.

Nothing goes wrong where two lead for a moment, since every step of a steward is safe beside itself:
leading spares the database the work of the others. A leader that dies is followed after its lease.
docs/decisions/0012-who-leads.md has the reasons.
"""

import time
from uuid import uuid4

import structlog
from sqlalchemy import Engine

from shared.db import transaction
from shared.errors import Transient
from sql import query

log = structlog.get_logger(__name__)

RENEWALS_A_LEASE = 3
NAME = "steward"


class Leadership:
    """What one process knows of it. A new one for every process start."""

    def __init__(self, engine: Engine, *, lease_s: float) -> None:
        self._engine = engine
        self._lease_s = lease_s
        self._owner = uuid4()
        self._leads = False
        self._asks_at = 0.0

    def leads(self) -> bool:
        """Whether this process leads now; asks the database a few times a lease, no more.

        Raises DatabaseUnavailable.
        """
        now = time.monotonic()
        if now >= self._asks_at:
            with transaction(self._engine) as tx:
                values = {"name": NAME, "owner": self._owner, "lease_s": self._lease_s}
                epoch = tx.execute(query("lead"), values).scalar_one_or_none()
            if (epoch is not None) != self._leads:
                self._leads = epoch is not None
                log.info("leads" if self._leads else "follows", epoch=epoch)
            self._asks_at = now + self._lease_s / RENEWALS_A_LEASE
        return self._leads

    def resign(self) -> None:
        """Let another one lead at once; a database that is away will notice by itself."""
        if not self._leads:
            return
        self._leads = False
        try:
            with transaction(self._engine) as tx:
                tx.execute(query("resign"), {"name": NAME, "owner": self._owner})
        except Transient as error:
            log.warning("not_resigned", error=str(error))
