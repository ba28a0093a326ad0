"""What a wrong command line gets: one sentence, the command that helps, its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from cli.embedded.servers import Servers
from shared.db import transaction
from tests.builders import open_run

NOWHERE = "127.0.0.1:9"


def facet(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would, with nothing of the test's own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FACET_")}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def services(database_url: str, servers: Servers) -> dict[str, str]:
    """Settings that name real servers."""
    return {"FACET_DATABASE_URL": database_url, "FACET_BROKER_URL": str(servers.broker_url)}


@pytest.fixture
def account() -> dict[str, str]:
    return {
        "FACET_NIVODA_URL": f"http://{NOWHERE}/api/diamonds",
        "FACET_NIVODA_USERNAME": "ana",
        "FACET_NIVODA_PASSWORD": "hush-hush",
    }


def assert_fails(
    done: subprocess.CompletedProcess[str], sentence: str, hint: str, code: int
) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert sentence in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush-hush" not in done.stderr


@pytest.mark.parametrize("words", ["status", "run list", "stone show 1", "ruleset list"])
def test_where_nothing_runs_the_command_says_how_to_start(words: str, tmp_path: Path) -> None:
    done = facet(*words.split(), FACET_HOME=str(tmp_path / "home"))
    assert_fails(done, "nothing runs in", "facet up", 1)


def test_a_database_that_is_down(account: dict[str, str]) -> None:
    done = facet(
        "status",
        FACET_DATABASE_URL=f"postgresql+psycopg://ana:hush-hush@{NOWHERE}/facet",
        FACET_BROKER_URL=f"redis://{NOWHERE}/0",
    )
    assert_fails(done, "the database does not answer", "next:", 1)


def test_an_unknown_feed(services: dict[str, str]) -> None:
    assert_fails(facet("run", "start", "acme", **services), "acme", "nivoda-natural", 2)


def test_a_feed_without_its_account(services: dict[str, str]) -> None:
    done = facet("run", "start", "nivoda-natural", **services)
    assert_fails(done, "FACET_NIVODA_URL", "facet up --simulator", 2)


def test_a_run_without_a_ruleset(services: dict[str, str], account: dict[str, str]) -> None:
    done = facet("run", "start", "nivoda-natural", **services | account)
    assert_fails(done, "no ruleset is active", "facet ruleset activate", 1)


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "cannot read"), ("rules: [", "line"), ("name: x", "rules")]
)
def test_an_unreadable_ruleset_changes_nothing(
    engine: Engine, services: dict[str, str], tmp_path: Path, content: str | None, sentence: str
) -> None:
    file = tmp_path / "rules.yaml"
    if content is not None:
        file.write_text(content)
    done = facet("ruleset", "activate", str(file), "--reason", "spring", **services)
    assert done.returncode in {1, 2}
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    with transaction(engine) as tx:
        assert tx.execute(text("SELECT count(*) FROM rulesets")).scalar_one() == 0


def test_an_old_schema(engine: Engine, services: dict[str, str]) -> None:
    with transaction(engine) as tx:
        tx.execute(text("DELETE FROM alembic_version"))
    assert_fails(facet("status", **services), "at schema none", "facet db migrate", 1)


def test_a_wrong_setting_is_named(services: dict[str, str]) -> None:
    done = facet("status", **services, FACET_LEASE_S="soon")
    assert_fails(done, "FACET_LEASE_S", "docs/settings.md", 2)


def test_a_second_run_of_a_feed(
    engine: Engine, services: dict[str, str], account: dict[str, str]
) -> None:
    rules = Path(__file__).parents[2] / "docs" / "examples" / "ruleset.yaml"
    done = facet("ruleset", "activate", str(rules), "--reason", "first", **services)
    assert done.returncode == 0, done.stderr
    run_id = open_run(engine)
    done = facet("run", "start", "nivoda-natural", **services | account)
    assert_fails(done, "is still planning", f"facet run watch {str(run_id)[:8]}", 5)


def test_json_is_one_object_a_line(engine: Engine, services: dict[str, str]) -> None:
    run_id = open_run(engine)
    done = facet("run", "list", "--json", **services)
    assert [json.loads(line)["run_id"] for line in done.stdout.splitlines()] == [str(run_id)]
    status = json.loads(facet("status", "--json", **services).stdout)
    assert status["backlog"][0]["kind"] == "plan"
    shown = json.loads(facet("run", "show", str(run_id)[:8], "--json", **services).stdout)
    assert shown["state"] == "planning"


def test_down_says_in_json_whether_anything_ran(tmp_path: Path) -> None:
    done = facet("down", "--json", FACET_HOME=str(tmp_path / "home"))
    assert json.loads(done.stdout) == {"home": str(tmp_path / "home"), "stopped": False}


def test_a_run_is_cancelled_with_its_reason(engine: Engine, services: dict[str, str]) -> None:
    run_id = open_run(engine)
    done = facet("run", "cancel", str(run_id), "--reason", "wrong account", **services)
    assert done.returncode == 0, done.stderr
    again = facet("run", "cancel", str(run_id), "--reason", "wrong account", **services)
    assert_fails(again, "cancelled already", "facet run list", 1)


@pytest.mark.parametrize("role", ["stewardess", "demo"])
def test_a_role_that_is_none(role: str, services: dict[str, str]) -> None:
    assert_fails(facet("serve", role, **services), role, "steward", 2)
