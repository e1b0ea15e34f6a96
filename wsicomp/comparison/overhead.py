"""The bytes of a conversion besides its own tiles, counted from the plan alone, without a file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wsicomp.codecs.registry import tile_format
from wsicomp.config import ConversionConfig
from wsicomp.conversion.convert import carried_properties, mask_figures
from wsicomp.conversion.prepare import Prepared
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.associated_images import carried_image
from wsicomp.formats.tiff import xmp
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.provenance import DIGEST_BYTES, WITHOUT_BYTES, LevelRecord, Provenance
from wsicomp.slide import JPEG

_DIRECTORY, _BIG_DIRECTORY = 400, 600
"""About the bytes of a directory's tags in a classic TIFF and in a BigTIFF, without long values."""
_DESCRIPTION = 200
"""About the bytes by which a level's description exceeds the source's."""
_DIGEST = "0" * 64


def planned_overhead(slide: Slide, prepared: Prepared, config: ConversionConfig) -> int:
    """Return the bytes of a file besides its own tiles, as far as its plan tells, within about 1 %.

    These are directories, provenance, associated images and blank tiles. `overhead_bytes` writes a file to
    know them exactly; this writes nothing.
    """
    plan = prepared.plan
    total = len(xmp.wrap(_provenance(slide, prepared, config).to_text()))
    total += len(slide.info.icc_profile or b"") + len(prepared.embedded_model or b"")
    total += sum(_level_bytes(plan, level) + sum(_blank_bytes(plan, level)) for level in plan.levels)
    for name in plan.images:
        image = carried_image(name, slide.info.associated_images[name], plan.deidentified)
        total += _directory_bytes(plan) + len(image.description) + len(image.icc_profile or b"")
        total += sum(map(len, image.strips)) + 8 * len(image.strips)
    return total


def _directory_bytes(plan: ConversionPlan) -> int:
    return _BIG_DIRECTORY if plan.big else _DIRECTORY


def _level_bytes(plan: ConversionPlan, level: LevelPlan) -> int:
    """Return the bytes of a level's directory and of its lists of offsets and byte counts."""
    listed = (8 if plan.big else 4) + 4
    tables = level.encoding.jpeg_tables if level.encoding.compression == JPEG else None
    described = len(plan.description) + _DESCRIPTION if plan.container == "svs" else 0
    return _directory_bytes(plan) + described + len(tables or b"") + listed * level.grid.count


def _blank_bytes(plan: ConversionPlan, level: LevelPlan) -> Iterator[int]:
    """Yield the bytes of each blank tile that the level's tiles share, one for each colour."""
    is_blank = level.actions == TileAction.BLANK.value
    if not is_blank.any():
        return
    shades = [0] if level.shades is None else np.unique(level.shades[is_blank]).tolist()
    encode = tile_format(level.encoding.compression).encode_uniform
    for shade in shades:
        yield len(encode(level.encoding, level.tile, plan.palette[shade]))


def _provenance(slide: Slide, prepared: Prepared, config: ConversionConfig) -> Provenance:
    """Return a provenance as long as the one that is written, with zeros for digests."""
    plan = prepared.plan
    records = (LevelRecord(_DIGEST, bytes(DIGEST_BYTES * _stored(level))) for level in plan.levels)
    properties = carried_properties(slide, config)
    images = dict.fromkeys(plan.images, _DIGEST)
    return Provenance(plan, mask_figures(prepared.findings), properties, tuple(records), _DIGEST, images)


def _stored(level: LevelPlan) -> int:
    return int((~np.isin(level.actions, WITHOUT_BYTES)).sum())
