"""The switchboard: decisions, the door to it, what is counted and logged."""

import re
from typing import Any

import pytest

from simulator import faults
from simulator.board import Board
from simulator.faults import SWITCHES, BadFaultError
from simulator.switches import Hang, Slow, StoneSwitch
from tests.simulator.asking import COUNT, PAGE
from tests.simulator.faulty import Faulty

ALL: dict[str, dict[str, Any]] = {name: {} for name in SWITCHES} | {
    "schema-drift": {"added": ["Diamond.novelty"]}
}
SHORT = {"short-page": {"items": 3}}


def test_without_a_switch_nothing_is_decided_counted_or_logged() -> None:
    plain, switched = Faulty(), Faulty(SHORT)
    switched.control("DELETE")
    bodies = []
    for faulty in (plain, switched):
        bodies.append([faulty.ask(PAGE, {"limit": 9}).content, faulty.ask(COUNT).content])
        assert faulty.shown() == {}
        assert all("faults" not in line for line in faulty.logged())
    assert bodies[0] == bodies[1]


def test_every_switch_can_be_on_with_its_defaults_and_off_again() -> None:
    faulty = Faulty()
    present = faulty.switch(ALL)
    assert list(present) == list(SWITCHES)
    assert all(one["probability"] == 1 for one in present.values())
    assert faulty.control("GET").json() == present
    assert faulty.switch(present) == present  # what it says can be sent again
    assert faulty.control("DELETE").json() == {}
    assert len(faulty.page()) == 50


def test_a_switch_at_probability_zero_never_shows() -> None:
    faulty = Faulty({name: ALL[name] | {"probability": 0} for name in SWITCHES})
    plain = Faulty()
    assert [faulty.page(offset=50 * n) for n in range(7)] == [
        plain.page(offset=50 * n) for n in range(7)
    ]
    assert faulty.count({"labgrown": True}) == 300
    assert faulty.shown() == {}


def test_switches_are_named_in_the_log_and_counted_by_request() -> None:
    faulty = Faulty(SHORT | {"slow": {"ms": 0}})
    faulty.page()
    faulty.count()
    page, count = faulty.logged()
    assert page["faults"] == ["short-page", "slow"]
    assert page["items"] == 3
    assert count["faults"] == ["slow"]
    assert faulty.shown() == {"short-page": 1, "slow": 2}


def test_posting_changes_only_what_it_names() -> None:
    faulty = Faulty(SHORT)
    faulty.switch({"count-drift": {"share": 0.5, "how": "more"}})
    assert (len(faulty.page()), faulty.count()) == (3, 450)
    assert list(faulty.switch({"short-page": None})) == ["count-drift"]
    assert (len(faulty.page()), faulty.count()) == (50, 450)


def decisions(faulty: Faulty, requests: int = 60) -> list[list[str]]:
    for _ in range(requests):
        faulty.page()
    return [line.get("faults", []) for line in faulty.logged()]


HALF = {"short-page": {"probability": 0.5}}


def test_the_same_seed_gives_the_same_faults_and_another_others() -> None:
    first = decisions(Faulty(HALF))
    assert first == decisions(Faulty(HALF))
    assert first != decisions(Faulty(HALF, seed=2))
    assert first != decisions(Faulty({"short-page": {"probability": 0.5, "seed": 9}}))
    assert 15 < sum(map(len, first)) < 45


def test_a_fault_is_the_same_with_others_beside_it() -> None:
    alone = decisions(Faulty(HALF))
    beside = decisions(Faulty(HALF | {"slow": {"probability": 0.3, "ms": 0}}))
    assert [["short-page"] if "short-page" in one else [] for one in beside] == alone
    assert any("slow" in one for one in beside)


def test_what_is_drawn_for_a_fault_is_the_same_too() -> None:
    sizes = [[len(faulty.page()) for _ in range(9)] for faulty in (Faulty(HALF), Faulty(HALF))]
    assert sizes[0] == sizes[1]
    assert len(set(sizes[0])) > 3


def test_a_fault_can_come_late_and_a_few_times_only() -> None:
    faulty = Faulty()
    faulty.page()
    faulty.switch({"short-page": {"items": 3, "after": 2, "times": 2}})
    assert [len(faulty.page()) for _ in range(6)] == [50, 50, 3, 3, 50, 50]
    faulty.switch({"short-page": {"items": 4, "times": 1}})
    assert [len(faulty.page()) for _ in range(2)] == [4, 50]


def test_a_fault_can_be_kept_to_some_kinds_of_request() -> None:
    faulty = Faulty({"server-error": {"kinds": ["count"]}})
    assert faulty.ask(COUNT).status_code == 503
    assert len(faulty.page()) == 50


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"x", "not JSON"),
        (b"[]", "an object"),
        (b'{"slow": 3}', "slow: options are an object, not 3"),
        (b'{"slowly": {}}', "no switch is named 'slowly'; there are short-page, "),
        (b'{"slowly": null}', "no switch is named 'slowly'"),
        (b'{"slow": {"probability": 1.1}}', "slow: probability: "),
        (b'{"slow": {"probability": NaN}}', "slow: probability: "),
        (b'{"slow": {"ms": "soon"}}', "slow: ms: "),
        (b'{"slow": {"kinds": []}}', "slow: kinds: "),
        (b'{"slow": {"often": 1}}', "slow: often: "),
        (b'{"twins": {"after": 1}}', "twins: after: "),
        (b'{"schema-drift": {"removed": ["Nothing.at_all"]}}', "'Nothing' is no type"),
        (b'{"schema-drift": {}}', "name what is removed, renamed, added or retyped"),
        (b'{"slow": {}, "hang": {"seconds": 0}}', "hang: seconds: "),
    ],
)
def test_a_switch_that_cannot_be_read_changes_nothing(body: bytes, message: str) -> None:
    faulty = Faulty(SHORT)
    answer = faulty.control("POST", body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert list(faulty.control("GET").json()) == ["short-page"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("slow", Slow()),
        ("slow:probability=0.1,ms=20", Slow(probability=0.1, ms=20)),
        ("slow:kinds=page+count", Slow(kinds=("page", "count"))),
        ("hang:seconds=5,times=1,seed=3", Hang(seconds=5, times=1, seed=3)),
    ],
)
def test_a_flag_says_the_same_as_json(text: str, wanted: Any) -> None:
    assert faults.read_flag(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slowly", "no switch is named 'slowly'"),
        ("slow:fast", "'fast' is not key=value"),
        ("slow:ms=-1", "slow: ms: "),
        ("token-expiry:status=403", "token-expiry: status: "),
        ("schema-drift:renamed=DiamondItem.price", "is not Type.field:name"),
    ],
)
def test_a_flag_that_cannot_be_read_says_why(text: str, message: str) -> None:
    with pytest.raises(BadFaultError, match=re.escape(message)):
        faults.read_flag(text)


def test_a_share_of_the_requests_is_that_share() -> None:
    switch = Slow(probability=0.02)
    drawn = [faults.draw(switch, 7, number) is not None for number in range(1, 20_001)]
    assert 340 < sum(drawn) < 460  # three standard deviations are 60


def test_the_board_forgets_old_arrivals() -> None:
    now = [0.0]
    board = Board(1, clock=lambda: now[0])
    for second in range(200):
        now[0] = second
        board.arrived("natural")
    assert len(board.within(1_000)) == 60
    assert len(board.within(5)) == 5


def test_the_documented_switches_are_all_there() -> None:
    documented = """short-page endless count-drift churn inverted-strays token-expiry waf throttle
    slow hang deep-offset big-limit null-item null-labgrown dirty-values twins dead-media cents
    empty-200 json-error stale layout header wrong-kind no-prices two-files short-file ragged
    encoding"""
    assert set(documented.split()) | {"reset", "truncated", "server-error", "schema-drift"} == set(
        SWITCHES
    )
    of_stones = {name for name, kind in SWITCHES.items() if issubclass(kind, StoneSwitch)}
    assert of_stones == {"null-item", "null-labgrown", "dirty-values", "twins", "dead-media"}
