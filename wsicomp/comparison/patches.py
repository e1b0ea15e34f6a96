"""Codecs on patches of tissue at given magnifications, whatever the slide's own levels are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial

import cv2
import numpy as np

from wsicomp.codecs.registry import create_codec
from wsicomp.codecs.tile_quality import TileFidelity, encoded_fidelity, overall_quality
from wsicomp.comparison.codec_specs import CodecSpec
from wsicomp.comparison.results import MagnifiedRow
from wsicomp.comparison.tile_trials import ComparedSlide, pick_evenly
from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import SlideReadError
from wsicomp.formats.stated_scale import MPP_AT_1X, plausible_mpp
from wsicomp.geometry import Region, Size, TileGrid, TileIndex
from wsicomp.slide import Level, Pixels, SlideInfo

PATCH_PX = 256
_SEARCH_TOLERANCE = 1.05
_MOST_REDUCTION = 16


def cut_patches(compared_slide: ComparedSlide, magnification: float) -> list[Pixels]:
    """Return patches of tissue, evenly spread over the slide, as the options ask for at a magnification.

    Each is (256, 256, 3) uint8 RGB: area means of the slide's nearest larger level. The mask covers at
    least half of each. No patches are returned where the slide's magnification is unknown or smaller.
    """
    largest = slide_magnification(compared_slide.slide.info)
    if largest is None:
        return []
    for number, level in reversed(list(enumerate(compared_slide.slide.info.levels))):
        reduction = largest / level.downsample / magnification
        if 1 / _SEARCH_TOLERANCE <= reduction <= _MOST_REDUCTION:
            side = round(PATCH_PX * max(1.0, reduction) if reduction > _SEARCH_TOLERANCE else PATCH_PX)
            return list(_cut(compared_slide, number, level, side))
    return []


def slide_magnification(info: SlideInfo) -> float | None:
    """Return the magnification of level 0, such as 40 for 40x: 1 um per px is 10x.

    Without mpp it is the objective power. Return None where the file states neither.
    """
    mpp = plausible_mpp(info)
    return MPP_AT_1X / mpp if mpp is not None else info.objective_power


def _cut(compared_slide: ComparedSlide, number: int, level: Level, side: int) -> Iterator[Pixels]:
    wide = Level(level.size, Size(side, side), level.downsample)
    grid = TileGrid(level.size, wide.tile)
    share = compared_slide.known.findings.tissue.coverage(wide)
    places = [
        grid.region(column, row)
        for row, column in np.argwhere(share >= 0.5).tolist()
        if grid.region(column, row).size == wide.tile
    ]

    def read(region: Region) -> Pixels | None:
        try:
            pixels = compared_slide.slide.read_region(number, region)
        except SlideReadError:
            return None
        if side == PATCH_PX:
            return pixels
        return np.asarray(cv2.resize(pixels, (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_AREA), np.uint8)

    chosen = pick_evenly(places, compared_slide.options.patches)
    with closing(ordered_map(read, chosen, compared_slide.base.run.workers)) as pictures:
        yield from (picture for picture in pictures if picture is not None)


def measure_patches(patches: Sequence[Pixels], spec: CodecSpec, workers: int) -> list[TileFidelity]:
    """Return how close each patch comes back from a codec that encodes pixels.

    Raises:
        ConfigError: the options do not fit the codec.
        CodecUnavailableError: the codec's library is missing.
        UnknownModelError: there is no model of this name.
    """
    codec = create_codec(str(spec.config_values["codec"]), spec.options)
    tiles = [(TileIndex(0, number, 0), pixels) for number, pixels in enumerate(patches)]
    with closing(ordered_map(partial(encoded_fidelity, codec), batched(tiles, 8), workers)) as batches:
        return [tile for batch in batches for tile in batch]


def magnified_row(
    spec: CodecSpec, magnification: float, found: Sequence[TileFidelity], base: Sequence[TileFidelity]
) -> MagnifiedRow:
    """Return a codec's figures beside those of `REFERENCE` on the same patches."""
    quality = overall_quality(found)
    assert quality is not None, "there are patches"
    each = [1 - tile.bytes / other.bytes for tile, other in zip(found, base, strict=True)]
    return MagnifiedRow(
        spec.label,
        magnification,
        quality.tiles,
        quality.bits_per_pixel,
        1 - sum(tile.bytes for tile in found) / sum(tile.bytes for tile in base),
        min(each),
        max(each),
        quality.ssim,
        quality.least_ssim,
        quality.ms_ssim,
        quality.psnr_db,
        quality.most_color_shift_levels,
    )
