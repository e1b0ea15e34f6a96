"""Whether a slide and its conversion are one picture, to others: OpenSlide, tifffile and Pillow say so.

Nothing of it goes through wsicomp's own check or decoders, but for what the file says of its own making.
"""

from __future__ import annotations

from contextlib import closing

import cv2
import imagecodecs
import numpy as np
import openslide
import tifffile

from tests.drawn.jpegs import packed_jpeg
from wsicomp.formats.opening import open_reader, open_tiff
from wsicomp.slide import JPEG, TileEncoding
from wsicomp.verification.other_readers import decoded_by_others

LEAST_PX = 64
"""Of fewer pixels the errors of a lossy codec do not average out."""
LOSSY_SHIFT = 12.0
"""Grey levels within which JPEG of quality 90 keeps a tile's mean colour, of what is damaged too."""


def differences(source, target, lossless, lacks_levels=False):
    """How the target differs, in words; and whether OpenSlide alone shows the source otherwise than it.

    `lacks_levels` says that the conversion named what it did not carry on. Tiles that the target says were
    damaged in the source are left out, and so is what nobody can read there.
    """
    with closing(open_tiff(target)) as slide:
        plan, records = slide.provenance.plan, slide.provenance.levels
        before = Shown(source)
        with closing(open_reader(source)) as own:
            source_levels = own.info.levels
            named = [image.size for image in own.info.associated_images.values()]
            carried = {(size.width, size.height) for size in named}
        found, by_others = [], False
        sizes = [(level.size.width, level.size.height) for level in plan.levels]
        empty = [level.size for level in source_levels if len(level.absent) == level.grid.count]
        hidden = {(size.width, size.height) for size in empty}  # OpenSlide shows some of these, and some not
        lacking = [size for size in before.sizes if size not in sizes and size not in carried]
        if before.sizes and (set(sizes) - set(before.sizes) - hidden or (lacking and not lacks_levels)):
            found.append(f"levels of {sizes}, OpenSlide shows {before.sizes} in the source")
        after = Shown(target)
        for level, record in zip(plan.levels, records, strict=True):
            here = _target(slide, after, level)
            if here is None:
                continue
            skipped = _skipped(source, level, record, slide, source_levels)
            told = _level_differs(before, here, level, skipped, lossless)
            if told and not _level_differs(Decoded(source), here, level, skipped, lossless):
                told, by_others = None, True
            if told:
                found.append(f"level {level.number}: {told}")
    return found, by_others


def _skipped(source, level, record, slide, source_levels):
    """Tiles of which nothing can be said: lost, flawed, without bytes; None if OpenSlide draws all anew."""
    if slide.info.vendor == "aperio" and _lacks_above(source, level.size):
        return None
    numbers = {*record.lost, *record.flawed}
    numbers |= {int(number) for number in np.flatnonzero(level.actions.reshape(-1) == "Z")}
    return numbers | set(_over_absent(level, source_levels[level.source_level]))


def _lacks_above(source, size):
    """Whether tiles are missing in a larger tiled image, from which OpenSlide then draws a level."""
    with tifffile.TiffFile(source) as tiff:
        larger = [page for page in tiff.pages if page.is_tiled and page.imagewidth > size.width]
        return any(0 in page.databytecounts for page in larger)


def _over_absent(level, source):
    """Tiles that touch what the source has no bytes for; both may have tiles of their own size."""
    missing = np.zeros((source.grid.rows, source.grid.columns), bool)
    missing.reshape(-1)[list(source.absent)] = True
    pixels = np.kron(missing, np.ones(source.tile.shape, bool))
    for index in level.grid.raster(level.number):
        region = level.grid.region(index.column, index.row)
        y, x = region.y * level.reduction, region.x * level.reduction
        rows, columns = region.height * level.reduction, region.width * level.reduction
        if pixels[y : y + rows, x : x + columns].any():
            yield index.row * level.grid.columns + index.column


def _level_differs(before, here, level, skipped, lossless):
    if skipped is None:
        return None
    size = level.size
    whole = before.level((size.width, size.height))
    if whole is None:
        return None
    worst = None
    for index in level.grid.raster(level.number):
        number = index.row * level.grid.columns + index.column
        region = level.grid.region(index.column, index.row)
        part = slice(region.y, region.y + region.height), slice(region.x, region.x + region.width)
        if number in skipped or not before.knows((size.width, size.height), part):
            continue
        apart = cv2.absdiff(np.ascontiguousarray(whole[part]), np.ascontiguousarray(here[part]))
        most, mean = int(apart.max()), float(apart.mean())
        if lossless and most > 2 and mean > 1:
            worst = f"tile ({index.column}, {index.row}) up to {most}, {mean:.1f} in the mean"
        shift = np.abs(whole[part].mean((0, 1)) - here[part].mean((0, 1))).max()
        if not lossless and shift > LOSSY_SHIFT and region.width * region.height >= LEAST_PX:
            worst = f"tile ({index.column}, {index.row}) has a mean colour {shift:.1f} off"
    return worst


class Shown:
    """A file as OpenSlide shows it: its levels on white, tile by tile where it cannot show all."""

    def __init__(self, path):
        self._path = path
        self._known = {}
        try:
            with openslide.OpenSlide(path) as slide:
                self.sizes = list(slide.level_dimensions)
        except (openslide.OpenSlideError, OSError):
            self.sizes = []

    def level(self, size):
        """The pixels of the level of this size; None if there is none, or none that can be read."""
        if self.sizes.count(size) != 1:
            return None
        number = self.sizes.index(size)
        whole = self._region(number, (0, 0), size)
        if whole is not None:
            self._known[size] = np.ones(size[::-1], bool)
            return whole
        return self._in_parts(number, size)

    def _in_parts(self, number, size):
        """What can be read of a damaged level, in squares of 8 px at whole pixels."""
        pixels, known = np.zeros((*size[::-1], 3), np.uint8), np.zeros(size[::-1], bool)
        if number:
            return None
        for y in range(0, size[1], 16):
            for x in range(0, size[0], 16):
                part = self._region(number, (x, y), (min(16, size[0] - x), min(16, size[1] - y)))
                if part is not None:
                    pixels[y : y + 16, x : x + 16], known[y : y + 16, x : x + 16] = part, True
        self._known[size] = known
        return pixels

    def _region(self, number, location, size):
        try:
            with openslide.OpenSlide(self._path) as slide:
                rgba = np.asarray(slide.read_region(location, number, size)).astype(np.uint16)
        except (openslide.OpenSlideError, OSError):
            return None
        alpha = rgba[..., 3:]
        return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

    def knows(self, size, part):
        """Whether a part of a level could be read."""
        return bool(self._known[size][part].all())


class Decoded:
    """A TIFF as tifffile shows it."""

    def __init__(self, path):
        self._levels = {}
        try:
            with tifffile.TiffFile(path) as tiff:
                for page in tiff.pages:
                    if page.is_tiled:
                        self._levels.setdefault((page.imagewidth, page.imagelength), page.asarray()[..., :3])
        except Exception:  # whatever tifffile says of a damaged file
            self._levels = {}

    def level(self, size):
        """The pixels of a level of this size, None if there is none that it reads."""
        found = self._levels.get(size)
        return found if found is not None and found.shape == (size[1], size[0], 3) else None

    def knows(self, size, part):
        """It shows all or nothing."""
        return size in self._levels


def _target(slide, after, level):
    """A level of a conversion as others show it; None if nobody can."""
    whole = after.level((level.size.width, level.size.height))
    if whole is not None:
        return whole
    pixels = np.full((*level.size.shape, 3), 255, np.uint8)
    for index in level.grid.raster(level.number):
        region = level.grid.region(index.column, index.row)
        tile = _stored_tile(slide, level, index)
        if tile is not None:
            part = slice(region.y, region.y + region.height), slice(region.x, region.x + region.width)
            pixels[part] = tile[: region.height, : region.width]
    return pixels


def _stored_tile(slide, level, index):
    """A tile by Pillow or its codec's own library; JPEG in JPEG XL is taken out first."""
    data = slide.read_stored(index)
    if not data:
        return None
    encoding = level.encoding
    if slide.is_kept(index):
        encoding = level.shown
    elif (
        level.shown.compression == JPEG != encoding.compression
        and level.actions[index.row, index.column] == "T"
    ):
        data = bytes(imagecodecs.jpegxl_decode_jpeg(packed_jpeg(data, level.recipe(index).shared)))
        encoding = TileEncoding(JPEG, level.shown.photometric, level.shown.subsampling)
    try:
        return decoded_by_others(data, encoding, level.tile)
    except (ValueError, RuntimeError, OSError):
        return None
