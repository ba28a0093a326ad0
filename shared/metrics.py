"""Metrics for Prometheus, read from the ledger and from Redis at the moment they are asked for.

One process tells for all, and the pipeline itself counts nothing
(docs/decisions/0020-metrics-from-the-ledger.md). What grows within a run is a counter that begins
anew with the feed's next run, as a counter does whose process restarted.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

import redis
import structlog
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine

from shared import ledger, pools
from shared.accounts import Account
from shared.db import transaction
from shared.errors import FacetError
from sql import query

log = structlog.get_logger(__name__)

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
RUN_STATES = (
    *("planning", "fetching", "reconciling"),
    *("complete", "partial", "failed", "cancelled"),
)
BREAKER_STATES = ("closed", "open", "half-open")


class Facet(Collector):
    """Everything there is to tell. A source that does not answer is told as such, not as zero."""

    def __init__(self, engine: Engine, client: "redis.Redis", accounts: Sequence[Account]) -> None:
        self._engine = engine
        self._client = client
        self._accounts = accounts

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        answered = GaugeMetricFamily(
            "facet_source_up", "Whether the source of the metrics answered.", labels=["source"]
        )
        sources: dict[str, Callable[[], list[Metric]]] = {
            "database": self._ledger,
            "redis": self._shared,
        }
        for name, read in sources.items():
            try:
                found = read()
            except FacetError as error:
                log.warning("metrics_not_read", source=name, error=str(error))
                answered.add_metric([name], 0)
                continue
            answered.add_metric([name], 1)
            yield from found
        yield answered

    def _ledger(self) -> list[Metric]:
        with transaction(self._engine) as tx:
            return [*_work(tx), *_letters(tx), *_feeds(tx), *_connections(tx)]

    def _shared(self) -> list[Metric]:
        return [*_accounts(self._accounts), *_pools(pools.said(self._client))]


def _work(tx: Connection) -> Iterator[Metric]:
    rows = {row.kind: row for row in tx.execute(query("metric_work"))}
    named: dict[str, tuple[str, str]] = {
        "facet_work_oldest_due_seconds": (
            "oldest_due_s",
            "Lag: how long the oldest due work could have been done.",
        ),
        "facet_leases_expired": ("expired", "Work whose holder fell silent."),
        "facet_work_retrying": ("retrying", "Due work that was tried before."),
        "facet_work_attempts_max": ("attempts_max", "Most attempts of any open work."),
        "facet_work_unannounced": ("unannounced", "Due work that no steward has announced."),
    }
    for name, (column, says) in named.items():
        metric = GaugeMetricFamily(name, says, labels=["kind"])
        for kind in ledger.KINDS:
            metric.add_metric([kind], getattr(rows[kind], column) if kind in rows else 0)
        yield metric
    items = GaugeMetricFamily("facet_work_items", "Open work.", labels=["kind", "state"])
    for kind in ledger.KINDS:
        for state in ("due", "held"):
            items.add_metric([kind, state], getattr(rows[kind], state) if kind in rows else 0)
    yield items


def _letters(tx: Connection) -> Iterator[Metric]:
    metric = GaugeMetricFamily(
        "facet_dead_letters", "Dead letters that nobody has settled.", labels=["kind", "reason"]
    )
    for row in tx.execute(query("metric_dead_letters")):
        metric.add_metric([row.kind, row.reason], row.letters)
    yield metric


def _feeds(tx: Connection) -> Iterator[Metric]:
    rows = tx.execute(query("metric_feeds")).all()
    gauges: dict[str, tuple[str, str]] = {
        "facet_feed_paused": ("paused", "Whether the feed is paused."),
        "facet_feed_watermark_age_seconds": (
            "watermark_age_s",
            "Everything older than this is known of the feed.",
        ),
        "facet_feed_complete_age_seconds": (
            "complete_age_s",
            "Time since the feed's last complete run ended.",
        ),
    }
    for name, (column, says) in gauges.items():
        gauge = GaugeMetricFamily(name, says, labels=["feed"])
        for row in rows:
            if getattr(row, column) is not None:
                gauge.add_metric([row.feed], float(getattr(row, column)))
        yield gauge
    states = GaugeMetricFamily(
        "facet_run_state", "1 for the state of the feed's latest run.", labels=["feed", "state"]
    )
    offers = CounterMetricFamily(
        "facet_run_offers", "Offers of the feed's latest run, by stage.", labels=["feed", "stage"]
    )
    changes = CounterMetricFamily(
        "facet_run_price_changes", "Price changes of the feed's latest run.", labels=["feed"]
    )
    requests = CounterMetricFamily(
        "facet_run_requests", "Requests of the feed's latest run.", labels=["feed"]
    )
    for row in rows:
        for state in RUN_STATES if row.state else ():
            states.add_metric([row.feed, state], row.state == state)
        for stage in ("landed", "offers", "written", "rejected"):
            name = "folded" if stage == "offers" else stage
            offers.add_metric([row.feed, name], getattr(row, stage))
        changes.add_metric([row.feed], row.price_changes)
        requests.add_metric([row.feed], row.requests)
    yield from (states, offers, changes, requests)
    for stage in ("fetch", "fold"):
        took = HistogramMetricFamily(
            f"facet_{stage}_seconds",
            f"How long partitions of the feed's latest run took to {stage}.",
            labels=["feed"],
        )
        for row in rows:
            buckets, total_s = _histogram(getattr(row, f"{stage}_ms"))
            took.add_metric([row.feed], buckets=buckets, sum_value=total_s)
        yield took


def _histogram(took_ms: Sequence[int]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper bound, and the sum in seconds."""
    counts = [0] * (len(SECONDS) + 1)
    for one in took_ms:
        counts[bisect_left(SECONDS, one / 1000)] += 1
    bounds = [*(f"{bound:g}" for bound in SECONDS), "+Inf"]
    sums = [float(sum(counts[: place + 1])) for place in range(len(counts))]
    return list(zip(bounds, sums, strict=True)), sum(took_ms) / 1000


def _connections(tx: Connection) -> Iterator[Metric]:
    there = GaugeMetricFamily(
        "facet_database_connections", "Connections to the server, by who has them.", labels=["role"]
    )
    sums: dict[str, int] = {}
    for row in tx.execute(query("connections_there")):
        role = row.name.split("/")[1] if row.name.startswith("facet/") else "other"
        sums[role] = sums.get(role, 0) + row.connections
    for role, connections in sorted(sums.items()):
        there.add_metric([role], connections)
    yield there
    yield GaugeMetricFamily(
        "facet_database_connections_max",
        "Connections that the server takes from us.",
        value=tx.execute(query("connections_room")).scalar_one(),
    )


def _accounts(accounts: Sequence[Account]) -> Iterator[Metric]:
    rate = GaugeMetricFamily(
        "facet_limit_rate", "Requests a second that are allowed.", labels=["account", "which"]
    )
    sent = CounterMetricFamily(
        "facet_limit_requests", "Requests sent, over all processes.", labels=["account"]
    )
    flying = GaugeMetricFamily("facet_limit_in_flight", "Requests under way.", labels=["account"])
    state = GaugeMetricFamily(
        "facet_breaker_state", "1 for the state of the breaker.", labels=["account", "state"]
    )
    openings = CounterMetricFamily(
        "facet_breaker_openings", "So often the breaker has opened.", labels=["account"]
    )
    for one in accounts:
        used, now = one.limiter.used(), one.breaker.state()
        for which, value in (("nominal", one.limiter.rate_per_s), ("present", used.rate_per_s)):
            if value is not None:
                rate.add_metric([one.limiter.key, which], value)
        sent.add_metric([one.limiter.key], used.total)
        flying.add_metric([one.limiter.key], used.in_flight)
        for name in BREAKER_STATES:
            state.add_metric([one.limiter.key, name], now.name == name)
        openings.add_metric([one.limiter.key], now.openings)
    yield from (rate, sent, flying, state, openings)


def _pools(said: Iterable[pools.Said]) -> Iterator[Metric]:
    labels = ["role", "process"]
    gauges = {
        "in_use": GaugeMetricFamily(
            "facet_pool_in_use", "Database connections in use.", labels=labels
        ),
        "most": GaugeMetricFamily(
            "facet_pool_max", "Database connections that the process may open.", labels=labels
        ),
        "waiting": GaugeMetricFamily(
            "facet_pool_waiting", "Threads that wait for a connection.", labels=labels
        ),
    }
    counters = {
        "waited_s": CounterMetricFamily(
            "facet_pool_wait_seconds", "Time spent waiting for connections.", labels=labels
        ),
        "timeouts": CounterMetricFamily(
            "facet_pool_timeouts", "Waits that ended without a connection.", labels=labels
        ),
    }
    for one in said:
        for column, metric in (gauges | counters).items():
            metric.add_metric([one.role, one.process], getattr(one.use, column))
    yield from gauges.values()
    yield from counters.values()
