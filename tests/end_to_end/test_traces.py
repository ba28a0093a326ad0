"""A whole run is one trace: who queued what, what it asked the supplier, what it wrote."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Engine

from shared import otel, tracing
from tests.builders import rows
from tests.end_to_end.conftest import MakeShop, StartSupplier

FEED = "nivoda-natural"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    tracing.on.cache_clear()
    kept = InMemorySpanExporter()
    traces = otel.Traces(kept)
    monkeypatch.setattr(tracing, "_of", lambda _pid: traces)
    return kept


def test_a_run_is_one_trace_from_its_start_to_its_end(
    engine: Engine, make_shop: MakeShop, still: StartSupplier, spans: InMemorySpanExporter
) -> None:
    otel.watch(engine)
    shop = make_shop(still(400, 3), partition_offers_max=150)
    assert shop.pipeline.run(FEED)["state"] == "complete"
    found = spans.get_finished_spans()
    by_id = {span.context.span_id: span for span in found}

    def parents(span: ReadableSpan) -> list[str]:
        names = []
        while span.parent is not None:
            span = by_id[span.parent.span_id]
            names.append(span.name)
        return names

    def of(name: str) -> list[ReadableSpan]:
        return [span for span in found if span.name == name]

    assert len({span.context.trace_id for span in found}) == 1
    assert {tuple(parents(span)) for span in of("plan")} == {("run start",)}
    assert {tuple(parents(span)) for span in of("fetch")} == {("plan", "run start")}
    assert {tuple(parents(span)) for span in of("fold")} == {("fetch", "plan", "run start")}
    (reconcile,) = of("reconcile")
    assert {link.context.span_id for link in reconcile.links} == {
        span.context.span_id for span in of("fold")
    }
    assert len(of("fold")) > 1
    pages = [span for span in of("supplier page") if parents(span)[0] == "fetch"]
    wanted = {"facet.offset", "facet.price_low", "facet.received"}
    assert all(wanted <= dict(page.attributes or {}).keys() for page in pages)
    asked = [span for span in of("supplier request") if parents(span)[0] == "supplier page"]
    assert {dict(span.attributes or {})["http.response.status_code"] for span in asked} == {200}
    assert all(parents(span)[0] == "fold" for span in of("db upsert_stones"))
    secret = shop.pipeline.supplier.password.get_secret_value()
    values = [str(v) for span in found for v in dict(span.attributes or {}).values()]
    assert not any("Bearer" in value or value == secret for value in values)
    carried = rows(engine, "SELECT max(length(traceparent)) AS longest FROM work_items")
    assert carried == [{"longest": 55}]
