"""Aperio SVS and generic tiled TIFF, tile by tile as the file stores them.

`layout` decides which images are levels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.pixels import eighth, opaque, unchanged
from wsicomp.codecs.registry import decode_tile, decode_tile_eighth, decode_tile_opaque
from wsicomp.errors import SlideReadError, TileReadError, UnsupportedSlideError
from wsicomp.files.inputs import reason
from wsicomp.formats.decoding import decoded_tile, region_of_tiles
from wsicomp.formats.openslide import KeptOpenSlideFile, OpenSlideFile
from wsicomp.formats.tiff import aperio
from wsicomp.formats.tiff.associated import associated_images, re_encoding_remark
from wsicomp.formats.tiff.directories import Directory, TiffFile, distinct_bytes, openslide_levels
from wsicomp.formats.tiff.layout import read_layout
from wsicomp.formats.tiff.planes import decode_planes
from wsicomp.formats.tiff.sample_kinds import (
    LARGEST_TILE_PX,
    TRANSPOSED,
    TURNS,
    PixelKind,
    check_level,
    kind_text,
    may_be_shown,
    orientation_remarks,
    stored_form,
)
from wsicomp.formats.tiff.shown_images import openslide_names
from wsicomp.formats.tiff.stored_encodings import odd_jpeg2000, stored_encoding, tile_encoding
from wsicomp.geometry import Mpp, Region, Size, TileIndex
from wsicomp.plan.provenance import Provenance
from wsicomp.slide import (
    APERIO_JPEG2000_YCBCR,
    RGB,
    EncodedTile,
    Level,
    Pixels,
    Rgba,
    SlideInfo,
    TileEncoding,
)


class TiffSlide:
    """A tiled TIFF: its levels, as encoded tiles and as pixels.

    `file` is the open file, for code that needs its bytes. `z` is the place of the focal plane to read,
    counted from 0; None is the first.

    Raises:
        SlideReadError: a level or its first tiles are damaged.
        UnsupportedSlideError: the file is not an 8-bit bright-field slide in tiles.
    """

    provenance: Provenance | None = None

    def __init__(self, path: Path, directories: Sequence[Directory], z: int | None = None) -> None:
        self._z = z
        self._first, self._shown = directories[0], openslide_levels(directories)
        self._names = openslide_names(directories)
        try:
            self._levels = self._chosen_levels(directories)
            self.file = TiffFile(path)
            self._kept = KeptOpenSlideFile(path)
            try:
                self._info = self._describe(path, directories)
            except BaseException:
                self.file.close()
                raise
        except SlideReadError as exc:
            exc.path = str(path)
            raise
        except OSError as exc:
            raise SlideReadError(reason(exc), path) from exc

    def _chosen_levels(self, directories: Sequence[Directory]) -> list[Directory]:
        self._layout = read_layout(directories, self._z)
        levels = list(self._layout.levels)
        for number, directory in enumerate(levels):
            try:
                check_level(directory, f"level {number}")
            except UnsupportedSlideError as exc:
                if self._layout.planes or not all(map(may_be_shown, levels)):
                    raise
                exc.kind = PixelKind(
                    kind_text(directory),
                    tuple(level.size for level in levels),
                    any(level.encoding.photometric == RGB and level.samples > 3 for level in levels),
                    {one.name: one.may_be for one in self._layout.named},
                )
                raise
        return levels

    @property
    def info(self) -> SlideInfo:
        """The facts that the file states in its tags and its ImageDescription."""
        return self._info

    def tile_ranges(self, level: int) -> NDArray[np.int64]:
        """Return (tiles, 2): offset and byte count of each tile of a level, in raster order.

        Both are 0 for a tile that the file does not store. A tile in planes has the offset of its first plane
        and the bytes of all planes.
        """
        directory = self._levels[level]
        if len(directory.ranges) == directory.grid.count:
            return directory.ranges
        planes = directory.ranges.reshape(-1, directory.grid.count, 2)
        return np.stack([planes[0, :, 0], planes[:, :, 1].sum(axis=0)], axis=1)

    def content_key(self, level: int, region: Region) -> bytes | None:
        """Return a key that is equal for regions of a level made of the same stored bytes.

        Return None where a tile under the region has no bytes and does not show white.
        """
        grid = self._levels[level].grid
        rows, columns = grid.under(region)
        touched = self._levels[level].ranges.reshape(-1, grid.rows, grid.columns, 2)[:, rows, columns]
        if not touched[..., 1].all() and not self.shows_absent_white(level):
            return None
        cut = (region.x % grid.tile.width, region.y % grid.tile.height, *region.size.shape)
        return repr(cut).encode() + touched.tobytes()

    def shows_absent_white(self, level: int) -> bool:
        """Return whether tiles without bytes are white, and not drawn from the next larger level."""
        return not (level and self.draws_absent_tiles)

    def strip_ranges(self, name: str) -> NDArray[np.int64]:
        """Return (strips, 2): offset and byte count of each strip of an associated image.

        Return no rows where the image is re-encoded and not carried as stored.
        """
        directory = self._images[name]
        needs_re_encoding = directory.tile is not None or name in self._as_shown
        return directory.ranges[:0] if needs_re_encoding else directory.ranges

    def openslide_name(self, name: str) -> str | None:
        """Return the name of an associated image in OpenSlide.

        Return None where OpenSlide does not show the image, or may not.
        """
        directory = self._images.get(name)
        return None if directory is None else self._names.get(id(directory))

    @property
    def openslide_levels(self) -> tuple[Size, ...]:
        """The sizes of the images that OpenSlide takes for levels, largest first."""
        return tuple(directory.size for directory in self._shown)

    @property
    def openslide_mpp(self) -> Mpp | None:
        """The um per px that OpenSlide reads from the file, never from OME-XML; None where it reads none."""
        return self._info.mpp if self._info.vendor == "aperio" else self._first.mpp

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile's bytes unchanged, with their encoding; empty bytes where the file stores none.

        Raises:
            SlideReadError: the level's samples cannot be copied in their stored form, or the file ends before
                the tile does.
        """
        level, directory = self._info.levels[index.level], self._levels[index.level]
        if not directory.is_rgb or directory.is_turned:
            raise SlideReadError(f"its {level.form} tiles cannot be copied", self._info.path, str(index))
        data, encoding = self.read_stored(index), level.encoding or directory.encoding
        if directory.encoding.compression == APERIO_JPEG2000_YCBCR:
            with contextlib.suppress(ValueError):  # of a damaged one nothing else can be said
                encoding = tile_encoding(directory.encoding, data)
        return EncodedTile(data, encoding, level.tile)

    def stored_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile as the file stores it: the same as `read_encoded_tile`.

        Raises:
            SlideReadError: the level's samples cannot be copied in their stored form, or the file ends before
                the tile does.
        """
        return self.read_encoded_tile(index)

    def is_exact(self, level: int) -> bool:  # noqa: ARG002
        """Return True: every pixel of a level is stored in the file."""
        return True

    def is_absent(self, index: TileIndex) -> bool:
        """Return whether the file stores no bytes for a tile."""
        number = index.row * self._levels[index.level].grid.columns + index.column
        return not self.tile_ranges(index.level)[number, 1]

    def is_rebuilt(self, index: TileIndex) -> bool:  # noqa: ARG002
        """Return False: only converted files have tiles that are rebuilt before they are decoded."""
        return False

    def is_neural(self, level: int) -> bool:  # noqa: ARG002
        """Return False: only converted files have neural tiles."""
        return False

    @property
    def has_model(self) -> bool:
        """Whether neural tiles, if there are any, can be read."""
        return True

    def require_model(self) -> None:
        """Do nothing: only converted files have neural tiles, which need a model."""

    def read_tiles(self, indices: Sequence[TileIndex]) -> list[Pixels]:
        """Return the pixels of tiles of one level, each as `read_tile` returns it.

        Raises:
            SlideReadError: one of the tiles cannot be read.
        """
        return [self.read_tile(index) for index in indices]

    def description_of(self, level: int) -> str:
        """Return the ImageDescription of a level, its bytes as Latin-1; "" where there is none."""
        return self._levels[level].description

    def read_stored(self, index: TileIndex) -> bytes:
        """Return a tile's stored bytes, unchecked, the highest bit of each first; planes one after another.

        Raises:
            SlideReadError: the file ends before the tile does.
        """
        return b"".join(self._read_parts(index))

    def read_stored_tiles(self, indices: Sequence[TileIndex]) -> list[bytes]:
        """Return the stored bytes of tiles of one level, each as `read_stored` does, in fewer reads.

        Raises:
            SlideReadError: the file ends before one of the tiles does.
        """
        directory = self._levels[indices[0].level]
        if directory.is_turned or len(directory.ranges) != directory.grid.count:
            return [self.read_stored(index) for index in indices]
        columns = directory.grid.columns
        ranges = directory.ranges[[index.row * columns + index.column for index in indices]]
        return self.file.read_many(map(tuple, ranges.tolist()), indices[0])

    def _read_parts(self, index: TileIndex) -> list[bytes]:
        directory = self._levels[index.level]
        number = index.row * directory.grid.columns + index.column
        ranges = directory.ranges[number :: directory.grid.count].tolist()
        return [directory.as_read(self.file.read(offset, count, index)) for offset, count in ranges]

    def read_tile(self, index: TileIndex) -> Pixels:
        """Return a whole tile's pixels, (rows, columns, 3) uint8 RGB; beyond the level's edge as stored.

        Raises:
            DamagedTileError: the tile decodes only in part; the error holds the decoded part.
            TileReadError: the tile cannot be decoded.
        """
        return self._decode(index, decode_tile)

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """Return a tile at an eighth of its size, (rows, columns, 3) uint8 RGB: means of 8 x 8 pixels.

        Raises:
            TileReadError: the tile cannot be decoded.
        """
        return self._decode(index, decode_tile_eighth, eighth)

    def read_tile_opaque(self, index: TileIndex) -> Rgba:
        """Return the pixels of `read_tile` with opaque alpha, (rows, columns, 4) uint8 RGBA.

        Raises:
            TileReadError: the tile cannot be decoded.
        """
        return self._decode(index, decode_tile_opaque, opaque)

    def decode_opaque(self, tile: EncodedTile, index: TileIndex) -> Rgba:
        """Return what `read_tile_opaque` returns of the tile that `read_encoded_tile` returned.

        Raises:
            TileReadError: the tile cannot be decoded.
        """
        return self._decoded(tile, index, decode_tile_opaque)

    def _decode(
        self,
        index: TileIndex,
        decoder: Callable[[EncodedTile], Pixels],
        alike: Callable[[Pixels], Pixels] = unchanged,
    ) -> Pixels:
        """Return what `decoder` makes of a tile; `alike` makes the same of pixels."""
        directory = self._levels[index.level]
        if not directory.is_rgb:
            return alike(self._decode_planes(index))
        if directory.is_turned:
            size = self._info.levels[index.level].tile
            tile = EncodedTile(self.read_stored(index), directory.encoding, size)
        else:
            tile = self.read_encoded_tile(index)
        if tile.data:
            return self._decoded(tile, index, decoder)
        return alike(self._absent_tile(index))

    def _decode_planes(self, index: TileIndex) -> Pixels:
        """Return the pixels of a tile in planes or with alpha."""
        parts = self._read_parts(index)
        if not any(parts):
            return self._absent_tile(index)
        directory = self._levels[index.level]
        assert directory.tile is not None, "levels are tiled"
        try:
            return decode_planes(parts, directory.encoding, directory.tile, directory.samples)
        except UnsupportedSlideError as exc:
            raise UnsupportedSlideError(exc.message, self._info.path, str(index)) from exc
        except (ValueError, RuntimeError) as exc:
            raise TileReadError(f"the tile does not decode ({exc})", self._info.path, str(index)) from exc

    def _decoded(
        self, tile: EncodedTile, index: TileIndex, decoder: Callable[[EncodedTile], Pixels] = decode_tile
    ) -> Pixels:
        return decoded_tile(tile, self._info.path, index, decoder)

    def is_by_openslide(self, level: int) -> bool:  # noqa: ARG002
        """Return False: the pixels are decoded here."""
        return False

    def is_redrawn_by_openslide(self, level: int) -> bool:
        """Return whether OpenSlide shows something else than a level's stored tiles.

        It turns each tile within itself by the level's Orientation, and draws the levels of an SVS anew
        below a level that lacks tiles.

        Source: OpenSlide decodes JPEG, and JPEG 2000 of Aperio's numbers, by itself, and leaves the rest to
        libtiff's TIFFReadRGBATile, which mirrors by the tag, and treats 5 to 8 as 1 to 4. Its aperio driver
        draws a tile anew if any tile above it has no bytes.
        """
        directory = self._levels[level]
        is_turned = directory.orientation in TURNS and directory.orientation != TRANSPOSED
        lacks_tiles_above = any(above.absent for above in self._info.levels[:level])
        return (is_turned and not directory.is_decoded_by_openslide) or (self.is_svs and lacks_tiles_above)

    @property
    def is_svs(self) -> bool:
        """Whether OpenSlide's aperio driver reads the file."""
        return self._info.vendor == "aperio"

    @property
    def draws_absent_tiles(self) -> bool:
        """Whether OpenSlide draws a tile without bytes from the next larger level."""
        return self._info.vendor == "aperio"

    def _absent_tile(self, index: TileIndex) -> Pixels:
        """Return a white tile.

        In an SVS the next larger level's pixels, as OpenSlide's aperio driver draws them.
        """
        level = self._info.levels[index.level]
        pixels = np.full((*level.tile.shape, 3), 255, np.uint8)
        if not self.shows_absent_white(index.level):
            region = level.grid.region(index.column, index.row)
            larger = self._info.levels[index.level - 1].size
            scale_x, scale_y = larger.width / level.size.width, larger.height / level.size.height
            left, top = int(region.x * scale_x), int(region.y * scale_y)
            right, bottom = (
                int((region.x + region.width) * scale_x),
                int((region.y + region.height) * scale_y),
            )
            if not 0 < (right - left) * (bottom - top) <= LARGEST_TILE_PX**2:
                message = "it has no bytes, and the next larger level is too large to draw it from"
                raise TileReadError(message, self._info.path, str(index))
            part = self.read_region(index.level - 1, Region(left, top, right - left, bottom - top))
            pixels[: region.height, : region.width] = cv2.resize(
                part, (region.width, region.height), interpolation=cv2.INTER_AREA
            )
        return pixels

    def read_region(self, level: int, region: Region) -> Pixels:
        """Return the pixels of a region in the level's own pixels, (rows, columns, 3) uint8 RGB.

        Each tile under the region is decoded once.

        Raises:
            DamagedTileError: a tile decodes only in part; the error holds the decoded part of the region.
            TileReadError: a tile cannot be decoded.
        """
        return region_of_tiles(self._info.levels[level].grid, level, region, self.read_tile)

    def shown(self) -> OpenSlideFile:
        """Return the file as it is open in OpenSlide, the same at each call; closing the slide closes it.

        Raises:
            SlideReadError: OpenSlide does not open it.
        """
        return self._kept.get()

    def close(self) -> None:
        """Close the file."""
        self._kept.close()
        self.file.close()

    def _describe(self, path: Path, directories: Sequence[Directory]) -> SlideInfo:
        first, chosen, layout = directories[0], self._levels[0], self._layout
        is_aperio = first.description.startswith("Aperio")
        description = aperio.plane_description(chosen.description, first.description) if is_aperio else ""
        fields = aperio.parse_fields(description)
        images, self._images, unsound = associated_images(self.file, layout.named, self._names)
        self._as_shown = {
            name: remark
            for name, directory in self._images.items()
            if directory.tile is None and (remark := re_encoding_remark(name, directory))
        }
        image = layout.image
        stated = None if image is None else image.mpp
        return SlideInfo(
            path=path,
            vendor="aperio" if is_aperio else "generic-tiff",
            levels=tuple(self._level(number) for number in range(len(self._levels))),
            mpp=aperio.mpp(fields) if is_aperio else stated or chosen.mpp,
            objective_power=aperio.objective_power(fields) if image is None else image.objective_power,
            icc_profile=chosen.icc_profile or first.icc_profile,
            description=description if is_aperio else first.description,
            properties={f"aperio.{key}": value for key, value in fields.items()},
            associated_images=images,
            omitted=(*unsound, *layout.omitted),
            planes=layout.planes,
            z=(self._z or 0) if layout.planes else None,
            remarks=(*layout.remarks, *self._as_shown.values(), *orientation_remarks(self._levels)),
            big=b"+" in self.file.read(0, 4, "header"),
        )

    def _level(self, number: int) -> Level:
        largest, directory = self._levels[0].size, self._levels[number]
        assert directory.tile is not None
        is_usual = directory.is_rgb and not directory.is_turned
        form = odd_jpeg2000(self.file, directory) if is_usual else stored_form(directory)
        stored = directory.ranges[:, 1].reshape(-1, directory.grid.count).sum(axis=0)
        return Level(
            directory.size,
            directory.tile,
            (largest.width / directory.size.width + largest.height / directory.size.height) / 2,
            None if form else self._encoding(number),
            0 if form else distinct_bytes(directory.ranges),
            tuple(np.flatnonzero(stored == 0).tolist()),
            form=form,
        )

    def _encoding(self, number: int) -> TileEncoding:
        """Return how a level's tiles are stored.

        By the tags alone where all tiles of a lower level are damaged.
        """
        directory = self._levels[number]
        try:
            return stored_encoding(self.file, directory, f"level {number}")
        except UnsupportedSlideError:
            raise
        except SlideReadError:
            if number == 0:
                raise
            return directory.encoding
