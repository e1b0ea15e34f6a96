"""Cases of forged targets: what `verify --against` says of each. The program that is asked forges them.

Honest conversions beside them have to pass.
"""

from pathlib import Path
from typing import Any

from case_list import HERE, THEN, Case, problems

from tests.drawn import forged


def draw(folder: Path) -> list[tuple[Path, Any]]:
    """A slide, and beside it another of the same form."""
    forged.draw_tissue(folder / "other.svs", 1)
    return [(folder / "slide.svs", forged.draw_tissue(folder / "slide.svs"))]


def forgery(name: str) -> str:
    """The commands that forge a target and hold it against its source."""
    paths = f"'SOURCE', 'FOLDER/forged.tiff', '{name}', 'FOLDER/other.svs'"
    program = f"__import__('runpy').run_path('{HERE}/tests/drawn/forged.py')"
    return f"python {program}['forge_named']({paths}){THEN}verify FOLDER/forged.tiff --against SOURCE --json"


def right(one: forged.Forgery) -> str:
    """What has to be found; of a level of which other programs saw it, they say it."""
    return " or ".join((*one.codes, *(["pixels-differ"] if "tile-unlike" in one.codes else [])))


HONEST = THEN.join(
    ("convert SOURCE TARGET --codec {} --segmenter threshold", "verify TARGET --against SOURCE --json")
)
CASES = [
    *(
        Case(f"forged: {name}", right(one), draw, forgery(name), problems)
        for name, one in forged.FORGERIES.items()
    ),
    Case(f"forged: {forged.REMAINDER}", "not-restorable", draw, forgery(forged.REMAINDER), problems),
    *(
        Case(f"honest: codec {codec}", "verified", draw, HONEST.format(codec), problems)
        for codec in ("copy", "jpeg", "jpegxl", "webp", "none")
    ),
]
