"""The real things, built once a process from checked settings.

Every function caches by process id, so that a forked child never shares its parent's sockets.
"""

import os
from functools import cache

import redis
from celery import Celery
from sqlalchemy import Engine

from shared import queue
from shared.db import connect
from shared.edge import Edge
from shared.feeds import feed as find_feed
from shared.feeds.base import SlicedSource
from shared.settings import settings


def engine() -> Engine:
    """The database."""
    return _engine(os.getpid())


@cache
def _engine(_pid: int) -> Engine:
    given = settings()
    return connect(
        given.database_url.get_secret_value(),
        pool_size=given.pool_size,
        statement_timeout_s=given.statement_timeout_s,
    )


@cache
def app() -> Celery:
    """The Celery application; made before the fork, since it forks."""
    return queue.make_app(settings())


def source(feed: str) -> SlicedSource:
    """An open connection to a feed's supplier, through the edge.

    Raises UnknownFeed, BadSettings.
    """
    return _source(os.getpid(), feed)


@cache
def _source(pid: int, feed: str) -> SlicedSource:
    found = find_feed(feed)
    account = settings().supplier(feed)
    return found.open(account, Edge.for_account(account, _redis(pid)))


@cache
def _redis(_pid: int) -> "redis.Redis":
    return redis.Redis.from_url(
        settings().redis(), socket_timeout=5, socket_connect_timeout=5, health_check_interval=10
    )
