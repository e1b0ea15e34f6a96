"""Whether a slide that is shown beside another can be a conversion of it."""

from __future__ import annotations

from contextlib import suppress

from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.identity import slide_bytes
from wsicomp.geometry import Size
from wsicomp.plan.conversion_plan import SourceIdentity

ANOTHER_SHAPE = "other proportions: not the same slide"
"""What is said of a slide that is wider or higher for its size than the other."""
ANOTHER_SOURCE = "made from another file"
"""What is said of a conversion whose record names another source."""
_ROUNDED_PX = 2
"""How far a level's side may be off its share of the slide's."""


def doubt_of(slide: Slide, other: Slide) -> str:
    """Return why `other` is no conversion of `slide`, in a few words; "" where it can be one.

    Sizes and the conversion's record are compared, and no pixels: without a record two slides of the same
    proportions are not told apart.
    """
    if not _have_same_proportions(slide.info.size, other.info.size):
        return ANOTHER_SHAPE
    if other.provenance is None:
        return ""
    made_of = other.provenance.plan.source
    if slide.provenance is not None:
        is_same = bool(_origins(slide.provenance.plan.source) & _origins(made_of))
        return "" if is_same else ANOTHER_SOURCE
    with suppress(SlideReadError):
        if slide_bytes(slide.info.path) not in (made_of.bytes, 0) and made_of.origin_sha256 is None:
            return ANOTHER_SOURCE
    return ""


def _have_same_proportions(one: Size, other: Size) -> bool:
    apart = abs(one.width * other.height - other.width * one.height)
    return apart <= _ROUNDED_PX * max(*one.shape, *other.shape)


def _origins(source: SourceIdentity) -> set[str]:
    return {digest for digest in (source.sha256, source.origin_sha256) if digest is not None}
