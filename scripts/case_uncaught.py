"""Cases of what ended in a traceback, hung, or did something where it was shown, once."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from case_list import ANSWER, THEN, Answer, Case

from tests import tiffs
from tests.drawn import fuzzed_bases, hostile

Drawn = list[tuple[Path, Any]]
LIMITED = f"python __import__('signal').alarm(15){THEN}"
"""The process ends where a command hangs."""


def drawn(write: Callable[[Path], Any], name: str = "a.svs") -> Callable[[Path], Drawn]:
    def draw(folder: Path) -> Drawn:
        write(folder / name)
        return [(folder / name, None)]

    return draw


def drawn_by(write: Callable[[Path], Path]) -> Callable[[Path], Drawn]:
    return lambda folder: [(write(folder), None)]


def of_kind(code: int, kind: int) -> Callable[[Path], Drawn]:
    def write(path: Path) -> None:
        hostile.shared_tables(path)
        hostile.with_kind(path, code, kind)

    return drawn(write)


def forged(*path: str | int, to: Any) -> Callable[[Path], None]:
    """Who writes something else into what a target says of itself."""

    def change(values: Any) -> None:
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] = to

    return lambda target: hostile.forge(target, change)


def cut(folder: Path) -> Drawn:
    sound = fuzzed_bases.jpeg_svs(folder)
    for count in range(4, 16):
        hostile.cut(folder / f"{count}.svs", sound, count)
    return [(folder / f"{count}.svs", None) for count in range(4, 16)]


def presets(folder: Path) -> Drawn:
    tiffs.write_tiff(folder / "slide.svs")
    for number, kind in enumerate(hostile.DEEP):
        hostile.write_preset(folder / f"{number}.toml", kind)
    return [(folder / f"{number}.toml", None) for number in range(len(hostile.DEEP))]


def night(folder: Path) -> Drawn:
    good = tiffs.write_tiff(folder / "good.svs")
    hostile.write_named(folder / "in", good)
    for name in list(hostile.NAMES.values())[::2]:
        (folder / "in" / name).write_bytes(b"no slide")
    return [(folder / "in", None)]


def pipes(folder: Path) -> Drawn:
    (folder / "in").mkdir()
    os.mkfifo(folder / "in" / "pipe.svs")
    shutil.copy(tiffs.write_tiff(folder / "good.svs"), folder / "in")
    return [(folder / "in", None)]


def ended(answers: list[Answer]) -> str:
    """How often which exit code came, and the last line of those that failed otherwise."""
    codes = [answer.code for answer in answers]
    counts = ", ".join(f"{codes.count(code)} x exit {code}" for code in sorted(set(codes)))
    bad = [answer.refusal for answer in answers if answer.code not in (0, 1, 2)]
    lines = max(answer.err.strip().count("\n") + 1 for answer in answers)
    first = answers[0]
    spoken = first.refusal if first.err.strip() else " ".join(first.out.split())[:ANSWER]
    said = bad[0] if bad else f"{lines} lines" if lines > 1 else spoken
    return f"{counts if len(codes) > 1 else f'exit {codes[0]}'}: {said}"


def obeyed(answers: list[Answer]) -> str:
    """What of a command's words a terminal would obey, and of a table's cells a spreadsheet compute."""
    answer = answers[0]
    words = answer.out + answer.err
    terminal = sum(not line.isprintable() for line in words.split("\n"))
    table = answer.target.parent / "report.csv"
    rows = list(csv.reader(table.open(newline="", encoding="utf-8"))) if table.exists() else []
    cells = [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@") and not is_number(cell)]
    return f"{terminal} lines with escapes, {len(cells)} cells of formulas"


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def raised(answers: list[Answer]) -> str:
    return answers[0].out.strip()[:ANSWER] or answers[0].refusal


_PROGRESS = (
    "python (lambda error: raised(lambda: wsicomp.{call}, "
    "on_progress=lambda *_: (_ for _ in ()).throw(error))) is error)(OSError(28, 'mine'))"
)
_KEEP = "wsicomp.ConversionConfig.of(glass='keep')"
CONVERT, LOSSLESS = (
    "convert SOURCE TARGET --glass keep",
    "convert SOURCE TARGET --glass keep --codec jpeg --lossless",
)
PACK = "convert SOURCE TARGET --glass keep --codec jpegxl --lossless --restorable --effort 1"
COPY = "convert SOURCE TARGET --segmenter threshold --margin-um 0 --format svs"
SLIDE = drawn_by(fuzzed_bases.jpeg_svs)
KINDS = {2: "text", 3: "16 bit", 5: "fraction", 12: "float"}

_CASES = [
    *(
        Case(f"JPEGTables of type {name}", "exit 0 or 1", of_kind(347, kind), LOSSLESS, ended)
        for kind, name in KINDS.items()
    ),
    Case("ImageWidth of type float", "exit 1", of_kind(256, 11), CONVERT, ended),
    Case(
        "offset of the remainder: 2^63",
        "exit 1",
        SLIDE,
        f"{PACK}{THEN}verify TARGET",
        ended,
        forged("restoration", "offset", to=1 << 63),
    ),
    Case(
        "its length: 2^80",
        "exit 1",
        SLIDE,
        f"{PACK}{THEN}restore TARGET FOLDER/back.svs",
        ended,
        forged("restoration", "bytes", to=1 << 80),
    ),
    Case(
        "quality of a level: a text",
        "exit 1",
        SLIDE,
        f"{PACK}{THEN}verify TARGET",
        ended,
        forged("plan", "levels", 0, "options", to={"quality": "x"}),
    ),
    Case(
        "a note that is no text",
        "exit 1",
        SLIDE,
        f"{PACK}{THEN}info TARGET",
        ended,
        forged("plan", "notes", to=[{}]),
    ),
    Case(
        "OpenSlide sees a level more",
        "exit 1",
        SLIDE,
        f"{COPY}{THEN}verify TARGET",
        ended,
        hostile.with_a_level_more,
    ),
    *(
        Case(f"a TIFF cut to 4 to 15 bytes, {command.split()[0]}", "12 x exit 1", cut, command, ended)
        for command in (
            "info SOURCE",
            "verify SOURCE",
            "segment SOURCE FOLDER/m.png",
            "restore SOURCE TARGET",
        )
    ),
    Case(
        "the same, open_slide",
        "True",
        cut,
        "python isinstance(raised(lambda: wsicomp.open_slide('SOURCE')), wsicomp.SlideFormatError)",
        raised,
    ),
    Case(
        "presets that no parser likes",
        f"{len(hostile.DEEP)} x exit 2",
        presets,
        "convert FOLDER/slide.svs TARGET --preset SOURCE",
        ended,
    ),
    Case(
        "convert: what on_progress raises",
        "True",
        drawn(tiffs.write_tiff),
        _PROGRESS.format(call=f"convert_slide('SOURCE', 'TARGET', {_KEEP}"),
        raised,
    ),
    Case(
        "a batch with a pipe",
        "exit 1, soon",
        pipes,
        f"{LIMITED}batch SOURCE TARGET --min-free 0{THEN}python __import__('signal').alarm(0)",
        ended,
    ),
    Case(
        "a byte count of 2.7 TB, open_slide",
        "refused",
        drawn(lambda path: hostile.far_out(path, 325, 2_774_548_874_520)),
        "python raised(lambda: wsicomp.open_slide('SOURCE').read_region((0, 0), 0, (9, 9)))",
        raised,
    ),
    Case(
        "tiles 385,949,828 px long, open_slide",
        "refused",
        drawn(lambda path: hostile.far_out(path, 323, 385_949_828)),
        "python raised(lambda: wsicomp.open_slide('SOURCE').read_region((0, 0), 0, (9, 9)))",
        raised,
    ),
    Case(
        "names that mean harm: batch, its report and CSV",
        "0 lines, 0 cells",
        night,
        f"batch SOURCE TARGET --min-free 0{THEN}batch report TARGET --csv FOLDER/report.csv",
        obeyed,
    ),
]

CASES = [replace(case, name=f"uncaught: {case.name}") for case in _CASES]
