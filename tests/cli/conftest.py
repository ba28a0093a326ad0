"""The command, run inside the test's process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import system
from cli.embedded.servers import Servers
from consolidator import rulesets
from shared.db import transaction
from tests.cli.inside import Facet, forget_settings

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ruleset.yaml"


@pytest.fixture
def facet_inside(
    database_url: str,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[Facet]:
    """The command over a database of the test's own, in which a ruleset is active."""
    for name, value in {
        "FACET_HOME": str(tmp_path / "home"),
        "FACET_DATABASE_URL": database_url,
        "FACET_BROKER_URL": str(servers.broker_url),
        "FACET_REDIS_URL": str(servers.redis_url),
        "FACET_NIVODA_URL": "http://127.0.0.1:9/api/diamonds",
        "FACET_NIVODA_USERNAME": "ana",
        "FACET_NIVODA_PASSWORD": "hush-hush",
    }.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    engine = system.engine()
    with transaction(engine) as tx:
        source = EXAMPLE.read_text(encoding="utf-8")
        ruleset_id = rulesets.add(tx, source, source=EXAMPLE.name, author="ana")
        rulesets.activate(tx, ruleset_id, actor="ana", reason="a test")
    yield Facet(monkeypatch, capsys)
    forget_settings()
