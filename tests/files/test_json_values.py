"""JSON into dataclasses: what is of another type, out of bounds or missing is refused, in short words."""

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from wsicomp.files.json_values import (
    Figure,
    Natural,
    Offset,
    Positive,
    Sha256,
    Side,
    json_of,
    parsed,
    parsed_text,
    plain,
)


@dataclass(frozen=True)
class Stated:
    name: str
    figure: Figure
    data: bytes = b""
    parts: tuple[Natural, ...] = ()
    more: Mapping[str, Any] | None = None


SOUND = [
    (Natural, [0, 1, 2**32 - 1]),
    (Side, [1, 2**32 - 1]),
    (Offset, [0, 2**61 - 1]),
    (Positive, [5e-324, 1.5, 1e308]),
    (Figure, [-1000, 0, 1000, -1000.0, 0.5, 1000.0]),
    (Sha256, ["0123456789abcdef" * 4]),
]
OTHERS = [None, True, False, "", "1", [], [1], {}, math.nan, math.inf, -math.inf, 10**400, -(10**400)]
FALSE = [
    (Natural, [-1, 2**32, 2**64, 1.0, 0.0]),
    (Side, [-1, 0, 2**32, 1.0]),
    (Offset, [-1, 2**61, 2**63, 2**64, 1.0]),
    (Positive, [0, 0.0, -0.0, -1, -1e308]),
    (Figure, [-1001, 1001, 2**64, 1000.0001, -1000.0001]),
    (Sha256, ["a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "\ud800" * 64, 1]),
]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in SOUND for value in values])
def test_what_is_in_bounds_is_read_as_it_is(kind, value):
    found = parsed_text(json.dumps(value), kind)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in FALSE for value in (*values, *OTHERS)]
)
def test_what_is_out_of_bounds_or_of_another_type_is_refused(kind, value):
    with pytest.raises(ValueError, match=r"^.{1,150}\Z"):
        parsed(value, kind)


def test_an_object_becomes_the_dataclass_and_what_it_does_not_know_is_ignored_unless_it_is_closed():
    text = '{"name": "a\\ud800", "figure": 3, "data": "AAEC", "parts": [1, 2], "more": {"x": null}, "y": 1}'
    expected = Stated("a\ud800", 3, b"\0\1\2", (1, 2), {"x": None})
    assert parsed_text(text, Stated) == expected
    assert parsed_text(text.encode(), Stated) == expected
    with pytest.raises(ValueError, match="unknown 'y'"):
        parsed_text(text, Stated, is_closed=True)
    assert parsed({"name": "", "figure": 0.5}, Stated, is_closed=True) == Stated("", 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"name": "a"}',
        '{"name": null, "figure": 1}',
        '{"name": "a", "figure": NaN}',
        '{"name": "a", "figure": 1, "more": {"x": NaN}}',
        '{"name": "a", "figure": 1, "more": {"x": -Infinity}}',
        '{"name": "a", "figure": 1e400}',
        '{"name": "a", "figure": %s}' % ("9" * 5000),
        '{"name": "a", "figure": 1, "data": "A"}',
        '{"name": "a", "figure": 1, "data": "A==="}',
        '{"name": "a", "figure": 1, "data": "AA\\n=="}',
        '{"name": "a", "figure": 1, "data": "\\ud800AAA"}',
        '{"name": "a", "figure": 1, "parts": {"0": 1}}',
        '{"name": "a", "figure": 1, "parts": "12"}',
        '{"name": "a", "figure": 1, "parts": [1, true]}',
        '{"name": "a", "figure": 1, "more": []}',
        '{"name": "a", "figure": 1, "\\ud800": 1}',
        '{"name": "a", "figure": 1, "more": %s}' % ("[" * 100_000 + "]" * 100_000),
    ],
)
def test_a_text_that_states_something_else_is_refused(text):
    with pytest.raises(ValueError, match=r"^.{1,150}\Z"):
        parsed_text(text, Stated)


def test_values_that_nest_without_end_are_refused():
    values: list[Any] = []
    values.append(values)
    nested: Any = list[int]
    for _ in range(3):
        nested = list[nested]
    with pytest.raises(ValueError, match=r"Expected .int., got"):
        parsed(values, nested)
    with pytest.raises(ValueError, match="nested too deeply"):
        json_of("[" * 100_000)


@pytest.mark.parametrize("values", [{}, {"name": 1}, {"name": "a", "figure": "b"}, []])
def test_no_message_has_backticks_which_stand_around_parameters(values):
    with pytest.raises(ValueError, match=r"\A[^`]+\Z"):
        parsed(values, Stated)


def test_what_has_no_form_in_json_is_not_written():
    assert plain(Stated("a", np.float64(0.5)))["figure"] == 0.5
    with pytest.raises(TypeError, match="int64"):
        plain(Stated("a", np.int64(3)))


TOGETHER = """if 1:
    import os, sys, threading
    from dataclasses import make_dataclass
    from wsicomp.files.json_values import parsed

    sys.setswitchinterval(1e-6)
    for number in range(200):
        inner = make_dataclass("Inner", [(f"field{n}", int) for n in range(20)])
        outer = make_dataclass("Outer", [(f"part{n}", inner) for n in range(5)])
        part = {f"field{n}": n for n in range(20)}
        values = {f"part{n}": part for n in range(5)}
        start = threading.Barrier(4)

        def read():
            start.wait()
            parsed(values, outer)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        if number % 10 == 0:
            child = os.fork()
            if not child:
                parsed(values, outer)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0, "the child crashed"
        for thread in threads:
            thread.join()
    """


@pytest.mark.gate
def test_threads_may_meet_a_class_for_the_first_time_together():
    assert subprocess.run([sys.executable, "-c", TOGETHER], check=False).returncode == 0
