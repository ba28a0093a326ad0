"""A person's first day with the command: the demo twice, then the background, then down."""

import json
import subprocess
from pathlib import Path

import psutil
import pytest

from cli.embedded.servers import Servers
from tests.cli.test_conventions import facet

STOCK = ("--natural", "400", "--labgrown", "400", "--seed", "7", "--limit", "0")


def did(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def running_in(home: Path) -> list[str]:
    """Processes whose command line names the data folder."""
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [line[:120] for line in lines if str(home) in line]


@pytest.mark.timeout(300)
def test_a_first_day(tmp_path: Path) -> None:
    home = tmp_path / "home"
    tmp_path.chmod(0o755)

    first = json.loads(did(facet("demo", *STOCK, "--json", FACET_HOME=str(home))).splitlines()[-1])
    assert first["states"] == {"nivoda-natural": "complete", "nivoda-labgrown": "complete"}
    assert first["stones"] == first["inserted"] == first["offers"] - first["rejected"]
    assert first["counted"] == first["offers"] > 700
    assert first["price_changes"] == first["inserted"]
    assert 0 < first["peak_memory_mb"]["consolidator"] < 300
    assert set(first["seconds"]) == {"plan", "fetch", "fold", "reconcile", "total"}
    assert running_in(home) == []

    second = json.loads(did(facet("demo", *STOCK, "--json", FACET_HOME=str(home))).splitlines()[-1])
    assert second["stones"] == first["stones"] + second["inserted"] - second["delisted"]
    assert 0 < second["inserted"] + second["changed"] < 60
    assert second["unchanged"] > 650

    try:
        did(facet("up", "--simulator", FACET_HOME=str(home)))
        again = facet("up", FACET_HOME=str(home))
        assert "was running already" in again.stderr
        assert "facet down" in facet("demo", FACET_HOME=str(home)).stderr

        run = facet("run", "start", "nivoda-natural", "--wait", "--json", FACET_HOME=str(home))
        ended = json.loads(did(run).splitlines()[-1])
        assert (ended["state"], ended["inserted"], ended["changed"]) == ("complete", 0, 0)

        stone = json.loads(did(facet("stone", "show", "1", "--json", FACET_HOME=str(home))))
        assert stone["price_changes"][-1]["new_price_cents"] == stone["price_cents"]
        assert stone["rule"] in did(facet("stone", "show", "1", FACET_HOME=str(home)))
        by_offer = facet("stone", "show", stone["offer_id"], "--json", FACET_HOME=str(home))
        assert json.loads(did(by_offer))["stone_id"] == stone["stone_id"]

        status = json.loads(did(facet("status", "--json", FACET_HOME=str(home))))
        assert {"postgres", "valkey", "steward", "worker"} <= set(status["processes"])
        assert sum(feed["on_sale"] for feed in status["catalogue"]) == second["stones"]
        assert status["dead_letters"] == 0

        file = facet("run", "start", "idex-natural", "--wait", "--json", FACET_HOME=str(home))
        of_file = json.loads(did(file).splitlines()[-1])
        assert of_file["state"] == "complete"
        assert of_file["inserted"] + of_file["rejected"] == of_file["counted"] > 300
        same = facet("run", "start", "idex-natural", "--wait", FACET_HOME=str(home))
        assert did(same) == ""
        assert f"(the same file as run {of_file['run_id'][:8]} read)" in same.stderr
        assert ", 0 stones written, 0 delisted, " in same.stderr
        refused = facet("run", "start", "idex-natural", "--incremental", FACET_HOME=str(home))
        assert refused.returncode == 1
        assert "next: `facet run start idex-natural`" in refused.stderr

        shown = facet("heatmap", "show", "nivoda-natural", "--json", FACET_HOME=str(home))
        heatmap = json.loads(did(shown))
        assert sum(offers for _, _, offers in heatmap["buckets"]) >= heatmap["total"]
        assert "█" in did(facet("heatmap", "show", "nivoda-natural", FACET_HOME=str(home)))
        picture = tmp_path / "heatmap.svg"
        did(facet("heatmap", "show", ended["run_id"], "--svg", str(picture), FACET_HOME=str(home)))
        assert picture.read_text().startswith("<svg")
    finally:
        did(facet("down", FACET_HOME=str(home)))
    assert running_in(home) == []
    assert "was not running" in facet("down", FACET_HOME=str(home)).stderr


@pytest.mark.timeout(200)
def test_servers_named_by_url_are_used_and_none_is_started(
    database_url: str, servers: Servers, tmp_path: Path
) -> None:
    services = {
        "FACET_DATABASE_URL": database_url,
        "FACET_BROKER_URL": str(servers.broker_url),
        "FACET_REDIS_URL": str(servers.redis_url),
        "FACET_HOME": str(tmp_path / "home"),
    }
    stock = ("--natural", "60", "--labgrown", "0", "--limit", "0")
    ended = json.loads(did(facet("demo", *stock, "--json", **services)).splitlines()[-1])
    assert ended["states"] == {"nivoda-natural": "complete", "nivoda-labgrown": "complete"}
    assert ended["stones"] == ended["offers"] - ended["rejected"] > 40
    assert not {"postgres", "valkey"} & set(ended["peak_memory_mb"])
    status = json.loads(did(facet("status", "--json", **services)))
    assert sum(feed["on_sale"] for feed in status["catalogue"]) == ended["stones"]
