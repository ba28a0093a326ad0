"""How far runs are, in words and pictures."""

from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine

from cli import health, top
from cli.following import code_of, done_share, time_left
from shared.errors import DatabaseUnavailable
from tests.builders import FEED, held_item
from tests.cli.inside import Facet


def run(**wanted: Any) -> dict[str, Any]:
    defaults = {"state": "fetching", "planned_offers": 1_000, "landed": 250, "fetch_s": 60.0}
    return defaults | wanted


@pytest.mark.parametrize(
    ("row", "share", "left"),
    [
        (run(), 0.25, "0:03:00"),
        (run(landed=10), 0.01, "–"),  # too early to tell
        (run(landed=1_200), 0.99, "0:00:01"),  # more than planned: not done before it is done
        (run(planned_offers=0), 0.0, "–"),
        (run(state="planning", fetch_s=None), 0.25, "–"),
        (run(state="complete"), 1.0, "–"),
    ],
)
def test_how_much_is_done_and_how_long_the_rest_takes(
    row: dict[str, Any], share: float, left: str
) -> None:
    assert done_share(row) == pytest.approx(share)
    assert time_left(row) == left


def test_the_worst_of_several_runs_decides_the_exit_code() -> None:
    assert code_of({"complete"}) == 0
    assert code_of({"complete", "partial"}) == 3
    assert code_of({"partial", "cancelled"}) == 2
    assert code_of({"partial", "cancelled", "failed"}) == 1


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (60, 12)])
def test_the_whole_screen_fits_its_terminal(
    engine: Engine, facet_inside: Facet, width: int, height: int
) -> None:
    held_item(engine)
    facet_inside.ok("feed", "pause", FEED, "--because", "why not " * 20)
    found = health.gather(engine)
    look = top.Look(engine)
    look.draw()
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as caught:
        drawn = top.picture(found, look._runs, look._partitions, "", lines=height)
        console.print(drawn, height=height)
    lines = caught.get().rstrip("\n").splitlines()
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    if height >= 24:
        said = "\n".join(lines)
        assert f"{FEED} 1" in said  # the partition that is being fetched
        assert "fetch" in said
        assert "is paused" in said


def test_a_database_that_goes_away_leaves_the_last_picture_with_its_age(
    engine: Engine, facet_inside: Facet, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = top.Look(engine)
    look.draw()

    def away(_: Engine) -> dict[str, Any]:
        raise DatabaseUnavailable("no connection")

    monkeypatch.setattr(top, "gather", away)
    console = Console(width=80, height=24, force_terminal=True, color_system=None)
    with console.capture() as caught:
        console.print(look.draw(), height=24)
    assert "no connection; as it was" in caught.get()


@pytest.mark.parametrize(
    ("letters", "said"), [(1, "1 dead letter;"), (1_200, "1,200 dead letters;")]
)
def test_a_remark_counts_as_a_person_does(
    engine: Engine, facet_inside: Facet, letters: int, said: str
) -> None:
    found = health.gather(engine) | {"dead_letters": letters}
    assert any(one.startswith(said) for one in health.remarks(found))
