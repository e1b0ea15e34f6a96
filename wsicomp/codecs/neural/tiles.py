"""Read neural tiles; the codecs that make them.

Each tile is a payload that names its model (`payload`) or, if the model was not good enough, a JPEG XL or
JPEG stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from wsicomp.codecs import jpeg, jpegxl
from wsicomp.codecs.jpegxl import encode_alike, encode_uniform
from wsicomp.codecs.neural import store
from wsicomp.codecs.neural.codec import Chandelier, Factorized, Hyperprior, MeanHyperprior
from wsicomp.codecs.neural.payload import is_payload, unpack
from wsicomp.codecs.neural.runtime import chosen_device, decode_payloads, network
from wsicomp.errors import ConfigError, SlideReadError, UnknownModelError, WeightsError
from wsicomp.slide import JPEG, JPEGXL, RGB, YCBCR, EncodedTile, Pixels, TileEncoding

__all__ = [
    "Chandelier",
    "Factorized",
    "Hyperprior",
    "MeanHyperprior",
    "decode",
    "decode_batch",
    "encode_alike",
    "encode_uniform",
    "require_model",
]

_SOI = b"\xff\xd8"


def decode(tile: EncodedTile) -> Pixels:
    """Return the pixels as the model decodes them, (rows, columns, 3) uint8 RGB.

    They can differ by a grey level between machines.

    Raises:
        ValueError: the bytes are no such tile, or of another size.
        RuntimeError: the library refuses the bytes.
        UnknownModelError: the tile's model is not on this machine.
        SlideReadError: the tile's model cannot run on this machine.
    """
    return decode_batch([tile])[0]


def decode_batch(tiles: Sequence[EncodedTile]) -> list[Pixels]:
    """Return the pixels of many tiles, (rows, columns, 3) uint8 RGB each; the model runs on batches of them.

    Raises:
        ValueError: a tile's bytes are no such tile, or of another size.
        RuntimeError: the library refuses a tile's bytes.
        UnknownModelError: a tile's model is not on this machine.
        SlideReadError: a tile's model cannot run on this machine.
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
    """Return the device that decodes tiles.

    Raises:
        SlideReadError: WSICOMP_DEVICE names one that is not here, which is no fault of the tiles.
    """
    try:
        return chosen_device()
    except ConfigError as exc:
        raise SlideReadError(f"{exc.message}; change the variable WSICOMP_DEVICE") from exc


def _fallen_back(tile: EncodedTile) -> Pixels:
    if tile.data.startswith(_SOI):
        return jpeg.decode(EncodedTile(tile.data, TileEncoding(JPEG, YCBCR), tile.size))
    return jpegxl.decode(EncodedTile(tile.data, TileEncoding(JPEGXL, RGB), tile.size))


def require_model(name: str, sha256: str, embedded: bytes | None) -> str:
    """Load a model, from a slide that carries it or from where models are kept.

    Returns:
        What is wrong with the model that the slide carries; "" if nothing is, or it carries none.

    Raises:
        UnknownModelError: the model is not on this machine.
        WeightsError: the model is not what its card says.
        SlideReadError: the model cannot run here, or WSICOMP_DEVICE names a device that is not here.
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


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:  # noqa: ARG001
    """Refuse the tile: nobody knows which bytes of a payload its model needs.

    Raises:
        ValueError: always; the caller encodes the pixels anew.
    """
    raise ValueError("a neural tile cannot be stripped of text; encode its pixels anew")
