"""One declaration of an option: its range, its words, and what it makes of a value."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import pytest

from wsicomp.errors import ConfigError
from wsicomp.options import REQUIRED, argument, checked_fields, did_you_mean, option, options_of


def percent(text):
    return float(text.removesuffix("%"))


@dataclass(frozen=True, kw_only=True)
class Drawn:
    GROUP: ClassVar = "drawing"

    source: Path = argument("what is drawn")
    others: tuple[str, ...] = argument("and these", (), metavar="NAME")
    out: Path = option(REQUIRED, "where to")
    count: int = option(3, "how many", least=1, most=9)
    share: float | None = option(None, "of the area", least=0, parse=percent, metavar="PERCENT")
    sides: tuple[float, ...] = option((1.0, 2.5), "in mm", least=0.5, name="side", group="the slide")
    kind: str = option("round", "its form", choices=("round", "square"))
    dense: bool = option(False, "closely")
    note: str = "no option"

    def __post_init__(self) -> None:
        checked_fields(self)


OPTIONS = options_of(Drawn)


def test_an_option_knows_what_its_field_says():
    assert "note" not in OPTIONS
    assert [name for name, each in OPTIONS.items() if each.is_argument] == ["source", "others"]
    assert [name for name, each in OPTIONS.items() if each.is_required] == ["source", "out"]
    assert [name for name, each in OPTIONS.items() if each.takes_many] == ["others", "sides"]
    assert (OPTIONS["sides"].kind, OPTIONS["share"].kind) == (float, float)
    assert (OPTIONS["sides"].group, OPTIONS["count"].group) == ("the slide", "drawing")
    assert (OPTIONS["sides"].flag, OPTIONS["others"].flag) == ("--side", "NAME")


def test_its_words_come_from_its_declaration():
    assert OPTIONS["count"].meaning == "how many (1 to 9; default 3)"
    assert OPTIONS["share"].meaning == "of the area (0 or more)"
    assert OPTIONS["sides"].meaning == "in mm (0.5 or more; default 1, 2.5)"
    assert OPTIONS["kind"].meaning == "its form (default round)"
    assert OPTIONS["kind"].shown == "{round,square}"
    assert OPTIONS["dense"].shown == ""


def test_values_become_what_the_field_holds():
    drawn = Drawn(source="a", out="b", share=12, sides=[1, 2])
    assert (drawn.source, drawn.out) == (Path("a"), Path("b"))
    assert (drawn.share, drawn.sides) == (12.0, (1.0, 2.0))


def test_numbers_of_numpy_and_any_kind_of_path_become_plain_ones():
    drawn = Drawn(
        source=PurePosixPath("a"),
        out="b",
        count=np.int16(2),
        share=np.longdouble(0.5),
        sides=[np.int64(1)],
        kind=np.str_("square"),
        dense=np.bool_(True),
    )
    assert drawn.source == Path("a")
    plain = (drawn.count, drawn.share, *drawn.sides, drawn.kind, drawn.dense)
    assert plain == (2, 0.5, 1.0, "square", True)
    assert [type(each) for each in plain] == [int, float, float, str, bool]


def test_only_the_command_line_writes_a_number_as_text():
    assert OPTIONS["share"].parsed("12%", "--share") == 12.0
    assert OPTIONS["count"].parsed("12", "--count") == "12"
    with pytest.raises(ConfigError, match="--share is 'much', expected a number"):
        OPTIONS["share"].parsed("much", "--share")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count is 0, expected 1 to 9"),
        ({"count": 2.5}, "count is 2.5, expected int"),
        ({"share": "12"}, "share is '12', expected float"),
        ({"share": -1.0}, "share is -1.0, expected 0 or more"),
        ({"share": float("nan")}, "share is nan, expected 0 or more"),
        ({"sides": (1.0, 0.1)}, "side is 0.1, expected 0.5 or more"),
        ({"sides": 1.0}, "side is 1.0, expected several"),
        ({"kind": "rond"}, "kind is 'rond', expected one of round, square; did you mean round?"),
        ({"out": None}, "out is None, expected Path"),
        ({"out": ""}, "out is '', expected Path"),
        ({"out": b"x"}, "out is b'x', expected Path"),
        ({"count": np.float64(2.5)}, "count is 2.5, expected int"),
        ({"count": np.bool_(True)}, "count is True, expected int"),
        ({"share": np.timedelta64(5, "ns")}, "share is numpy.timedelta64(5,'ns'), expected float"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(values, message):
    with pytest.raises(ConfigError) as found:
        Drawn(**{"source": "a", "out": "b", **values})
    assert str(found.value) == message


def test_a_name_much_like_a_known_one_is_asked_for():
    assert did_you_mean("qualty", ("quality", "codec")) == "; did you mean quality?"
    assert did_you_mean("dance", ("quality", "codec")) == ""
