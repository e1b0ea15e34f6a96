"""Where a word hides, by formats and roads: whether it is in a target that is to name nobody."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

from case_list import Answered

from tests.deidentification.test_names import streams
from tests.drawn import names

ROADS = {
    "copy": ["--codec", "copy"],
    "jpeg": ["--codec", "jpeg"],
    "jpeg lossless": ["--codec", "jpeg", "--lossless"],
    "jpegxl": ["--codec", "jpegxl"],
    "jpegxl lossless": ["--codec", "jpegxl", "--lossless"],
    "jpeg2000": ["--codec", "jpeg2000"],
    "webp": ["--codec", "webp"],
    "none": ["--codec", "none"],
}
OTHERS = {
    "jbrd comment": names.jpeg_xl_of_jpeg,
    "unused shared table": names.shared_table,
    "icc profile": names.icc_profile,
    "label as thumbnail": names.label_as_thumbnail,
    "history and numbers": names.dates_in_numbers,
}


PLACES = {place: lambda path, place=place: names.in_tiles(path, place) for place in names.IN_TILES} | OTHERS


def rows(checkouts: list[Path], ask: Callable[[Path, list[list[str]]], Iterator[Answered]]) -> Iterator[str]:
    """A table in Markdown: for each place a row, for each road a column with what became of the word."""
    yield f"| place | {' | '.join(ROADS)} |\n|{'---|' * (1 + len(ROADS))}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place, draw in PLACES.items():
            draw(folder / f"{place}.tif")
        found = [
            _found(checkout, folder / str(number), folder, ask) for number, checkout in enumerate(checkouts)
        ]
        for place in PLACES:
            cells = [" -> ".join(one[place, road] for one in found) for road in ROADS]
            yield f"| {place} | {' | '.join(cells)} |"


def _found(
    checkout: Path, folder: Path, sources: Path, ask: Callable[[Path, list[list[str]]], Iterator[Answered]]
) -> dict[tuple[str, str], str]:
    """What becomes of the word in each place by each road, with one program."""
    folder.mkdir()
    pairs = [*product(PLACES, ROADS)]
    targets = [folder / f"{number}.tiff" for number in range(len(pairs))]
    commands = [
        [
            "convert",
            str(sources / f"{place}.tif"),
            str(target),
            "--deidentify",
            "--glass",
            "keep",
            *ROADS[road],
        ]
        for (place, road), target in zip(pairs, targets, strict=True)
    ]
    answers = ask(checkout, commands)
    return {
        pair: _became(target, code)
        for pair, target, (code, _, _) in zip(pairs, targets, answers, strict=True)
    }


def _became(target: Path, code: int) -> str:
    if code:
        return "refused"
    return "THERE" if any(names.WORD in stream for stream in streams(target)) else "gone"
