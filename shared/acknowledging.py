"""What a Celery worker has of a message, with failpoints around its acknowledgement."""

from celery.worker.request import Request

from shared import failpoints


class Acknowledging(Request):  # type: ignore[misc]
    """Celery's own otherwise."""

    def acknowledge(self) -> None:
        failpoints.reached("ack.before")
        super().acknowledge()
        failpoints.reached("ack.after")
