"""The neural codec: encodes tiles with a model, and decodes and checks each one before it is accepted.

A tile takes the coarsest step of the model that the guard accepts; where it accepts none, it is encoded with
JPEG XL. A tile with so little on it that JPEG XL is smaller becomes JPEG XL, too. So does a tile that its
slide stores as JPEG, if its coefficients repacked as JPEG XL are smaller: what JPEG has discarded need not be
encoded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple

import numpy as np

from wsicomp.codecs import jpegxl
from wsicomp.codecs.base import Encoded, Fallback, Options
from wsicomp.codecs.likeness import reference_codec
from wsicomp.codecs.memory import remembered
from wsicomp.codecs.neural import runtime, store
from wsicomp.codecs.neural.networks import Latents
from wsicomp.codecs.neural.payload import LARGEST_SIDE_PX, Payload, unpack
from wsicomp.codecs.neural.search import Guard, StepSearch
from wsicomp.codecs.pixels import rgb
from wsicomp.codecs.quality import LEAST_SIDE_PX, Fidelity, fidelity
from wsicomp.errors import ConfigError, SlideWriteError
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, JPEGXL, NEURAL, RGB, EncodedTile, Pixels, TileEncoding
from wsicomp.text.escaping import quoted

_FALLBACK_DISTANCES = (2.0, 1.5, 1.0, 0.5, 0.2)
_EXACT = Fidelity(1.0, math.inf, 0.0)
_SPARSE_BITS = 0.4
"""Bits per pixel below which JPEG XL may be smaller, and is tried."""
_REPACKED, _LEAST_REPACKED = 0.85, 0.6
"""What remains of a JPEG that is repacked as JPEG XL: mostly less, and hardly ever less."""


@dataclass(frozen=True)
class _Piece:
    """A tile's pixels, and the part that lies inside its level, by which the guard decides."""

    pixels: Pixels
    visible: Size
    source: EncodedTile | None = None
    """The tile as its slide stores it; None if its pixels were changed."""

    @cached_property
    def key(self) -> tuple[bytes, tuple[int, ...], Size]:
        """What it is remembered by."""
        return blake2b(self.pixels.tobytes()).digest(), self.pixels.shape, self.visible

    def fidelity(self, back: Pixels) -> Fidelity:
        return fidelity(self.pixels, back, self.visible)


class _Trial(NamedTuple):
    """A tile, its latents, (channels, rows, columns), and the step by which they are quantised."""

    piece: _Piece
    latents: Latents
    step: int


class NeuralCodec:
    """Encodes tiles as payloads of one model.

    `model` is a file, a name that `store.find_model` knows, or a digest; by default the model that ships.
    A tile takes the coarsest of its steps at which it decodes with at least `min_ssim` and `min_psnr` (dB),
    and with no block of 16 px whose mean is more than `max_color_shift` grey levels off. `quality` is the
    number of the coarsest step that may be taken, by default 1, the coarsest of all. `like` says from which
    codec these two bounds come; it changes nothing.

    Raises:
        ConfigError: the device does not exist, `like` names no codec, the model has no such quality, is for
            another codec or has no encoder, or no model is named where none ships.
        UnknownModelError: no model has that name, or it cannot be fetched.
        WeightsError: the model is damaged, or could run code.
        SlideWriteError: a fetched model cannot be kept.
        SlideReadError: there is no memory for the model.
    """

    architecture = ""
    lossless = False
    encoding = TileEncoding(NEURAL, RGB)

    def __init__(
        self,
        model: str | None = None,
        quality: int | None = None,
        min_ssim: float = 0.95,
        min_psnr: float = 25.0,
        max_color_shift: float = 6.0,
        device: str = "auto",
        like: str | None = None,
    ) -> None:
        if like is not None:
            reference_codec(like)
        self._like = like
        self._guard = Guard(min_ssim, min_psnr, max_color_shift)
        self._device = runtime.chosen_device(device)
        self.model = store.find_model(self.architecture, model)
        if not self.model.can_encode:
            raise ConfigError(f"model {self.model.card.name} has no encoder; name the whole model")
        card = self.model.card
        if quality is not None and not 1 <= quality <= len(card.steps):
            found = f"quality of model {card.name} is {quoted(quality)}"
            raise ConfigError(f"{found}, expected 1 to {len(card.steps)}")
        self._coarsest = 0 if quality is None else quality - 1
        self._start = card.step if quality is None else self._coarsest
        self._network = runtime.network(self.model, self._device)
        self._key = self.model.digest, self.model.encoder_digest, self._device

    def config(self) -> Options:
        """Return the model's digest, its coarsest step, the guard's limits, and the device here."""
        like: Options = {} if self._like is None else {"like": self._like}
        return {
            **like,
            "model": self.model.digest,
            "quality": self._coarsest + 1,
            "min_ssim": self._guard.min_ssim,
            "min_psnr": self._guard.min_psnr,
            "max_color_shift": self._guard.max_color_shift,
            "device": self._device,
        }

    def describe(self) -> Mapping[str, object]:
        """Return the model's card and digests."""
        digests = {"sha256": self.model.digest, "encoder_sha256": self.model.encoder_digest}
        return {**self.model.card.to_json(), **digests}

    def decoder(self) -> bytes:
        """Return the model file without its encoder."""
        return self.model.decoder().to_bytes()

    def keep_model(self) -> str | None:
        """Make sure that the model stays on this machine.

        Return the name of its file; None for a model that ships with wsicomp.

        Raises:
            SlideWriteError: the file cannot be written.
        """
        file = store.keep(self.model)
        return None if file.parent == store.SHIPPED else file.name

    def encode(self, pixels: Pixels) -> bytes:
        """Return the tile as a payload, or as JPEG XL if that is better.

        Raises:
            ValueError: the array is not (rows, columns, 3) uint8.
        """
        return self.encode_batch([pixels])[0].data

    def payloads(self, tiles: Sequence[Pixels]) -> list[bytes]:
        """Return tiles of one size as payloads of the coarsest step, unguarded, to measure a model alone."""
        size = _size(tiles[0])
        found = []
        for batch in runtime.in_batches(tiles, size, self._device):
            found += self._packed(self._analysed(batch), size, self._coarsest)
        return found

    def encode_batch(
        self,
        tiles: Sequence[Pixels],
        sources: Sequence[EncodedTile | None] = (),
        visible: Sequence[Size] = (),
    ) -> list[Encoded]:
        """Return each tile as `encode` makes it, with its fidelity; the model runs on batches of tiles.

        `sources` are the same tiles as the slide stores them, None for tiles whose pixels were changed.
        `visible` are the parts that lie inside the level; by default all of each tile.

        A tile whose source is JPEG is repacked instead if that is smaller.

        Raises:
            ValueError: an array is not (rows, columns, 3) uint8.
        """
        parts = visible or [_size(tile) for tile in tiles]
        pieces = [
            _Piece(rgb(tile), part, source)
            for tile, part, source in zip(tiles, parts, sources or [None] * len(tiles), strict=True)
        ]
        found: list[Encoded] = []
        start = self._start
        for size, alike in groupby(pieces, lambda piece: _size(piece.pixels)):
            if not LEAST_SIDE_PX <= min(size.shape) <= max(size.shape) <= LARGEST_SIDE_PX:
                found += [self._smallest(piece, None) for piece in alike]
                continue
            for batch in runtime.in_batches(list(alike), size, self._device):
                made, start = self._encode_alike(batch, start)
                found += made
        return found

    def _encode_alike(self, pieces: list[_Piece], start: int) -> tuple[list[Encoded], int]:
        """Return tiles of one size, and the step at which the search for the next ones begins."""
        found: dict[int, Encoded] = {}
        latents = self._latents(pieces)
        for number, (piece, own) in enumerate(zip(pieces, latents, strict=True)):
            if self._is_larger_than_source(piece, own) and (packed := self._repacked(piece)):
                found[number] = packed
        left = [number for number in range(len(pieces)) if number not in found]
        searched = self._sought([(pieces[number], latents[number]) for number in left], start)
        for number, search in zip(left, searched, strict=True):
            neural = None
            if search.taken is not None:
                neural = self._made(_Trial(pieces[number], latents[number], search.taken), search.fidelity)
                start = search.taken
            found[number] = self._smallest(pieces[number], neural)
        return [found[number] for number in range(len(pieces))], start

    def _smallest(self, piece: _Piece, neural: Encoded | None) -> Encoded:
        """Return the accepted payload or what stands for it; or the source's coefficients if smaller."""
        made = self._fall_back(piece) if neural is None else self._cheapest(piece, neural)
        stored = 0 if piece.source is None else len(piece.source.data)
        packed = self._repacked(piece) if len(made.data) > _LEAST_REPACKED * stored else None
        return packed if packed is not None and len(packed.data) < len(made.data) else made

    def _is_larger_than_source(self, piece: _Piece, latents: Latents) -> bool:
        """Return whether the tile takes more than its source repacked at any step, by the model's tables."""
        if piece.source is None or piece.source.encoding.compression != JPEG:
            return False
        least = self._network.estimated_bytes(latents, self._coarsest)
        return least > _REPACKED * len(piece.source.data)

    def _repacked(self, piece: _Piece) -> Encoded | None:
        """Return the source's JPEG repacked as JPEG XL; None if it is no JPEG or the guard refuses it."""
        source = piece.source
        if source is None or source.encoding.compression != JPEG:
            return None
        if min(piece.pixels.shape[:2]) < LEAST_SIDE_PX:
            return None
        pairs = [(piece, source)]
        [made] = remembered(pairs, lambda pair: ("repacked", pair[0].key, pair[1].data), _repack)
        return made if made and made.fidelity and self._guard.passes(made.fidelity) else None

    def _latents(self, pieces: list[_Piece]) -> list[Latents]:
        return remembered(
            pieces,
            lambda piece: ("latents", self._key, piece.key),
            lambda left: list(self._analysed([piece.pixels for piece in left])),
        )

    def _analysed(self, tiles: list[Pixels]) -> Latents:
        return self._network.analyse(runtime.pictures(tiles, self._network.multiple_px))

    def _sought(self, tiles: Sequence[tuple[_Piece, Latents]], start: int) -> list[StepSearch]:
        """Return the searches for the coarsest steps of tiles of one size, finished, all made together."""
        sizes = self.model.card.steps
        searches = [StepSearch(sizes, self._coarsest, start, self._guard) for _ in tiles]
        while pending := [number for number, search in enumerate(searches) if search.next is not None]:
            trials = [_Trial(*tiles[number], searches[number].next or 0) for number in pending]
            for number, found in zip(pending, self._tried(trials), strict=True):
                searches[number].tell(found)
        return searches

    def _tried(self, trials: list[_Trial]) -> list[Fidelity]:
        """Return the fidelity of tiles of one size, each decoded as a reader will."""
        return remembered(
            trials, lambda trial: ("fidelity", self._key, trial.step, trial.piece.key), self._measured
        )

    def _measured(self, trials: list[_Trial]) -> list[Fidelity]:
        latents = np.stack([self._network.rounded(trial.latents, trial.step) for trial in trials])
        size = _size(trials[0].piece.pixels)
        backs = runtime.synthesised(self._network, latents, size)
        return [trial.piece.fidelity(back) for trial, back in zip(trials, backs, strict=True)]

    def _made(self, trial: _Trial, found: Fidelity | None) -> Encoded | None:
        """Return a tile as a payload of the step that was accepted; None if a reader will not get it back."""
        key = ("payload", self._key, trial.step, trial.piece.key)
        [data] = remembered([trial], lambda _: key, lambda _: [self._written(trial)])
        fallback = Fallback.REFINED if 0 < self._coarsest < trial.step else Fallback.NONE
        return None if data is None else Encoded(data, found, fallback)

    def _written(self, trial: _Trial) -> bytes | None:
        """Return the payload, read back; None if its latents are not those that were measured."""
        size, step = _size(trial.piece.pixels), trial.step
        [data] = self._packed(trial.latents[None], size, step)
        back = self._network.read([unpack(data).strings], self._padded(size), step)[0]
        return data if np.array_equal(back, self._network.rounded(trial.latents, step)) else None

    def _padded(self, size: Size) -> tuple[int, int]:
        return runtime.padded(size.shape, self._network.multiple_px)

    def _packed(self, latents: Latents, size: Size, step: int) -> list[bytes]:
        strings = self._network.write(latents, step)
        return [Payload(self.model.key, size, step, item).pack() for item in strings]

    def _cheapest(self, piece: _Piece, neural: Encoded) -> Encoded:
        """Return the accepted payload, or JPEG XL if little is on the tile and that is smaller."""
        rows, columns = piece.pixels.shape[:2]
        if len(neural.data) * 8 > _SPARSE_BITS * rows * columns:
            return neural
        other = self._as_jpegxl(piece, Fallback.SPARSE)
        return other if other and len(other.data) < len(neural.data) else neural

    def _fall_back(self, piece: _Piece) -> Encoded:
        """Return the tile as JPEG XL, lossless if the guard refuses all coarser ones."""
        tile = piece.pixels
        made = self._as_jpegxl(piece, Fallback.FELL_BACK) if min(tile.shape[:2]) >= LEAST_SIDE_PX else None
        if made is not None:
            return made
        data = jpegxl.Codec(lossless=True).encode(tile)
        if not np.array_equal(tile, _from_jpegxl(data, tile)):
            raise SlideWriteError("lossless JPEG XL did not give a tile back; libjxl is at fault")
        return Encoded(data, _EXACT, Fallback.FELL_BACK)

    def _as_jpegxl(self, piece: _Piece, fallback: Fallback) -> Encoded | None:
        """Return the tile as the coarsest JPEG XL that the guard accepts; None if it accepts none."""
        for distance in _FALLBACK_DISTANCES:
            made = remembered(
                [(distance, piece)], lambda each: ("jpegxl", each[0], each[1].key), _at_distance
            )
            data, found = made[0]
            if self._guard.passes(found):
                return Encoded(data, found, fallback)
        return None


def _repack(pairs: list[tuple[_Piece, EncodedTile]]) -> list[Encoded | None]:
    """Return JPEG tiles repacked as JPEG XL with their fidelity; None for what libjxl does not take."""
    made: list[Encoded | None] = []
    for piece, source in pairs:
        try:
            data = jpegxl.from_jpeg(source)
            made.append(Encoded(data, piece.fidelity(_from_jpegxl(data, piece.pixels)), Fallback.REPACKED))
        except (ValueError, RuntimeError):
            made.append(None)
    return made


def _at_distance(pieces: list[tuple[float, _Piece]]) -> list[tuple[bytes, Fidelity]]:
    """Return tiles as JPEG XL of these distances, with their fidelity."""
    packed = [jpegxl.Codec(distance=distance).encode(piece.pixels) for distance, piece in pieces]
    return [
        (data, piece.fidelity(_from_jpegxl(data, piece.pixels)))
        for (_, piece), data in zip(pieces, packed, strict=True)
    ]


def _size(tile: Pixels) -> Size:
    return Size(tile.shape[1], tile.shape[0])


def _from_jpegxl(data: bytes, like: Pixels) -> Pixels:
    return jpegxl.decode(EncodedTile(data, TileEncoding(JPEGXL, RGB), _size(like)))


class Factorized(NeuralCodec):
    """The codec "bmshj2018-factorized"."""

    architecture = "bmshj2018-factorized"


class Hyperprior(NeuralCodec):
    """The codec "bmshj2018-hyperprior"."""

    architecture = "bmshj2018-hyperprior"


class MeanHyperprior(NeuralCodec):
    """The codec "mbt2018-mean"."""

    architecture = "mbt2018-mean"


class Chandelier(NeuralCodec):
    """The codec "elic2022-chandelier"."""

    architecture = "elic2022-chandelier"
