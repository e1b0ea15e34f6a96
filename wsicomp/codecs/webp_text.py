"""Strip WebP tiles of what no decoder reads: only the chunk of the picture stays."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from wsicomp.codecs.embedded_text import decodes_alike, refuse_words
from wsicomp.codecs.vp8_header import first_partition, with_shorter_first
from wsicomp.slide import EncodedTile, Pixels


def bare_webp(tile: EncodedTile, decode: Callable[[EncodedTile], Pixels]) -> bytes:
    """Return a WebP file with the picture's chunk only; alpha is no part of a tile.

    Raises:
        ValueError: the file is damaged, or holds words behind its coded bytes.
    """
    data = tile.data
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("not a WebP file")
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind in (b"VP8 ", b"VP8L"):
            coded = data[at + 8 : at + 8 + length]
            if len(coded) < length:
                break
            made = _webp(kind, coded)
            shows = decodes_alike(decode, tile, made)
            refuse_words(shows, partial(_shorter_webp, kind, coded), coded)
            if kind == b"VP8 ":
                refuse_words(shows, partial(_shorter_first, coded), first_partition(coded))
            return made
        at += 8 + length + length % 2
    raise ValueError("WebP without a picture")


def _shorter_webp(kind: bytes, coded: bytes, count: int) -> bytes:
    return _webp(kind, coded[: len(coded) - count])


def _shorter_first(coded: bytes, count: int) -> bytes:
    return _webp(b"VP8 ", with_shorter_first(coded, count))


def _webp(kind: bytes, coded: bytes) -> bytes:
    chunk = struct.pack("<4sI", kind, len(coded)) + coded + bytes(len(coded) % 2)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunk), b"WEBP") + chunk
