"""Whole levels as OpenSlide shows them."""

from __future__ import annotations

import numpy as np
import openslide


def whole_levels(slide):
    """Each level of a slide open in OpenSlide, (rows, columns, 3), transparent pixels laid on white."""
    for number, size in enumerate(slide.level_dimensions):
        rgba = np.asarray(slide.read_region((0, 0), number, size))
        yield np.where(rgba[..., 3:] == 0, 255, rgba)[..., :3]


def same_levels(source, opened):
    """Whether two levels of a source in OpenSlide are those of a slide that is open, which is closed."""
    with openslide.OpenSlide(source) as before, opened as after:
        pairs = list(zip(whole_levels(before), whole_levels(after), strict=True))
    assert len(pairs) == 2
    return all(np.array_equal(*pair) for pair in pairs)
