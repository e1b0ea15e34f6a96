"""Cases of targets that were forged: what `verify --against` says of each, and whether a batch takes it on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from case_list import THEN, Case, problems

from tests.drawn import forged


def forgery(name: str) -> Callable[[Path], list[tuple[Path, Any]]]:
    """Draws a slide, and a target of it that is forged."""

    def draw(folder: Path) -> list[tuple[Path, Any]]:
        source, other = folder / "slide.svs", folder / "other.svs"
        truth = forged.draw_tissue(source)
        forged.draw_tissue(other, 1)
        if name in forged.FORGERIES:
            forged.forge(source, folder / "forged.tiff", forged.FORGERIES[name], other)
        else:
            forged.restorable_lie(source, folder / "forged.tiff", other)
        return [(source, truth)]

    return draw


def honest(folder: Path) -> list[tuple[Path, Any]]:
    """Draws a slide; its conversions are made by the program that is asked."""
    return [(folder / "slide.svs", forged.draw_tissue(folder / "slide.svs"))]


AGAINST = "verify FOLDER/forged.tiff --against SOURCE --json"
HONEST = THEN.join(
    ("convert SOURCE TARGET --codec {} --segmenter threshold", "verify TARGET --against SOURCE --json")
)
CASES = [
    *(
        Case(f"forged: {name}", " or ".join(one.codes), forgery(name), AGAINST, problems)
        for name, one in forged.FORGERIES.items()
    ),
    Case("forged: a remainder of another slide", "not-restorable", forgery("remainder"), AGAINST, problems),
    *(
        Case(f"honest: codec {codec}", "verified", honest, HONEST.format(codec), problems)
        for codec in ("copy", "jpeg", "jpegxl", "webp", "none")
    ),
]
