"""Reading neural tiles, and the codecs that make them.

Each tile is a payload that names its model (`payload`), or, where the model would not do, a JPEG XL or JPEG
stream as it is. This package alone imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from wsicomp.codecs import jpeg, jpegxl
from wsicomp.codecs.neural import store
from wsicomp.codecs.neural.codec import Chandelier, Factorized, Hyperprior, MeanHyperprior
from wsicomp.codecs.neural.payload import is_payload, unpack
from wsicomp.codecs.neural.runtime import chosen_device, decode_payloads, network
from wsicomp.codecs.pixels import eighth
from wsicomp.errors import ConfigError, SlideReadError, UnknownModelError, WeightsError
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, JPEGXL, RGB, YCBCR, EncodedTile, Pixels, TileEncoding

__all__ = [
    "Chandelier",
    "Factorized",
    "Hyperprior",
    "MeanHyperprior",
    "decode",
    "decode_batch",
    "decode_eighth",
    "encode_uniform",
    "require_model",
]

_SOI = b"\xff\xd8"


def decode(tile: EncodedTile) -> Pixels:
    """The pixels as the model gives them; they can differ by a grey level from machine to machine.

    Raises:
        ValueError, RuntimeError: the bytes are no such tile.
        UnknownModelError, SlideReadError: its model is not here, or cannot run here.
    """
    return decode_batch([tile])[0]


def decode_batch(tiles: Sequence[EncodedTile]) -> list[Pixels]:
    """The pixels of many tiles, the model's part in batches.

    Raises:
        ValueError, RuntimeError, UnknownModelError, SlideReadError: as `decode`.
    """
    neural = [number for number, tile in enumerate(tiles) if is_payload(tile.data)]
    payloads = []
    for number in neural:
        payloads.append(unpack(tiles[number].data))
        if payloads[-1].size != tiles[number].size:
            raise ValueError(f"a neural tile of {payloads[-1].size} px, expected {tiles[number].size}")
    found = dict(zip(neural, decode_payloads(payloads, _device()), strict=True)) if payloads else {}
    return [found[number] if number in found else _fallen_back(tile) for number, tile in enumerate(tiles)]


def _device() -> str:
    """Where tiles are decoded. That it cannot be had is no fault of theirs.

    Raises:
        SlideReadError: it cannot.
    """
    try:
        return chosen_device()
    except ConfigError as exc:
        raise SlideReadError(f"{exc.message}, as WSICOMP_DEVICE says") from exc


def _fallen_back(tile: EncodedTile) -> Pixels:
    if tile.data.startswith(_SOI):
        return jpeg.decode(EncodedTile(tile.data, TileEncoding(JPEG, YCBCR), tile.size))
    return jpegxl.decode(EncodedTile(tile.data, TileEncoding(JPEGXL, RGB), tile.size))


def require_model(name: str, sha256: str, embedded: bytes | None) -> str:
    """Have a model ready to run, from a slide that carries it or from where models are kept.

    Returns:
        What is wrong with the one that the slide carries; empty if nothing is.

    Raises:
        UnknownModelError: it is not here.
        WeightsError: it is not what its card says.
        SlideReadError: it cannot run here, or the device that was asked for cannot be had.
    """
    model, flaw = None, ""
    if embedded is not None:
        try:
            model = store.embed(embedded, sha256)
        except WeightsError as exc:
            flaw = f"the model that it carries is damaged ({exc.message})"
    try:
        model = model or store.model_of(bytes.fromhex(sha256), name)
    except UnknownModelError as exc:
        raise UnknownModelError(f"{flaw}, and {exc.message}" if flaw else exc.message) from exc
    network(model, _device())
    return flaw


def decode_eighth(tile: EncodedTile) -> Pixels:
    """The means of blocks of 8 x 8 pixels."""
    return eighth(decode(tile))


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
    """A tile of one colour as lossless JPEG XL."""
    return jpegxl.encode_uniform(encoding, size, color)


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:  # noqa: ARG001
    """Refuse: what a model reads of a payload is not known byte by byte.

    Raises:
        ValueError: always; its pixels are encoded anew.
    """
    raise ValueError("neural tiles are not rebuilt")


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
    """Return the pixels as lossless JPEG XL."""
    return jpegxl.encode_alike(tile, encoding, pixels)
