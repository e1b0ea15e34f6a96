"""Checks that OpenSlide shows what a written file states: levels, scale and associated images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import numpy as np
from openslide import OpenSlide, OpenSlideError
from PIL import Image

from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.compatibility import ReaderVerdict
from wsicomp.formats.openslide import on_white
from wsicomp.formats.stated_scale import positive_number, power_of, scale_of
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.formats.tiff.shown_images import shown_image
from wsicomp.geometry import Size, TileIndex
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import TileAction
from wsicomp.verification.problems import Problem

_MPP_TOLERANCE = 1e-3


def check_openslide(
    slide: TiffSlide, plan: ConversionPlan | None, verdict: ReaderVerdict
) -> Iterator[Problem]:
    """Yield a problem for each difference between OpenSlide and the file's own statements.

    Yield nothing where OpenSlide is known not to open a file with a plan.
    """
    if plan is not None and verdict.opens == "no":
        return
    try:
        file = slide.shown()
    except SlideReadError as exc:
        yield Problem("openslide-refuses", "file", str(exc.__cause__))
        return
    shown = file.slide
    try:
        yield from _differences(slide, plan, shown)
    except OpenSlideError as exc:
        with suppress(SlideReadError):
            file.renew(shown)
        yield Problem("openslide-refuses", "file", str(exc))


def _differences(slide: TiffSlide, plan: ConversionPlan | None, shown: OpenSlide) -> Iterator[Problem]:
    """Yield a problem for each difference between what OpenSlide shows and the file's own statements.

    Raises:
        OpenSlideError: OpenSlide does not read a level.
    """
    navigable = [] if plan is None else [level.number for level in plan.navigable]
    expected = tuple(slide.info.levels[number].size for number in navigable) or slide.openslide_levels
    scale = 1.0 if plan is None else slide.info.size.width / expected[0].width
    stated = slide.info.mpp if plan is not None else slide.openslide_mpp
    sizes = tuple(Size(*size) for size in shown.level_dimensions)
    if sizes != expected:
        yield Problem("openslide-differs", "levels", f"{sizes_text(sizes)}, expected {sizes_text(expected)}")
    for number, size in enumerate(sizes):
        # It may show a level more than the file is to have, which is reported already.
        own = _level_of(slide, size) if plan is None or sizes != expected else navigable[number]
        if own is not None and _is_sound(slide, TileIndex(own, 0, 0)):
            shown.read_region((0, 0), number, (1, 1))
    mpp = _openslide_mpp(shown.properties)
    if mpp is not None and stated is not None:
        differs = not are_close(mpp, stated.x * scale)
    else:
        # OpenSlide reads no scale from whole numbers, which other programs write.
        differs = mpp is not None or (stated is not None and plan is not None)
    if differs:
        yield Problem("openslide-differs", "um per px", f"{mpp}, expected {stated}")
    power = power_of(positive_number(shown.properties.get("openslide.objective-power")))
    if plan is not None and plan.container == "svs" and differ(power, slide.info.objective_power):
        expected_power = slide.info.objective_power
        yield Problem("openslide-differs", "objective power", f"{power}, expected {expected_power}")
    bounds = [name for name in shown.properties if name.startswith("openslide.bounds-")]
    is_generic = shown.properties["openslide.vendor"] == "generic-tiff"
    # Where tiles without bytes are the source's, they bound what OpenSlide shows too.
    has_holes = plan is not None and not plan.empties_glass and plan.levels[0].count(TileAction.EMPTY)
    if bounds and is_generic and plan is not None and not has_holes:
        yield Problem("openslide-differs", "bounds", f"{', '.join(bounds)} are set, expected none")


def _level_of(slide: TiffSlide, size: Size) -> int | None:
    """Return the number of the level of this size; None where there is none."""
    return next((number for number, level in enumerate(slide.info.levels) if level.size == size), None)


def _is_sound(slide: TiffSlide, index: TileIndex) -> bool:
    """Return whether a tile decodes: if not, OpenSlide's refusal of it says nothing of the file.

    A tile that OpenSlide draws anew does not count, for its sources may be damaged.
    """
    if slide.is_redrawn_by_openslide(index.level):
        return False
    try:
        slide.read_tile_eighth(index)
    except SlideReadError:
        return False
    return True


def check_shown_images(slide: TiffSlide, plan: ConversionPlan, source: Slide) -> Iterator[Problem]:
    """Check that OpenSlide shows each carried image as it shows the source's, where it shows both."""
    images = slide.info.associated_images
    drawn = {"thumbnail"} if plan.deidentified else set()
    names = (set(plan.images) & set(images)) - drawn
    if not names or source.info.path == slide.info.path:
        return
    try:
        theirs, ours = source.shown(), slide.shown()
    except SlideReadError:
        return
    for name in names:
        shown = slide.openslide_name(name)
        known = source.openslide_name(name)
        if shown is None or known is None:
            continue
        there = shown_image(theirs, known, images[name].size)
        here = None if there is None else shown_image(ours, shown, images[name].size)
        if there is not None and here is not None and not _are_alike(here, there):
            yield Problem("associated-differs", name, "OpenSlide shows another picture than the source's")


def _are_alike(first: Image.Image, second: Image.Image) -> bool:
    """Return whether two pictures in RGBA are equal on white, as they are if all their samples are."""
    if first.size == second.size and first.tobytes() == second.tobytes():
        return True
    return np.array_equal(on_white(np.asarray(first)), on_white(np.asarray(second)))


def _openslide_mpp(properties: Mapping[str, str]) -> float | None:
    """Return OpenSlide's um per px along x.

    None where it is out of range, or not stated for both directions.
    """
    mpp_x, mpp_y = (scale_of(positive_number(properties.get(f"openslide.mpp-{axis}"))) for axis in "xy")
    return mpp_x if mpp_y else None


def differ(first: float | None, second: float | None) -> bool:
    """Return whether two figures differ; either may be None."""
    if first is None or second is None:
        return first is not second
    return not are_close(first, second)


def are_close(first: float, second: float) -> bool:
    """Return whether two positive figures are equal within a thousandth."""
    return abs(first - second) <= _MPP_TOLERANCE * max(first, second)


def sizes_text(sizes: Iterable[Size]) -> str:
    """Return sizes in words."""
    return ", ".join(map(str, sizes))
