"""Clocks: calendars as pandas has them, exact steps, one for all recordings, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calco.data.calendars import calendars, days_of, is_calendar, numbers_of
from calco.data.clock import Clock, check_clock, read_clock
from calco.data.stamps import read_stamps
from calco.errors import RequestError

CALENDARS = ("ME", "MS", "QE", "QS", "YE", "YS", "BME", "BMS", "B", "W-WED", "D", "h", "90min", "2ME", "BQE", "100ms", "7ns")


def clock_of(stamps, name="t"):
    """The clock of one column, its pieces, and its last stamp as it is read."""
    column = pd.Series(stamps, name=name)
    clock, (pieces,) = read_clock([column], ["the file"])
    return clock, pieces, read_stamps(column, "the file").values.iloc[-1]


@given(
    st.sampled_from(CALENDARS),
    st.dates(pd.Timestamp("1950-01-01").date(), pd.Timestamp("2100-01-01").date()),
    st.integers(12, 60),
    st.sampled_from([None, "UTC", "Europe/Rome", "America/New_York"]),
    st.sampled_from([0, 9]),
)
def test_time_goes_on_as_in_pandas(frequency, begin, n, zone, hour):
    whole = pd.date_range(pd.Timestamp(begin) + pd.Timedelta(hours=hour), periods=n + 24, freq=frequency, tz=zone)
    clock, pieces, last = clock_of(whole[:n])
    assert pieces == [slice(0, n)]
    assert list(clock.after(last, 24)) == list(whole[n:])


@given(st.sampled_from(["ME", "MS", "QE", "BMS", "B", "D", "h"]), st.integers(0, 10**6), st.integers(1, 8))
def test_a_gap_is_what_leaves_out_more_than_five_steps(frequency, seed, out):
    at = 10 + seed % 20
    whole = pd.date_range(pd.Timestamp("2000-01-01") + pd.Timedelta(days=seed % 9000), periods=60, freq=frequency)
    clock, pieces, last = clock_of(whole.delete(range(at, at + out)))
    assert pieces == ([slice(0, at), slice(at, 60 - out)] if out >= 5 else [slice(0, 60 - out)])
    assert clock.after(last, 1)[0] == whole[-1] + whole.freq


@given(st.dates(pd.Timestamp("1700-01-01").date(), pd.Timestamp("2200-01-01").date()), st.integers(0, 500))
def test_calendars_number_their_days(begin, more):
    days = np.arange(np.datetime64(begin), np.datetime64(begin) + 40 + more)
    for calendar in ("MS", "ME", "BMS", "BME", "M-15", "M-31", "B"):
        own = np.unique(days_of(calendar, numbers_of(calendar, days)))
        numbers = numbers_of(calendar, own)
        assert (np.diff(numbers) == 1).all()
        assert (days_of(calendar, numbers) == own).all()
        assert calendar in calendars(own) or calendar[:2] == "M-"
        assert is_calendar(calendar)
    assert not is_calendar("M-32")
    assert not is_calendar(None)


@pytest.mark.parametrize(
    ("stamps", "clock", "following"),
    [
        # By months, on a day that not all have.
        (
            [f"2021-{m:02d}-{28 if m == 2 else 30}" for m in range(1, 13)],
            Clock("t", "date", 1, "M-30"),
            ["2022-01-30", "2022-02-28"],
        ),
        (["1990-02", "1990-03", "1990-05", "1990-06", "1990-07"], Clock("t", "date", 1, "MS"), ["1990-08-01", "1990-09-01"]),
        # By steps of more than a month, of which some may be left out.
        (
            pd.date_range("2020-01-01", periods=9, freq="40D").delete(4),
            Clock("t", "date", 40 * 86400.0),
            ["2020-12-26", "2021-02-04"],
        ),
        (["13/02/2024", "14/02/2024", "15/02/2024"], Clock("t", "date", 86400.0), ["2024-02-16", "2024-02-17"]),
        (pd.date_range("2024-02-27", periods=3).date, Clock("t", "date", 86400.0), ["2024-03-01", "2024-03-02"]),
        (pd.date_range("2024-01-01", periods=8, freq="40D"), Clock("t", "date", 40 * 86400.0), ["2024-11-16", "2024-12-26"]),
        (pd.date_range("0800-10-20", periods=7, unit="s"), Clock("t", "date", 86400.0), ["0800-10-27", "0800-10-28"]),
        (
            pd.Series(pd.date_range("2020-01-31", periods=9, freq="ME")).astype("date32[pyarrow]"),
            Clock("t", "date", 1, "ME"),
            ["2020-10-31", "2020-11-30"],
        ),
    ],
)
def test_dates_are_read_however_they_are_told(stamps, clock, following):
    found, _, last = clock_of(stamps)
    assert found == clock
    assert list(found.after(last, 2)) == [pd.Timestamp(stamp) for stamp in following]


def test_periods_go_on_as_periods():
    for frequency in ("M", "Q", "W", "D", "Y", "h"):
        periods = pd.period_range("2024-01", periods=12, freq=frequency)
        clock, _, last = clock_of(periods[:8])
        assert list(clock.after(last, 4)) == list(periods[8:])


def test_midnight_stays_midnight_and_hours_stay_hours_when_clocks_are_changed():
    days = pd.date_range("2024-10-20", periods=12, tz="Europe/Rome")
    clock, _, last = clock_of([day.isoformat() for day in days])  # offsets differ, +02:00 and then +01:00
    assert clock == Clock("t", "date", 86400.0)
    assert last == days[-1]
    months = pd.date_range("2024-08-31", periods=6, freq="ME", tz="Europe/Rome")
    assert clock_of([month.isoformat() for month in months])[0] == Clock("t", "date", 1, "ME")
    hours = pd.date_range("2024-10-26", periods=60, freq="h", tz="Europe/Rome")
    clock, _, last = clock_of([hour.isoformat() for hour in hours[:48]])
    assert list(clock.after(last, 12)) == list(hours[48:])


@given(
    st.sampled_from([1 / 24, 1 / 1440, 0.1, 0.25, 1.7e-7, 3.0, 1e6]),
    st.sampled_from([0.0, 1.0, 730_000.0]),
    st.integers(20, 200),
)
def test_steps_of_numbers_are_exact(step, begin, n):
    if begin * 1e-15 > step * 1e-6:
        return  # such stamps do not tell their steps
    stamps = begin + step * np.arange(n)
    clock, pieces, last = clock_of(stamps)
    assert pieces == [slice(0, n)]
    assert clock.step == pytest.approx(step, rel=1e-9, abs=1e-15 * begin)
    assert np.allclose(clock.after(last, 100), begin + step * np.arange(n, n + 100), rtol=1e-12, atol=1e-9 * step)


def test_decimal_steps_stay_decimal():
    clock, _, last = clock_of(np.round(0.1 * np.arange(13), 1))
    assert clock.step == 0.1
    assert list(clock.after(last, 3)) == [1.3, 1.4, 1.5]
    for step in (0.25, 0.375, 0.12, 1.125):  # of more digits than one
        assert clock_of((step * np.arange(40)).astype(np.float32))[0].step == step


def test_whole_numbers_beyond_floats_go_on_exactly():
    stamps = 1_700_000_000_000_000_000 + np.arange(20) * 1_000_000_007
    clock, _, last = clock_of(stamps)
    assert clock.after(last, 2).tolist() == [1_700_000_020_000_000_140, 1_700_000_021_000_000_147]
    assert clock_of(pd.array([3, 4, 5], "Int64"))[0] == Clock("t", "number", 1)


@pytest.mark.parametrize(
    ("stamps", "message"),
    [
        (["01/02/2024", "02/02/2024", "03/02/2024"], "may mean two days"),
        (["1", "2", "3"], "are no dates"),
        ([True, False, True], "does not tell the time"),
        (pd.to_timedelta([1, 2, 3], "s"), "does not tell the time"),
        ([1.0, 2.0, np.inf], "row 2 of t is missing"),
        (pd.DatetimeIndex(["2024-01-01", None, "2024-01-03"]), "row 1 of t is missing"),
        (pd.date_range("2024-01-01", periods=5)[::-1], r"row 1 of t is earlier than the one before \(so do 4 in all\)"),
        (pd.DatetimeIndex(["2024-01-01", "2024-01-01", "2024-01-02"]), "row 1 of t repeats"),
        (np.array([3, 2, 1], np.uint8), "row 1 of t is earlier than the one before"),
        (["2024-01-01", "2024-01-08", "2024-02-20", "2024-05-01"], "ragged"),
        (["2024-01-01", "2024-02-01", "2024-03-03", "2024-04-03", "2024-05-02"], "ragged"),  # most are 31 days apart
    ],
)
def test_stamps_that_say_no_time_are_refused(stamps, message):
    with pytest.raises(RequestError, match=message):
        clock_of(stamps)


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [
        (pd.date_range("2024", periods=9, freq="h"), pd.date_range("2024", periods=9), ("3600 s", "86400 s")),
        ([1, 2, 3], [1, 3, 5], ("1", "2")),
        ([1, 2, 3], pd.date_range("2024", periods=9), ("1", "86400 s")),
        (pd.date_range("2024", periods=9, freq="MS"), ["2024-01-15", "2024-02-15", "2024-03-15"], ("1 MS", "1 M-15")),
        (pd.date_range("2024", periods=9, freq="MS"), ["2024-03-15"], ("1 MS", "a single moment")),
    ],
)
def test_recordings_of_different_clocks_are_refused_by_name(one, other, steps):
    with pytest.raises(RequestError, match=f"t of a.csv by steps of {steps[0]}, t of b.csv by .*{steps[1]}"):
        read_clock([pd.Series(one, name="t"), pd.Series(other, name="t")], ["a.csv", "b.csv"])


def test_short_recordings_are_of_the_clock_of_the_others():
    week, days = pd.bdate_range("2024-01-01", periods=3), pd.bdate_range("2024-01-01", periods=20)
    clock, pieces = read_clock([pd.Series(week, name="t"), pd.Series(days, name="t"), pd.Series([], name="t")], ["a", "b", "c"])
    assert clock == Clock("t", "date", 1, "B")
    assert pieces == [[slice(0, 3)], [slice(0, 20)], [slice(0, 0)]]


def test_clocks_agree_however_they_are_told():
    months, days = Clock("t", "date", 1, "ME"), Clock("t", "date", 86400.0)
    for given_clock in (Clock("u", "date", 1, "BMS"), Clock("u", "date", 1, "M-15"), None):
        check_clock(given_clock, months)
    check_clock(Clock("u", "date", 1, "B"), days)
    for wrong in (days, Clock("t", "date", 3, "ME"), Clock("t", "number", 1)):
        with pytest.raises(RequestError, match="the model knows steps of 1 ME"):
            check_clock(wrong, months)
