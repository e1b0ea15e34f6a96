"""The neural codec: encodes tiles with a model, and decodes and checks each one before it is accepted.

A tile that the model does not encode well enough is encoded with the model's finer steps, then with JPEG XL.
A tile with so little on it that JPEG XL is smaller becomes JPEG XL, too. So does a tile that its slide stores
as JPEG, if its coefficients repacked as JPEG XL are smaller: what JPEG has discarded need not be encoded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs import jpegxl
from wsicomp.codecs.base import Encoded, Fallback, Options
from wsicomp.codecs.memory import remembered
from wsicomp.codecs.neural import runtime, store
from wsicomp.codecs.neural.networks import Latents
from wsicomp.codecs.neural.payload import LARGEST_SIDE_PX, Payload, unpack
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


@dataclass(frozen=True)
class Guard:
    """The bounds of how far a decoded tile may be from its pixels."""

    min_ssim: float
    """The least SSIM."""
    min_psnr: float
    """The least PSNR, in dB."""
    max_color_shift: float
    """The largest shift of a block's mean colour, in grey levels."""

    def passes(self, found: Fidelity) -> bool:
        """Return whether a decoded tile is close enough."""
        return (
            found.ssim >= self.min_ssim
            and found.psnr >= self.min_psnr
            and found.color_shift <= self.max_color_shift
        )


@dataclass(frozen=True)
class _Piece:
    """A tile's pixels, and the part that lies inside its level, by which the guard decides."""

    pixels: Pixels
    visible: Size

    @cached_property
    def key(self) -> tuple[bytes, tuple[int, ...], Size]:
        """What it is remembered by."""
        return blake2b(self.pixels.tobytes()).digest(), self.pixels.shape, self.visible

    def fidelity(self, back: Pixels) -> Fidelity:
        return fidelity(self.pixels, back, self.visible)


_Latent: TypeAlias = tuple[_Piece, NDArray[np.float32]]
"""A tile, and what the model's encoder made of it."""


class NeuralCodec:
    """Encodes tiles as payloads of one model.

    `model` is a file, a name that `store.find_model` knows, or a digest; by default the model that ships.
    `quality` is the number of a step of the model, from 1, the coarsest. A tile that decodes with less than
    `min_ssim` or `min_psnr` (dB), or with a block of 16 px whose mean is more than `max_color_shift` grey
    levels off, is encoded otherwise.

    Raises:
        ConfigError: the device does not exist, the model has no such quality, is for another codec or has no
            encoder, or no model is named where none ships.
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
    ) -> None:
        self._guard = Guard(min_ssim, min_psnr, max_color_shift)
        self._device = runtime.chosen_device(device)
        self.model = store.find_model(self.architecture, model)
        if not self.model.can_encode:
            raise ConfigError(f"model {self.model.card.name} has no encoder; name the whole model")
        steps = len(self.model.card.steps)
        if quality is not None and not 1 <= quality <= steps:
            found = f"quality of model {self.model.card.name} is {quoted(quality)}"
            raise ConfigError(f"{found}, expected 1 to {steps}")
        self._step = self.model.card.step if quality is None else quality - 1
        self._network = runtime.network(self.model, self._device)
        self._key = self.model.digest, self.model.encoder_digest, self._device

    def config(self) -> Options:
        """Return the model's digest, its step, the guard's limits, and the device that it runs on here."""
        return {
            "model": self.model.digest,
            "quality": self._step + 1,
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
        """Return tiles of one size as payloads of the chosen step, unguarded, to measure the model alone."""
        size = _size(tiles[0])
        found = []
        for batch in runtime.in_batches(tiles, size, self._device):
            found += self._packed(self._latents(batch), size, self._step)
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
        pieces = [_Piece(rgb(tile), part) for tile, part in zip(tiles, parts, strict=True)]
        found = self._encoded(pieces)
        for number, source in enumerate(sources):
            packed = None if source is None else self._repacked(pieces[number], source)
            if packed is not None and len(packed.data) < len(found[number].data):
                found[number] = packed
        return found

    def _repacked(self, piece: _Piece, source: EncodedTile) -> Encoded | None:
        """Return the source's JPEG repacked as JPEG XL; None if it is no JPEG or the guard refuses it."""
        if source.encoding.compression != JPEG or min(piece.pixels.shape[:2]) < LEAST_SIDE_PX:
            return None
        pairs = [(piece, source)]
        [made] = remembered(pairs, lambda pair: ("repacked", pair[0].key, pair[1].data), _repack)
        return made if made and made.fidelity and self._guard.passes(made.fidelity) else None

    def _encoded(self, pieces: Sequence[_Piece]) -> list[Encoded]:
        found: list[Encoded] = []
        for size, alike in groupby(pieces, lambda piece: _size(piece.pixels)):
            if not LEAST_SIDE_PX <= min(size.shape) <= max(size.shape) <= LARGEST_SIDE_PX:
                found += [self._fall_back(piece) for piece in alike]
                continue
            for batch in runtime.in_batches(list(alike), size, self._device):
                found += self._encode_alike(batch)
        return found

    def _latents(self, tiles: list[Pixels]) -> Latents:
        return self._network.analyse(runtime.pictures(tiles, self._network.multiple_px))

    def _packed(self, latents: Latents, size: Size, step: int) -> list[bytes]:
        strings = self._network.write(latents, step)
        return [Payload(self.model.key, size, step, item).pack() for item in strings]

    def _encode_alike(self, pieces: list[_Piece]) -> list[Encoded]:
        passed: dict[int, Encoded] = {}
        pending = list(range(len(pieces)))
        latents = remembered(
            pieces,
            lambda piece: ("latents", self._key, piece.key),
            lambda left: list(self._latents([piece.pixels for piece in left])),
        )
        for step in self._attempts():
            made = self._attempt([(pieces[number], latents[number]) for number in pending], step)
            passed |= {number: tile for number, tile in zip(pending, made, strict=True) if tile}
            pending = [number for number in pending if number not in passed]
            if not pending:
                break
        return [
            self._cheapest(piece, passed[number]) if number in passed else self._fall_back(piece)
            for number, piece in enumerate(pieces)
        ]

    def _attempts(self) -> list[int]:
        """Return the chosen step, and finer ones to try if the guard refuses it."""
        finest = len(self.model.card.steps) - 1
        return sorted({self._step, (self._step + finest + 1) // 2, finest})

    def _attempt(self, pieces: list[_Latent], step: int) -> list[Encoded | None]:
        """Return payloads of tiles at a step; None for tiles the guard refuses."""
        made = remembered(
            pieces, lambda piece: ("step", self._key, step, piece[0].key), lambda left: self._made(left, step)
        )
        fallback = Fallback.NONE if step == self._step else Fallback.REFINED
        return [Encoded(data, found, fallback) if self._guard.passes(found) else None for data, found in made]

    def _made(self, pieces: list[_Latent], step: int) -> list[tuple[bytes, Fidelity]]:
        """Return tiles at a step as payloads with their fidelity, each decoded as a reader will."""
        packed = self._packed(np.stack([latents for _, latents in pieces]), _size(pieces[0][0].pixels), step)
        decoded = runtime.decode_payloads([unpack(data) for data in packed], self._device)
        return [
            (data, piece.fidelity(back))
            for (piece, _), data, back in zip(pieces, packed, decoded, strict=True)
        ]

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
