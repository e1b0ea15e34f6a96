"""Figures are short and true."""

import pytest

from wsicomp.text.figures import as_bytes, as_duration, as_percent, as_saving, counted


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1939000, "1.94 MB"), (-20_000, "-20 kB"), (5e9, "5 GB"), (2e12, "2 TB")],
)
def test_bytes_read_as_people_say_them(count, text):
    assert as_bytes(count) == text


def test_what_is_one_is_no_plural():
    assert [counted(number, "tile") for number in (0, 1, 2)] == ["0 tiles", "1 tile", "2 tiles"]


def test_per_cent_have_one_decimal():
    assert as_percent(0.2345) == "23.4 %"
    assert as_saving(0.2345) == "23.4 % saved"
    assert as_saving(-0.4) == "40.0 % larger"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.9, "60 s"),
        (59.97, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
        (8000, "2 h 13 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, text):
    assert as_duration(seconds) == text
