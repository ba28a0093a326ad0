"""`facet ruleset`, `facet rate` and `facet stone`, as a person types them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from cli.embedded.servers import Servers
from tests.builders import rows
from tests.cli.test_conventions import assert_fails, facet
from tests.consolidator.landing import activate, folded, stone
from tests.consolidator.test_experiments import comparing, kept
from tests.consolidator.test_fold import offer
from tests.consolidator.test_reprice import FIVE_TIMES, drain
from tests.pricing.writing import ruleset_text

Services = dict[str, str]


@pytest.fixture
def services(database_url: str, servers: Servers) -> Services:
    """Settings that name real servers."""
    return {"FACET_DATABASE_URL": database_url, "FACET_BROKER_URL": str(servers.broker_url)}


@pytest.fixture
def five_times(tmp_path: Path) -> str:
    file = tmp_path / "five.yaml"
    file.write_text(FIVE_TIMES)
    return str(file)


def lines(*words: str, code: int = 0, **environment: str) -> list[Any]:
    """What a command says as JSON."""
    done = facet(*words, "--json", **environment)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def asked(stdin: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        env={k: v for k, v in os.environ.items() if not k.startswith("FACET_")} | environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_lint_names_file_line_and_rule_and_needs_no_database(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        ruleset_text(
            "when: {cost: {to: 499.99}}\nprice: {percent: 50}",
            "when: {cost: {from: 500}}\nprice: {percent: 40}",
        )
    )
    done = facet("ruleset", "lint", str(file))
    assert done.returncode == 1
    assert f"{file}:4: rule 'r1': boundary:" in done.stdout
    found = facet("ruleset", "lint", str(file), "--json").stdout.splitlines()
    assert {"boundary", "gap", "no_default"} <= {json.loads(one)["finding"] for one in found}
    file.write_text(ruleset_text("price: {percent: 50}"))
    assert facet("ruleset", "lint", str(file)).returncode == 0


def test_a_ruleset_from_import_to_rollback(
    engine: Engine,
    services: Services,
    five_times: str,
) -> None:
    first = activate(engine)
    folded(engine, [offer("A"), offer("B")])

    (imported,) = lines("ruleset", "import", five_times, **services)
    assert imported["state"] == "draft"
    second = str(imported["ruleset_id"])
    (again,) = lines("ruleset", "import", five_times, **services)
    assert again["ruleset_id"] == imported["ruleset_id"]
    assert [r["state"] for r in lines("ruleset", "list", **services)] == ["active", "draft"]
    (change,) = [
        one
        for one in lines("ruleset", "diff", str(first), five_times, code=1, **services)
        if one["where"].endswith("price") or one["what"] == "added"
    ]
    assert "× 5" in change["after"]
    assert lines("ruleset", "diff", second, five_times, **services) == []
    assert facet("ruleset", "diff", "99", second, **services).returncode == 2

    (found,) = lines("ruleset", "preview", second, **services)
    assert (found["stones"], found["risen"], found["ruleset_id"]) == (2, 2, int(second))
    bound = ("--max-change", "15%", "--max-share", "5%")
    refused = facet("ruleset", "activate", second, "--reason", "spring", *bound, **services)
    assert_fails(refused, "2 stones, 100.00 %", f"facet ruleset preview {second}", 1)
    assert lines("ruleset", "list", **services)[0]["ruleset_id"] == first

    bound = ("--max-change", "150%")
    (done,) = lines("ruleset", "activate", second, "--reason", "spring", *bound, **services)
    assert done == {"ruleset_id": int(second), "activated": True}
    (status,) = lines("ruleset", "status", **services)
    assert status["active"]["ruleset_id"] == int(second)
    assert (status["reprices"][0]["state"], status["reprices"][0]["eta_s"]) == ("open", None)
    drain(engine)
    (status,) = lines("ruleset", "status", **services)
    assert (status["reprices"][0]["state"], status["reprices"][0]["price_changes"]) == ("done", 2)

    (back,) = lines("ruleset", "rollback", "--reason", "too dear", **services)
    assert back["ruleset_id"] == first
    (cancelled,) = lines("ruleset", "cancel", "--reason", "wait", **services)
    assert cancelled["state"] == "cancelled"
    (asked_for,) = lines("ruleset", "reprice", "--reason", "go on", **services)
    assert asked_for["reprice_id"] == cancelled["reprice_id"] + 1
    drain(engine)
    history = lines("stone", "history", "A", **services)
    assert [(h["cause"], h["new_price_cents"]) for h in history] == [
        ("feed", 20_000),
        ("activation", 50_000),
        ("reprice", 20_000),
    ]
    (shown,) = lines("ruleset", "show", second, **services)
    assert [one["action"] for one in shown["events"]] == ["ruleset.activate"]
    assert facet("ruleset", "show", second, "--file", **services).stdout == FIVE_TIMES


def test_a_stone_and_one_that_does_not_exist_are_explained(
    engine: Engine,
    services: Services,
    five_times: str,
) -> None:
    activate(engine)
    folded(engine, [offer("A")])
    assert lines("ruleset", "import", five_times, **services)
    (why,) = lines("stone", "explain", "A", **services)
    assert (why["price_cents"], why["rule"]) == (stone(engine)["price_cents"], "twice")
    (other,) = lines("stone", "explain", "A", "--ruleset", "2", **services)
    assert other["price_cents"] == 50_000
    given = '{"kind": "natural", "cost_cents": 250000, "cost_currency": "USD"}'
    words = ("stone", "explain", "-", "--json")
    assert json.loads(asked(given, *words, **services).stdout)["price_cents"] == 500_000
    refused = asked(given.replace("USD", "EUR"), *words, **services)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["refusal"] == "no_rate"
    for wrong in ("{", "[]"):
        assert asked(wrong, *words, **services).returncode == 2
    assert_fails(
        asked('{"size": 1}', *words, **services), "a stone has no 'size'", "it has offer_id", 1
    )


def test_a_rate_is_tried_set_and_listed(engine: Engine, services: Services) -> None:
    activate(engine)
    folded(engine, [offer("A")])
    words = ("rate", "set", "EUR", "1.2", "--source", "ECB", "--reason", "weekly")
    (tried,) = lines(*words, "--dry-run", **services)
    assert tried["stones"] == 1
    assert rows(engine, "SELECT * FROM rates") == []
    assert lines(*words, **services)[0]["set"]
    (kept,) = lines("rate", "list", **services)
    assert (kept["currency"], kept["source"], kept["present"]) == ("EUR", "ECB", True)
    assert float(kept["rate"]) == 1.2
    wrong = facet("rate", "set", "EUR", "one", "--source", "x", "--reason", "y", **services)
    assert_fails(wrong, "'one' is no number", "1.1527", 2)
    late = facet(*words, "--as-of", "2999-01-01", **services)
    assert_fails(late, "yet to come", "--as-of", 2)


def test_tables_fit_eighty_columns(
    engine: Engine,
    services: Services,
    five_times: str,
) -> None:
    activate(engine)
    folded(engine, [offer(name, price=1_000_000_000 + n) for n, name in enumerate("ABCDEFGH")])
    facet("ruleset", "activate", five_times, "--reason", "spring", **services)
    drain(engine)
    for words in ("list", "status", "preview 1", "diff 1 2", "show 2"):
        done = facet("ruleset", *words.split(), **services, COLUMNS="80")
        assert done.returncode == (words == "diff 1 2"), done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 80, words
    for words in ("show A", "history A", "explain A"):
        done = facet("stone", *words.split(), **services, COLUMNS="80")
        assert max(map(len, done.stdout.splitlines())) <= 80, words


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        ("ruleset show 99", "there is no ruleset '99'", "facet ruleset list"),
        ("ruleset rollback --reason x", "no ruleset was active before", "facet ruleset list"),
        ("ruleset cancel --reason x", "no reprice is open", "facet ruleset status"),
        ("ruleset report", "no experiment", "docs/pricing.md"),
        ("ruleset activate 1 --reason x --max-share lots", "no percentage", "--max-share 15%"),
    ],
)
def test_what_cannot_be_done_says_why(
    engine: Engine,
    services: Services,
    words: str,
    sentence: str,
    hint: str,
) -> None:
    activate(engine)
    code = 2 if "lots" in words else 1
    assert_fails(facet(*words.split(), **services), sentence, hint, code)


def test_an_experiment_is_reported_arm_by_arm(engine: Engine, services: Services) -> None:
    activate(engine, comparing(kept(engine, FIVE_TIMES)))
    folded(engine, [offer(f"S{n}", price=900_000_000 + n) for n in range(20)])
    control, variant = lines("ruleset", "report", **services)
    assert (control["arm"], variant["arm"]) == ("control", "variant")
    assert control["stones"] + variant["stones"] == 20
    done = facet("ruleset", "report", **services, FORCE_COLOR="1", TERM="dumb", COLUMNS="80")
    assert "50 % of the stones" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
