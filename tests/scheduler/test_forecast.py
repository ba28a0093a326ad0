"""When the disk is full."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.forecast import DAYS_MAX, Grows, full_in_days


def test_what_has_no_age_grows_until_the_disk_is_full() -> None:
    assert full_in_days([Grows(500, 10, 0)], 100) == 11
    assert full_in_days([Grows(500, 10, 0)], 99) == 10


def test_what_has_an_age_grows_no_further_than_that() -> None:
    assert full_in_days([Grows(0, 10, 14)], 140) is None
    assert full_in_days([Grows(0, 10, 14)], 139) == 14
    assert full_in_days([Grows(1_000, 10, 14)], 0) is None


def test_a_full_disk_is_full_tomorrow() -> None:
    assert full_in_days([Grows(500, 10, 0)], 0) == 1
    assert full_in_days([Grows(500, 0, 0)], 0) is None


@given(
    st.lists(
        st.builds(Grows, st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 400)),
        max_size=4,
    ),
    st.integers(0, 10**9),
)
def test_it_is_the_first_day_that_does_not_fit(tables: list[Grows], free: int) -> None:
    def grown(days: int) -> float:
        return sum(one.after(days) - one.bytes for one in tables)

    day = full_in_days(tables, free)
    if day is None:
        assert grown(DAYS_MAX) <= free
    else:
        assert grown(day) > free
        assert grown(day - 1) <= free
