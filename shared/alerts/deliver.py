"""Delivering one alert: the work behind the ledger's kind `alert`.

The attempt is written down before it is made. Whoever is killed between the channel's answer and
our commit leaves it `unknown`, and the next attempt sends the same words under the same key.
"""

from collections.abc import Callable
from uuid import uuid4

import structlog
from sqlalchemy import Engine

from shared import ledger
from shared.alerts.channels import Answer, Channel, Outgoing
from shared.alerts.content import Content
from shared.db import transaction
from shared.errors import BadSettings, ChannelRefused, ChannelUnavailable, ClaimLost
from shared.ledger import Claim
from sql import query

log = structlog.get_logger(__name__)


def deliver_alert(held: Claim, *, engine: Engine, channel: Callable[[str], Channel]) -> None:
    """Send one message once and note what came of it.

    channel   opens a channel by its name; raises BadSettings where it is not set up any more

    Raises ChannelUnavailable, ChannelRefused, BadSettings, ClaimLost, DatabaseUnavailable.
    """
    fence = {"item_id": held.item_id, "epoch": held.epoch}
    with transaction(engine) as tx:
        alert = tx.execute(query("begin_delivery"), fence).one_or_none()
    if alert is None:
        raise ClaimLost(f"alert item {held.item_id}, epoch {held.epoch}")
    content = Content.model_validate(alert.content)
    ended = {"alert_id": alert.alert_id, "epoch": held.epoch}
    try:
        answer = channel(alert.channel).send(Outgoing(alert.key, content))
    except (ChannelUnavailable, ChannelRefused, BadSettings) as error:
        outcome = "again" if isinstance(error, ChannelUnavailable) else "refused"
        with transaction(engine) as tx:
            values = {"outcome": outcome, "provider_id": None, "answer": str(error)}
            tx.execute(query("end_delivery"), ended | values)
        raise
    with transaction(engine) as tx:
        ledger.finish(tx, held)
        values = {"outcome": "sent", "provider_id": answer.provider_id, "answer": answer.text}
        tx.execute(query("end_delivery"), ended | values)
        tx.execute(query("alert_sent"), {"alert_id": alert.alert_id})
    log.info(
        "alert_sent",
        alert_id=alert.alert_id,
        channel=alert.channel,
        provider_id=answer.provider_id,
        incidents=len(content.entries),
    )


def send_test(engine: Engine, channel: Channel) -> Answer:
    """Send a test now, without the ledger, and keep what came of it.

    Raises ChannelUnavailable, ChannelRefused, DatabaseUnavailable.
    """
    message = Outgoing(uuid4(), Content(kind="test"))
    values = {
        "key": message.key,
        "channel": channel.name,
        "content": message.content.model_dump_json(),
    }
    try:
        answer = channel.send(message)
    except (ChannelUnavailable, ChannelRefused) as error:
        failed = {
            "state": "failed",
            "outcome": "refused",
            "provider_id": None,
            "answer": str(error),
        }
        with transaction(engine) as tx:
            tx.execute(query("add_test"), values | failed)
        raise
    sent = {"provider_id": answer.provider_id, "answer": answer.text}
    with transaction(engine) as tx:
        tx.execute(query("add_test"), values | sent | {"state": "sent", "outcome": "sent"})
    return answer
