"""Read gzip files member by member, in bounded memory, with every check that the format has.

The headers of members are kept as they are, since they hold what nobody can compute again: a name and a time.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from wsicomp.errors import VolumeReadError

GZIP_MAGIC = b"\x1f\x8b\x08"
AS_GZIP = 31
"""zlib's window bits for a gzip member, of which it writes and checks the CRC and the length."""
MOST_RATIO = 1032
"""Deflate makes no more than so many bytes of one (zlib's technical details)."""
MOST_PADDING = 1 << 20
"""Zero bytes after the last gzip member, at most."""
_PIECE = 1 << 16
_USUAL_HEADER, _MOST_HEADER = 1 << 9, 1 << 18
_EXTRA, _NAME, _COMMENT, _CHECK = 4, 8, 16, 2
_FIXED = 10


class GzipMember:
    """One member of a gzip file that is open at a descriptor.

    `end` is the byte behind it, known after `contents` was read to its end.

    Raises:
        VolumeReadError: no member begins at byte `start`.

    Source: RFC 1952.
    """

    def __init__(self, descriptor: int, start: int, path: Path) -> None:
        self.start = start
        self.end = start
        self._descriptor = descriptor
        self._path = path
        self.header = _header(descriptor, start, path)

    def contents(self) -> Iterator[bytes]:
        """Yield what the member holds, up to 64 KiB at a time.

        Raises:
            VolumeReadError: the member ends early, or its bytes, its CRC or its length are wrong.
        """
        inflating = zlib.decompressobj(AS_GZIP)
        place, data = self.start, b""
        while not inflating.eof:
            if not data:
                data = os.pread(self._descriptor, _PIECE, place)
                place += len(data)
            if not data:
                raise _damaged(self._path, place, "the file ends in the middle of a gzip member")
            try:
                piece = inflating.decompress(data, _PIECE)
            except zlib.error as exc:
                found = str(exc).rpartition(": ")[2]
                raise _damaged(
                    self._path, place - len(data), f"damaged gzip data ({found})", "after byte"
                ) from exc
            data = inflating.unconsumed_tail
            if piece:
                yield piece
        self.end = place - len(inflating.unused_data)


def gzip_members(descriptor: int, start: int, path: Path) -> Iterator[GzipMember]:
    """Yield the members from byte `start` to the end of the file; read each one's contents before the next.

    Zero bytes after the last member are padding, as gzip has it.

    Raises:
        VolumeReadError: something else than a member follows.
    """
    while True:
        member = GzipMember(descriptor, start, path)
        yield member
        start = member.end
        if os.pread(descriptor, len(GZIP_MAGIC), start) == GZIP_MAGIC:
            continue
        following = os.pread(descriptor, MOST_PADDING + 1, start)
        if len(following) <= MOST_PADDING and not following.strip(b"\0"):
            return
        found = "something that is no gzip member follows the gzip data, expected the end of the file"
        raise _damaged(path, start, found)


def _header(descriptor: int, start: int, path: Path) -> bytes:
    """Return the header that begins at byte `start`."""
    for length in (_USUAL_HEADER, _MOST_HEADER):
        data = os.pread(descriptor, length, start)
        if not data.startswith(GZIP_MAGIC):
            raise _damaged(
                path, start, f"expected a gzip member, which begins 1f8b08, got {data[:3].hex()!r}"
            )
        with suppress(IndexError, ValueError):
            return data[: _header_bytes(data)]
    raise _damaged(path, start, "the header of a gzip member does not end")


def _header_bytes(data: bytes) -> int:
    flags, end = data[3], _FIXED
    if flags & _EXTRA:
        end += 2 + data[end] + (data[end + 1] << 8)
    for text in (_NAME, _COMMENT):
        if flags & text:
            end = data.index(0, end) + 1
    end += 2 if flags & _CHECK else 0
    if end > len(data):
        raise IndexError(end)
    return end


def _damaged(path: Path, place: int, found: str, where: str = "byte") -> VolumeReadError:
    return VolumeReadError(f"{found}; get another copy of the file", path, f"{where} {place}")
