"""The page of a comparison in a viewer: its slides and its pieces of tissue lead to where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode

from wsicomp.comparison.page import results_page
from wsicomp.comparison.results import Comparison, Crop, SlideComparison
from wsicomp.errors import ConfigError, SlideReadError
from wsicomp.geometry import Size
from wsicomp.viewer.folder.archive import ArchiveList
from wsicomp.viewer.folder.archive_slides import ArchiveSlides
from wsicomp.viewer.pictures.shown_slide import open_shown
from wsicomp.viewer.session import Session
from wsicomp.viewer.what_if.codec_dials import codec_text

_WIDE_PX = 320
"""How wide a piece of tissue stands on the screen."""
RESULTS = "results"
"""The address of the page."""


def show_comparison(session: Session, found: Comparison, out: Path, files: Mapping[str, Path]) -> None:
    """Have a session show the results of a comparison, and the slides that were compared.

    `out` is the folder of the results, `files` are the slides' files by their names in the results.
    """
    listed = ArchiveList(out, {slide.slide: files[slide.slide] for slide in found.slides})
    session.archive = ArchiveSlides(session, listed)
    links: dict[Crop | str, str] = {}
    for entry, slide in zip(listed.listing().entries, found.slides, strict=True):
        links[slide.slide] = f"./?{urlencode({'entry': entry.number})}"
        links |= _links_of_crops(entry.number, slide, files[slide.slide])
    session.results = results_page(found, links).encode()


def _links_of_crops(number: int, slide: SlideComparison, path: Path) -> dict[Crop | str, str]:
    """Return where the viewer shows each piece of a slide's tissue, with its codec tried on it."""
    if not slide.crops:
        return {}
    try:
        with closing(open_shown(path)) as shown:
            size = shown.info.size
    except SlideReadError:
        return {}
    return {crop: _link(number, crop, size) for crop in slide.crops}


def _link(number: int, crop: Crop, size: Size) -> str:
    x, y, width, height = crop.place
    center = round((x + width / 2) * size.width), round((y + height / 2) * size.height)
    scale = _WIDE_PX / max(1.0, width * size.width)
    words = urlencode([("entry", number), *_tried(crop.codec)])
    return f"./?{words}#{center[0]},{center[1]},{scale:.4g},single"


def _tried(codec: str) -> Iterator[tuple[str, str]]:
    """Yield the codec that the page tries first; nothing for one that it does not offer."""
    with suppress(ConfigError):
        yield "codec", codec_text(codec)
