"""The real things, built once a process from checked settings.

Every function caches by process id, so that a forked child never shares its parent's sockets. The
threads of a process share what is cached.
"""

import os
import threading
from functools import cache

import redis
from celery import Celery
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from sqlalchemy import Engine

from shared import checks, feeds, pools, queue, tracing
from shared.breaker import Breaker
from shared.checks import Checked
from shared.db import connect
from shared.edge import Edge
from shared.feeds.base import SlicedSource, SnapshotSource, SupplierSettings
from shared.settings import settings

# A Redis that is away is waited for some ten seconds at most, then the work goes back.
REDIS_TIMEOUT_S = 3.0
REDIS_RETRIES = 2

_building = threading.RLock()  # one of each, also where two threads come first


def engine() -> Engine:
    """The database."""
    with _building:
        return _engine(os.getpid())


@cache
def _engine(_pid: int) -> Engine:
    given = settings()
    made = connect(
        given.database_url.get_secret_value(),
        pool_size=given.pool_size,
        statement_timeout_s=given.statement_timeout_s,
        pool_timeout_s=given.pool_timeout_s,
        pooled=given.database_pooled,
    )
    tracing.watch(made)
    if given.pool_report_s:
        pools.report(made, _redis(os.getpid()), every_s=given.pool_report_s)
    return made


@cache
def app() -> Celery:
    """The Celery application; made before the fork, since it forks."""
    return queue.make_app(settings())


def source(feed: str) -> SlicedSource:
    """An open connection to a feed's supplier, through the edge.

    Raises UnknownFeed, BadSettings.
    """
    with _building:
        return _source(os.getpid(), feed)


@cache
def _source(pid: int, feed: str) -> SlicedSource:
    return feeds.sliced(feed).open(*_account(pid, feed))


def snapshots(feed: str) -> SnapshotSource:
    """The same for a feed that says everything at once. Raises UnknownFeed, BadSettings."""
    return _snapshots(os.getpid(), feed)


@cache
def _snapshots(pid: int, feed: str) -> SnapshotSource:
    return feeds.snapshot(feed).open(*_account(pid, feed))


def _account(pid: int, feed: str) -> tuple[SupplierSettings, Edge]:
    account = settings().supplier(feed)
    return account, Edge.for_account(account, _redis(pid))


def check(feed: str) -> Checked:
    """Look at a feed's contract now, over connections of its own.

    Raises UnknownFeed, BadSettings, LoginRefused, Transient errors.
    """
    account = settings().supplier(feed)
    edge = Edge.for_account(account, _redis(os.getpid()))
    try:
        return checks.make(feeds.feed(feed), account, edge)
    finally:
        edge.close()


def redis_client() -> "redis.Redis":
    """The Redis of limiters and breakers. Raises BadSettings where none is named."""
    return _redis(os.getpid())


def breaker(account: str) -> Breaker:
    """The breaker of an account, to read how it stands. Raises BadSettings."""
    return Breaker(_redis(os.getpid()), account)


@cache
def _redis(_pid: int) -> "redis.Redis":
    return redis.Redis.from_url(
        settings().redis(),
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        health_check_interval=10,
        retry=Retry(ExponentialWithJitterBackoff(base=0.1, cap=1.0), REDIS_RETRIES),
    )
