"""Slots of cron expressions, also where the clocks change."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler.cron import LOOK_BACK, Cron
from shared.errors import BadSettings

BERLIN = "Europe/Berlin"
FORWARD = datetime(2026, 3, 28, 22, tzinfo=UTC)  # the evening before 02:00 becomes 03:00
BACK = datetime(2026, 10, 24, 21, tzinfo=UTC)  # the evening before 03:00 becomes 02:00
NIGHT = timedelta(hours=7)


def slots(expression: str, start: datetime, length: timedelta = NIGHT) -> list[str]:
    found = Cron(expression, BERLIN).between(start, start + length, most=100)
    assert found.in_all == len(found.slots)
    return [slot.strftime("%H:%M") for slot in found.slots]


def test_a_slot_is_in_the_time_of_its_zone() -> None:
    cron = Cron("30 3 * * *", BERLIN)
    assert cron.next(datetime(2026, 1, 10, tzinfo=UTC)) == datetime(2026, 1, 10, 2, 30, tzinfo=UTC)
    assert cron.next(datetime(2026, 7, 10, tzinfo=UTC)) == datetime(2026, 7, 10, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "forward", "back"),
    [
        ("30 2 * * *", ["01:00"], ["00:30"]),  # at the gap's end; once, the first time
        ("0 3 * * *", ["01:00"], ["02:00"]),
        ("15 1,2 * * *", ["00:15", "01:00"], ["23:15", "00:15"]),
        ("*/30 2 * * *", [], ["00:00", "00:30", "01:00", "01:30"]),  # follows real time
        ("0 */2 * * *", ["23:00", "02:00", "04:00"], ["22:00", "00:00", "01:00", "03:00"]),
    ],
)
def test_a_slot_of_a_fixed_hour_is_neither_lost_nor_doubled_where_the_clocks_change(
    expression: str, forward: list[str], back: list[str]
) -> None:
    assert slots(expression, FORWARD) == forward
    assert slots(expression, BACK) == back


def test_every_hour_of_real_time_has_its_slot_where_the_clocks_change() -> None:
    for evening in (FORWARD, BACK):
        found = slots("0 * * * *", evening, timedelta(hours=6))
        assert len(found) == len(set(found)) == 7


def test_the_latest_slots_are_kept_and_all_are_counted() -> None:
    now = datetime(2026, 5, 5, 12, tzinfo=UTC)
    found = Cron("0 * * * *", "UTC").between(now - timedelta(hours=10), now, most=3)
    assert [slot.hour for slot in found.slots] == [10, 11, 12]
    assert found.in_all == 11


def test_a_long_absence_is_looked_back_at_no_longer_than_it_is_worth() -> None:
    now = datetime(2026, 5, 5, 12, tzinfo=UTC)
    found = Cron("0 0 * * *", "UTC").between(now - timedelta(days=400), now, most=100)
    assert found.in_all == LOOK_BACK.days


@pytest.mark.parametrize(
    ("expression", "zone", "sentence"),
    [
        ("* * * *", "UTC", "five fields"),
        ("0 * * * * *", "UTC", "five fields"),
        ("61 * * * *", "UTC", "bad minute"),
        ("0 0 30 2 *", "UTC", "bad day-of-month"),
        ("* * */20 * 1L", "UTC", "never comes true"),
        ("0 3 * * *", "Europe/Atlantis", "no time zone"),
        ("0 3 * * *", "../etc/passwd", "no time zone"),
    ],
)
def test_what_is_no_schedule_is_refused_with_an_example(
    expression: str, zone: str, sentence: str
) -> None:
    with pytest.raises(BadSettings, match=sentence) as caught:
        Cron(expression, zone)
    assert caught.value.hint
