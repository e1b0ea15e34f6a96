"""Checks a written file's tiles, batch by batch: their bytes, and the pixels they decode to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from wsicomp.codecs.quality import LEAST_SIDE_PX, Fidelity, fidelity
from wsicomp.codecs.registry import create_transcoder, decode_tile, is_guarded
from wsicomp.deidentification.deidentify import carried_tile
from wsicomp.errors import SlideReadError, TileReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import TileAction
from wsicomp.plan.provenance import Guarded
from wsicomp.slide import EncodedTile, Pixels
from wsicomp.verification.problems import Problem
from wsicomp.verification.source_comparison import SourceComparison

_SSIM_TOLERANCE, _PSNR_TOLERANCE, _SHIFT_TOLERANCE = 0.002, 0.2, 0.5
"""Machines round neural tiles differently, by a grey level at most."""


def tile_names(level: int, columns: int, numbers: Iterable[int]) -> Iterator[str]:
    """Yield the names of a level's tiles by their numbers, which count in raster order from 0.

    The level has `columns` tiles in a row.
    """
    return (str(TileIndex(level, number % columns, number // columns)) for number in numbers)


class TileCheck:
    """Checks batches of one level's tiles; in a file of another program each tile must decode.

    `flawed` collects the tiles that were damaged in the source already and are stored so, `measured` the
    fidelity of those that were compared with their source.
    """

    def __init__(self, slide: TiffSlide) -> None:
        self.flawed: list[str] = []
        self.measured: list[Fidelity] = []
        self._slide = slide

    def batch(self, indices: list[TileIndex]) -> tuple[list[bytes], list[Problem]]:
        """Return the bytes of these tiles, and their problems."""
        data, problems = [], []
        for index, tile in zip(indices, self._stored(indices), strict=True):
            if isinstance(tile, SlideReadError):
                problems.append(Problem("tile-damaged", str(index), tile.message))
                continue
            data.append(tile)
            problems += self._check(index, tile)
        return data, problems

    def _stored(self, indices: list[TileIndex]) -> Iterable[bytes | SlideReadError]:
        """Return the bytes of each tile, or the error in their place."""
        try:
            return self._slide.read_stored_tiles(indices)
        except SlideReadError:
            return map(self._stored_alone, indices)

    def _stored_alone(self, index: TileIndex) -> bytes | SlideReadError:
        try:
            return self._slide.read_stored(index)
        except SlideReadError as exc:
            return exc

    def _check(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        if data:
            yield from self._check_decoding(index, data)

    def _check_decoding(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        try:
            self._eighth(index, data)
        except TileReadError as exc:
            yield Problem("tile-damaged", str(index), exc.message)

    def _eighth(self, index: TileIndex, data: bytes) -> Pixels:  # noqa: ARG002
        """Decode a tile, of which `data` are the stored bytes."""
        return self._slide.read_tile_eighth(index)


class ConvertedTileCheck(TileCheck):
    """Checks tiles against their digests, their plan and, where there is one, their source.

    `is_direct` says that the file was made from this source, and not from another conversion of it. With
    `comparison` every encoded tile is compared with the source's, and lost ones are read in the source.
    """

    def __init__(
        self,
        slide: ConvertedSlide,
        number: int,
        source: Slide | None,
        is_direct: bool,
        is_fresh: bool,
        comparison: SourceComparison | None = None,
    ) -> None:
        super().__init__(slide)
        self._sound: tuple[int, bytes] | None = None
        self._converted = slide
        self._plan = slide.provenance.plan.levels[number]
        self.flawed += tile_names(number, self._plan.grid.columns, slide.provenance.levels[number].flawed)
        self._source = source
        self._is_direct = is_direct
        self._is_fresh = is_fresh
        self._comparison = comparison
        self._is_deidentified = slide.provenance.plan.deidentified

    def _check(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        action = self._converted.action(index)
        if self._converted.is_lost(index):
            found = None if self._comparison is None else self._comparison.check_lost(index)
            yield from () if found is None else (found,)
            return
        if action in (TileAction.BLANK, TileAction.EMPTY):
            return
        if not data:
            yield Problem("tile-missing", str(index), "0 bytes, expected a picture")
        elif not self._converted.is_sound(index, data):
            yield Problem("tile-damaged", str(index), "its bytes are not those that were written")
            if self._is_carried(index, action):
                yield from self._check_carried(index, data)
        elif self._is_carried(index, action):
            yield from self._check_carried(index, data)
            self._note_flaws(index, data)
        elif self._needs_digest_alone(index, action):
            return
        elif action is TileAction.TRANSCODE:
            yield from self._check_transcoded(index, data)
        elif self._comparison is not None or (action is TileAction.ENCODE and self._is_comparable(index)):
            yield from self._check_encoded(index, action)
        else:
            yield from self._check_decoding(index, data)

    def _eighth(self, index: TileIndex, data: bytes) -> Pixels:
        return self._converted.eighth_of(index, data)

    def _needs_digest_alone(self, index: TileIndex, action: TileAction) -> bool:
        """Return whether the digest is all that can be checked.

        Its model is not here, or it was read back when made.
        """
        if self._converted.is_neural(index.level) and not self._converted.has_model:
            return True
        return self._is_fresh and (action is TileAction.TRANSCODE or self._guarded(index) is not None)

    def _guarded(self, index: TileIndex) -> Guarded | None:
        record = self._converted.provenance.levels[self._plan.number]
        return record.guarded_of(self._plan.recipe_number(index))

    def _is_comparable(self, index: TileIndex) -> bool:
        """Return whether a guarded codec's tile can be compared with the source's pixels once more."""
        if self._source is None or not self._is_direct or not is_guarded(self._plan.recipe(index).codec):
            return False
        return self._plan.keeps_tiles_of(self._source.info.levels)

    def _least(self, index: TileIndex, name: str) -> float:
        """Return the least figure that the codec's options ask of a tile.

        For PSNR else the least one measured.
        """
        options, guarded = self._plan.recipe(index).options, self._guarded(index)
        asked = options.get(name, options.get("psnr") if name == "min_psnr" else None)
        if asked is None and name == "min_psnr" and guarded is not None:
            asked = guarded.least_psnr
        return -math.inf if asked is None else float(asked)

    def _check_encoded(self, index: TileIndex, action: TileAction) -> Iterator[Problem]:
        try:
            tile = self._slide.read_tile(index)
        except TileReadError as exc:
            yield Problem("tile-damaged", str(index), exc.message)
            return
        if action is TileAction.ENCODE and self._is_comparable(index):
            unfaithful = list(self._check_fidelity(index, tile))
            if unfaithful:
                yield from unfaithful
                return
        if self._comparison is None:
            return
        found = self._comparison.compare(index, tile)
        if found.is_damaged and str(index) not in self.flawed:
            self.flawed.append(str(index))
        if found.problem is not None:
            yield found.problem

    def _check_fidelity(self, index: TileIndex, tile: Pixels) -> Iterator[Problem]:
        assert self._source is not None, "there is something to compare with"
        if str(index) in self.flawed or min(tile.shape[:2]) < LEAST_SIDE_PX:
            return
        visible = self._plan.grid.region(index.column, index.row).size
        found = fidelity(self._source.read_tile(self._in_source(index)), tile, visible)
        self.measured.append(found)
        most_shift = float(self._plan.recipe(index).options.get("max_color_shift", math.inf))
        limits = (
            ("SSIM", found.ssim, self._least(index, "min_ssim") - _SSIM_TOLERANCE),
            ("PSNR", found.psnr, self._least(index, "min_psnr") - _PSNR_TOLERANCE),
            ("shift of colour", -found.color_shift, -most_shift - _SHIFT_TOLERANCE),
        )
        for name, value, least in limits:
            if value < least:
                message = (
                    f"{name} {abs(value):.3f} on this machine, beyond the {abs(least):.3f} that it may be"
                )
                yield Problem("tile-unfaithful", str(index), message)

    def _in_source(self, index: TileIndex) -> TileIndex:
        return TileIndex(self._plan.source_level, index.column, index.row)

    def _is_carried(self, index: TileIndex, action: TileAction) -> bool:
        return action is TileAction.COPY or self._converted.is_kept(index)

    def _check_carried(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        if self._source is None:
            return
        tile = self._carried(index)
        if tile is None:
            yield Problem("tile-differs", str(index), "the source's tile cannot be decoded")
            return
        is_copy = self._converted.action(index) is TileAction.COPY
        transcoder = None if is_copy else create_transcoder(self._plan.recipe(index).codec)
        if not (tile.data == data if transcoder is None else transcoder.is_kept(tile, data)):
            yield Problem("tile-differs", str(index), "not the source's bytes")
        elif self._comparison is not None and not self._shows_the_same(index, data, tile):
            yield Problem(
                "tile-differs", str(index), "it has the source's bytes, but decodes to another picture"
            )

    def _shows_the_same(self, index: TileIndex, data: bytes, original: EncodedTile) -> bool:
        """Return whether equal bytes make the same picture: tables and colours are stored beside them."""
        tile = self._converted.tile_of(index, data)
        if (tile.encoding, tile.size) == (original.encoding, original.size):
            return True
        try:
            return np.array_equal(decode_tile(tile), decode_tile(original))
        except (SlideReadError, ValueError, RuntimeError):
            return False

    def _carried(self, index: TileIndex) -> EncodedTile | None:
        """Return the source's tile as it was carried; None where it cannot be decoded to name nobody."""
        assert self._source is not None, "there is something to compare with"
        tile = self._source.read_encoded_tile(self._in_source(index))
        if not self._is_deidentified:
            return tile
        visible = self._plan.grid.region(index.column, index.row).size
        try:
            return carried_tile(tile, self._plan.recipe(index).shown, visible).tile
        except (ValueError, RuntimeError, OSError):
            return None

    def _note_flaws(self, index: TileIndex, data: bytes) -> None:
        tile = self._plan.recipe_number(index), data
        if tile == self._sound:  # a scanner may store all glass in one place
            return
        try:
            self._eighth(index, data)
        except SlideReadError:
            self.flawed.append(str(index))
        else:
            self._sound = tile

    def _check_transcoded(self, index: TileIndex, data: bytes) -> Iterator[Problem]:
        try:
            if self._source is None:
                if str(index) not in self.flawed:
                    self._eighth(index, data)
                return
            tile = self._converted.tile_of(index, data)
            original = self._carried(index)
            if original is None:
                yield Problem("tile-differs", str(index), "the source's tile cannot be decoded")
                return
            same = tile.data == original.data
            same = same or np.array_equal(decode_tile(tile), decode_tile(original))
        except (SlideReadError, ValueError, RuntimeError) as exc:
            yield Problem("tile-damaged", str(index), str(exc))
            return
        if not same:
            yield Problem("tile-differs", str(index), "not the source's pixels")
