"""The control: the same pages as plain Celery tasks, one message a page, no ledger.

`PLAIN_CELERY=default` has Celery's own settings; `careful` what is recommended for tasks that must
not be lost: late acknowledgement, reject on worker lost, prefetch 1, a short visibility timeout and
quick restores.
"""

import os

from celery import Celery
from sqlalchemy import text

from shared import wiring
from shared.db import transaction
from shared.feeds.base import Slice
from shared.settings import settings

FEED = "nivoda-natural"
PAGE = 5  # offers
VISIBLE_S = 5

CAREFUL = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "visibility_timeout": VISIBLE_S,
    "broker_transport_options": {
        "visibility_timeout": VISIBLE_S,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
}
DONE = "INSERT INTO plain_pages (number, offset_, offers) VALUES (:number, :offset, :offers)"

app = Celery("plain", broker=settings().broker_url.get_secret_value())
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
if os.environ.get("PLAIN_CELERY") == "careful":
    app.conf.update(CAREFUL)


@app.task(name="plain.land")  # type: ignore[untyped-decorator]
def land(number: int, offset: int) -> None:
    """Fetch a page and store that it is there."""
    page = wiring.source(FEED).page(Slice(), offset, PAGE)
    with transaction(wiring.engine()) as tx:
        tx.execute(text(DONE), {"number": number, "offset": offset, "offers": len(page.offers)})
