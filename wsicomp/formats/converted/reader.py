"""Reads files that wsicomp wrote, by the plan and the digests that they carry.

Every tile is checked against the digest that was written with it: damage is an error that names the tile,
never a picture. Tiles that were packed are returned as the source stored them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.neural.payload import is_payload
from wsicomp.codecs.pixels import eighth, opaque, unchanged
from wsicomp.codecs.registry import (
    can_decode,
    codec_names,
    create_transcoder,
    decode_tile,
    decode_tile_eighth,
    decode_tile_opaque,
    decode_tiles,
    has_transcoder,
    require_model,
    tile_format,
)
from wsicomp.errors import (
    CodecUnavailableError,
    SlideReadError,
    TileReadError,
    UnknownModelError,
    UnsupportedSlideError,
    WeightsError,
)
from wsicomp.formats.converted.tile_digests import TileLedger, image_digest
from wsicomp.formats.tiff import aperio
from wsicomp.formats.tiff.associated import associated_image
from wsicomp.formats.tiff.directories import Directory, distinct_bytes
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.formats.tiff.sample_kinds import check_level
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.provenance import Provenance, Restoration
from wsicomp.slide import (
    JPEG,
    NEURAL,
    AssociatedImage,
    EncodedTile,
    Level,
    Pixels,
    Rgba,
    SlideInfo,
    TileEncoding,
)

_BLOCK_BYTES = 1 << 20
NO_SOURCE = "it does not hold its source; only a file converted with `restorable=True` does"
_UNPACKED_BOUND = 5
"""A bound on the bytes for a pixel of an unpacked tile."""


def _has_neural_tiles(provenance: Provenance) -> bool:
    """Return whether a file needs a model: whether a tile of a neural codec is not stored otherwise."""
    levels = zip(provenance.plan.levels, provenance.levels, strict=True)
    found = [record.guarded for plan, record in levels if plan.encoding.compression == NEURAL]
    return any(each.tiles > each.sparse + each.repacked + len(each.fell_back) for each in found if each)


class ConvertedSlide(TiffSlide):
    """A file that wsicomp wrote, with the levels and properties of its source, as far as they were kept.

    Raises:
        SlideReadError: an image of the file differs from the plan that it carries, or its profile is damaged.
    """

    provenance: Provenance

    def __init__(self, path: Path, directories: Sequence[Directory], provenance: Provenance) -> None:
        self.provenance = provenance
        written = written_directories(directories)
        super().__init__(path, written)
        self._stored_ranges = [directory.ranges for directory in written]
        self._model_range = directories[0].model_range
        self._has_model = provenance.plan.model is None
        self._needs_model = _has_neural_tiles(provenance)
        self.model_flaw = ""
        """What is wrong with the model that the file carries, as `require_model` has found."""
        self._blank_colors: dict[tuple[int, int], Pixels] = {}
        self._ledgers = [
            TileLedger(level, record)
            for level, record in zip(provenance.plan.levels, provenance.levels, strict=True)
        ]

    def action(self, index: TileIndex) -> TileAction:
        """Return the plan's action for a tile."""
        return self.provenance.plan.levels[index.level].action(index)

    def is_absent(self, index: TileIndex) -> bool:
        """Return whether the file stores no bytes for a tile: its action in the plan is EMPTY."""
        return self.action(index) is TileAction.EMPTY

    def is_kept(self, index: TileIndex) -> bool:
        """Return whether a tile is not repacked although its action is TRANSCODE.

        It is stored as `TileTranscoder.keep` makes it.
        """
        return self._ledgers[index.level].is_kept(index)

    def is_lost(self, index: TileIndex) -> bool:
        """Return whether the source's tile could not be decoded; the file shows background in its place."""
        return self._ledgers[index.level].is_lost(index)

    def is_sound(self, index: TileIndex, data: bytes) -> bool:
        """Return whether these bytes have the digest of a tile.

        The tile is not blank, empty or lost.
        """
        return self._ledgers[index.level].is_sound(index, data)

    def content_key(self, level: int, region: Region) -> bytes | None:
        """Return the key of `TiffSlide.content_key` with actions and colours of the tiles under the region.

        Return None where a tile of the level was lost.
        """
        plan, record = self.provenance.plan.levels[level], self.provenance.levels[level]
        key = super().content_key(level, region)
        if key is None or record.lost:
            return None
        under = plan.grid.under(region)
        shades = b"" if plan.shades is None else plan.shades[under].tobytes()
        return key + plan.actions[under].tobytes() + shades

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile as the source stored it if it was packed without loss, else as this file stores it.

        A blank tile holds background. An empty tile holds background if glass was emptied, else no bytes.

        Raises:
            TileReadError: the tile's bytes are not those that were written, or the source's tile was damaged
                already.
        """
        plan = self.provenance.plan.levels[index.level]
        recipe, action = plan.recipe(index), self.action(index)
        if action is TileAction.EMPTY and not self.provenance.plan.empties_glass:
            return EncodedTile(b"", recipe.shown, plan.tile)
        if action in (TileAction.EMPTY, TileAction.BLANK):
            return self._blank_tile(plan, recipe.shown, plan.shade(index))
        return self.tile_of(index, self._read_sound(index))

    def tile_of(self, index: TileIndex, data: bytes) -> EncodedTile:
        """Return what `read_encoded_tile` does of a tile of which the stored bytes are at hand, and sound.

        The tile is not blank, empty or lost.

        Raises:
            TileReadError: the tile does not unpack.
        """
        stored = self._as_stored(index, data)
        if not self._is_packed(index):
            return stored
        recipe = self.provenance.plan.levels[index.level].recipe(index)
        try:
            return create_transcoder(recipe.codec, shared=recipe.shared).unpack(stored, recipe.shown)
        except (ValueError, RuntimeError) as exc:
            raise TileReadError(f"the tile does not unpack ({exc})", self._info.path, str(index)) from exc

    def eighth_of(self, index: TileIndex, data: bytes) -> Pixels:
        """Return what `read_tile_eighth` does of a tile of which the stored bytes are at hand, and sound.

        The tile is not blank, empty or lost.

        Raises:
            TileReadError: the tile does not unpack or decode.
            UnsupportedSlideError: the model of a neural tile is not on this machine.
        """
        return self._decoded(self.tile_of(index, data), index, decode_tile_eighth)

    def read_tile(self, index: TileIndex) -> Pixels:
        """Return a whole tile's pixels, (rows, columns, 3) uint8 RGB; background for a blank tile.

        Raises:
            TileReadError: the tile's bytes are not those that were written, or do not decode.
            UnsupportedSlideError: the model of a neural tile is not on this machine.
        """
        return self._pixels(index, decode_tile, unchanged)

    def read_tile_opaque(self, index: TileIndex) -> Rgba:
        """Return the pixels of `read_tile` with opaque alpha, (rows, columns, 4) uint8 RGBA.

        Raises:
            TileReadError: the tile's bytes are not those that were written, or do not decode.
            UnsupportedSlideError: the model of a neural tile is not on this machine.
        """
        return self._pixels(index, decode_tile_opaque, opaque)

    def _pixels(
        self,
        index: TileIndex,
        decoder: Callable[[EncodedTile], Pixels],
        alike: Callable[[Pixels], Pixels],
    ) -> Pixels:
        """Return what `decoder` makes of a tile; `alike` makes the same of pixels."""
        plan = self.provenance.plan.levels[index.level]
        if self.action(index) is TileAction.BLANK:
            return alike(self.blank_pixels(index))
        if self._is_packed(index) and plan.recipe(index).shown.compression != JPEG:
            return self._decoded(self.stored_tile(index), index, decoder)
        return self._decode(index, decoder, alike)

    def _is_packed(self, index: TileIndex) -> bool:
        """Return whether a tile is stored otherwise than `read_encoded_tile` returns it."""
        return self.action(index) is TileAction.TRANSCODE and not self.is_kept(index)

    def stored_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile as the file stores it, packed or not.

        Raises:
            TileReadError: the tile's bytes are not those that were written, or the source's tile was damaged
                already.
        """
        plan = self.provenance.plan.levels[index.level]
        if self.action(index) in (TileAction.BLANK, TileAction.EMPTY):
            return EncodedTile(self.read_stored(index), plan.encoding, plan.tile)
        return self._as_stored(index, self._read_sound(index))

    def _as_stored(self, index: TileIndex, data: bytes) -> EncodedTile:
        plan = self.provenance.plan.levels[index.level]
        recipe = plan.recipe(index)
        return EncodedTile(data, recipe.encoding if self._is_packed(index) else recipe.shown, plan.tile)

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """Return a tile at an eighth of its size, (rows, columns, 3) uint8 RGB: means of 8 x 8 pixels.

        Raises:
            TileReadError: the tile's bytes are not those that were written, or do not decode.
            UnsupportedSlideError: the model of a neural tile is not on this machine.
        """
        return self._decode(index, decode_tile_eighth, eighth)

    def is_rebuilt(self, index: TileIndex) -> bool:
        """Return whether a tile's JPEG is rebuilt before it is decoded, which takes longer than decoding."""
        recipe = self.provenance.plan.levels[index.level].recipe(index)
        return recipe.shown.compression == JPEG != recipe.encoding.compression and self._is_packed(index)

    def is_neural(self, level: int) -> bool:
        """Return whether a level has neural tiles, which are read fastest many at once."""
        return self.provenance.plan.levels[level].encoding.compression == NEURAL

    def read_tiles(self, indices: Sequence[TileIndex]) -> list[Pixels]:
        """Return the pixels of neural tiles of one level, each as `read_tile` returns it, decoded in batches.

        Raises:
            SlideReadError: a tile cannot be read; the error names the first one.
        """
        tiles = [self.read_encoded_tile(index) for index in indices]
        try:
            if any(is_payload(tile.data) for tile in tiles):
                self.require_model()
            return decode_tiles(tiles)
        except (ValueError, RuntimeError, SlideReadError, UnknownModelError):
            return [self.read_tile(index) for index in indices]  # says which one it is

    @property
    def has_model(self) -> bool:
        """Whether neural tiles, if the file counts any, can be decoded, as `require_model` has found."""
        return self._has_model or not self._needs_model

    def require_model(self) -> None:
        """Load the model that decodes this file's neural tiles, from the file or from this machine.

        A damaged model in the file is replaced by the same one of this machine. It is loaded even where the
        file counts no tile that needs it: what a tile is, its bytes say.

        Raises:
            UnsupportedSlideError: the model is not here or cannot run here, or its library is not installed.
        """
        model = self.provenance.plan.model
        if self._has_model or model is None:
            return
        embedded = self._embedded_model() if model["embedded"] else None
        try:
            self.model_flaw = require_model(model["architecture"], model["name"], model["sha256"], embedded)
        except (CodecUnavailableError, UnknownModelError, WeightsError, SlideReadError) as exc:
            raise UnsupportedSlideError(exc.message, self._info.path) from exc
        self._has_model = True

    def _embedded_model(self) -> bytes:
        offset, count = self._model_range or (0, 0)
        try:
            return self.file.read(offset, count, "the model that it carries")
        except SlideReadError:
            return b""  # no model either

    def _decoded(
        self, tile: EncodedTile, index: TileIndex, decoder: Callable[[EncodedTile], Pixels] = decode_tile
    ) -> Pixels:
        if tile.encoding.compression == NEURAL and is_payload(tile.data):
            self.require_model()
        return super()._decoded(tile, index, decoder)

    def stored_ranges(self) -> list[NDArray[np.int64]]:
        """Return for each image of the plan, in its order, (tiles or strips, 2): offset and byte count."""
        return self._stored_ranges

    def required_restoration(self) -> Restoration:
        """Return the place of what rebuilds the source.

        Raises:
            SlideReadError: the file holds no such bytes.
        """
        if self.provenance.restoration is None:
            raise SlideReadError(NO_SOURCE, self._info.path)
        return self.provenance.restoration

    def open_restoration(self) -> BinaryIO:
        """Open the bytes that rebuild the source together with the tiles, as a file at the first of them.

        Raises:
            SlideReadError: the file holds no such bytes, or they are damaged.
        """
        kept = self.required_restoration()
        digest, end = hashlib.sha256(), kept.offset + kept.bytes
        for at in range(kept.offset, end, _BLOCK_BYTES):
            digest.update(self.file.read(at, min(_BLOCK_BYTES, end - at), "what rebuilds the source"))
        if digest.hexdigest() != kept.sha256:
            message = "the bytes that rebuild the source are damaged; take the file from a copy"
            raise SlideReadError(message, self._info.path)
        file = self._info.path.open("rb")
        file.seek(kept.offset)
        return file

    def _blank_tile(self, plan: LevelPlan, encoding: TileEncoding, shade: int) -> EncodedTile:
        encode = tile_format(encoding.compression).encode_uniform
        try:
            data = encode(encoding, plan.tile, self.provenance.plan.palette[shade])
        except ValueError as exc:
            raise self._no_blank(plan, exc) from exc
        return EncodedTile(data, encoding, plan.tile)

    def blank_pixels(self, index: TileIndex) -> Pixels:
        """Return the pixels that a tile has if it is blank, (rows, columns, 3) uint8 RGB.

        They are of the tile's colour of glass, as near as its level's encoding comes.

        Raises:
            SlideReadError: the encoding cannot hold the colour, or nothing decodes it.
        """
        plan = self.provenance.plan.levels[index.level]
        key = plan.number, plan.shade(index)
        color = self._blank_colors.get(key)
        if color is not None:
            return _filled(plan.tile, color)
        tile = self._blank_tile(plan, plan.encoding, plan.shade(index))
        try:
            pixels = decode_tile(tile)
        except (ValueError, RuntimeError) as exc:  # it may be stored in a way that nothing decodes
            raise self._no_blank(plan, exc) from exc
        if (pixels == pixels[0, 0]).all():
            self._blank_colors[key] = pixels[0, 0].copy()  # a whole tile of each shade would fill the memory
        return pixels

    def _no_blank(self, plan: LevelPlan, error: Exception) -> SlideReadError:
        message = f"no blank tile can be made of its background ({error})"
        return SlideReadError(message, self._info.path, f"level {plan.number}")

    def _read_sound(self, index: TileIndex) -> bytes:
        if self.is_lost(index):
            message = "the source's tile could not be decoded when the file was made; look in the source"
            raise TileReadError(message, self._info.path, str(index))
        data = self.read_stored(index)
        if not self.is_sound(index, data):
            message = "damaged: its bytes are not those that were written; take the file from a copy"
            raise TileReadError(message, self._info.path, str(index))
        return data

    def _chosen_levels(self, directories: Sequence[Directory]) -> list[Directory]:
        plan = self.provenance.plan
        if len(directories) != len(plan.directories):
            found = f"{len(directories)} images, expected {len(plan.directories)}"
            raise SlideReadError(f"{found}; the file is damaged")
        levels = {}
        for directory, part in zip(directories, plan.directories, strict=True):
            if isinstance(part, LevelPlan):
                _check_level(directory, part)
                check_level(directory, f"level {part.number}")
                levels[part.number] = directory
        return [levels[level.number] for level in plan.levels]

    def _describe(self, path: Path, directories: Sequence[Directory]) -> SlideInfo:
        plan, properties = self.provenance.plan, self.provenance.properties
        images = self._carried_images(directories)
        icc_profile = directories[0].icc_profile
        if hashlib.sha256(icc_profile or b"").hexdigest() != self.provenance.icc_sha256:
            raise SlideReadError("damaged; take the file from a copy", place="ICC profile")
        vendor = properties.get("openslide.vendor", "generic-tiff")
        if plan.container == "svs":
            description = directories[0].description
            cut = aperio.limited_description(plan.description)
            if cut != plan.description and description.endswith(cut):
                description = description.removesuffix(cut) + plan.description
        else:
            description = (
                plan.description if vendor == "aperio" else properties.get("tiff.ImageDescription", "")
            )
        return SlideInfo(
            path=path,
            vendor=vendor,
            levels=tuple(self._level(number) for number in range(len(plan.levels))),
            mpp=plan.mpp,
            objective_power=plan.objective_power,
            icc_profile=icc_profile,
            description=description,
            properties=properties,
            associated_images=images,
            omitted=tuple(f"{name} (damaged)" for name in plan.images if name not in images),
            palette=plan.palette,
            z=plan.plane,
            from_level=plan.from_level,
            big=plan.big,
        )

    def openslide_name(self, name: str) -> str | None:
        """Return `name` for an SVS; None for a generic TIFF, of which OpenSlide shows no such images."""
        return name if self.provenance.plan.container == "svs" else None

    def _carried_images(self, directories: Sequence[Directory]) -> dict[str, AssociatedImage]:
        images = {}
        for directory, part in zip(directories, self.provenance.plan.directories, strict=True):
            if isinstance(part, LevelPlan):
                continue
            image = associated_image(self.file, directory) if directory.tile is None else None
            if image is not None and image_digest(image) == self.provenance.image_sha256[part]:
                images[part] = image
        return images

    @property
    def damaged_images(self) -> tuple[str, ...]:
        """The names of associated images that differ from their digests, and are therefore not shown."""
        return tuple(name for name in self.provenance.plan.images if name not in self._info.associated_images)

    def _level(self, number: int) -> Level:
        plan = self.provenance.plan
        planned = plan.levels[number]
        letters = planned.actions.reshape(-1)
        empty = np.flatnonzero(letters == TileAction.EMPTY.value)
        blank = np.flatnonzero(letters == TileAction.BLANK.value)
        if plan.empties_glass:
            empty, blank = empty[:0], np.union1d(empty, blank)
        shades = () if planned.shades is None else tuple(planned.shades.reshape(-1)[blank].tolist())
        size = plan.levels[0].size
        stored = distinct_bytes(self._levels[number].ranges)
        if planned.shown != planned.encoding:
            own = planned.grid.count - len(empty) - len(blank)
            stored = max(stored, own * planned.tile.width * planned.tile.height * _UNPACKED_BOUND)
        return Level(
            planned.size,
            planned.tile,
            (size.width / planned.size.width + size.height / planned.size.height) / 2,
            planned.shown,
            0 if planned.shown is None else stored,
            tuple(empty.tolist()),
            tuple(blank.tolist()),
            shades,
            "" if planned.shown else "tiles of several recipes",
        )

    @property
    def is_svs(self) -> bool:
        """Whether OpenSlide's aperio driver reads the file, whatever its source was."""
        return self.provenance.plan.container == "svs"

    @property
    def draws_absent_tiles(self) -> bool:
        """Whether empty tiles are those that an SVS source lacks: OpenSlide draws them from larger levels."""
        return not self.provenance.plan.empties_glass and self._info.vendor == "aperio"


def written_directories(directories: Sequence[Directory]) -> list[Directory]:
    """Return the images of a converted file in its plan's order.

    In a generic TIFF associated images are SubIFDs. In files of 0.5.0 and older they end the chain of levels.
    """
    return [*directories, *directories[0].subs]


def _filled(size: Size, color: Pixels) -> Pixels:
    """Return a tile of one colour, row by row: pixel by pixel numpy takes many times as long."""
    row = np.tile(color, size.width)
    return np.full((size.height, len(row)), row).reshape(*size.shape, 3)


def _check_level(directory: Directory, plan: LevelPlan) -> None:
    """Check the tags of a level against its plan.

    Raises:
        SlideReadError: size or encoding differ.
        UnsupportedSlideError: a recipe is of another version of wsicomp.
    """
    place, tile = f"level {plan.number}", directory.tile or Size(0, 0)
    if (directory.size, tile) != (plan.size, plan.tile):
        found = f"{directory.size} px in tiles of {tile}, expected {plan.size} in {plan.tile}"
        raise SlideReadError(f"{found}; the file is damaged", place=place)
    for number, recipe in enumerate(plan.recipes):
        codec, compression = recipe.codec, recipe.shown.compression
        if not can_decode(compression) or codec not in ("copy", *codec_names()):
            message = f"codec {codec}, compression {compression}: of another version of wsicomp"
            raise UnsupportedSlideError(message, place=place)
        if TileAction.TRANSCODE in plan.actions_of(number) and not has_transcoder(codec):
            message = f"codec {codec} does not transcode in this version of wsicomp"
            raise UnsupportedSlideError(message, place=place)
    stored, planned = directory.encoding, plan.encoding
    for name in ("compression", "photometric", "predictor", "jpeg_tables"):
        if getattr(stored, name) != getattr(planned, name):
            found = f"its {name.replace('_', ' ')} is not the one that was written"
            raise SlideReadError(f"{found}; the file is damaged", place=place)
