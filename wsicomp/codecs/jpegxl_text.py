"""Strip JPEG XL tiles of what no decoder reads: the codestream alone, no section longer than needed.

Source: ISO/IEC 18181.
"""

from __future__ import annotations

from collections.abc import Callable

from wsicomp.codecs.embedded_text import decodes_alike, largest_count
from wsicomp.codecs.jpegxl_header import read_picture, with_shorter_section
from wsicomp.codecs.jpegxl_stream import codestream
from wsicomp.slide import EncodedTile, Pixels


def bare_jpegxl(tile: EncodedTile, decode: Callable[[EncodedTile], Pixels]) -> bytes:
    """Return the codestream alone, each section cut to the bytes that its decoder needs.

    Raises:
        ValueError: the stream is damaged, or its headers are not plain.
    """
    stream = codestream(tile.data)
    picture = read_picture(stream)
    stream = stream[: picture.end]
    shows = decodes_alike(decode, tile, stream)
    for section in range(len(picture.lengths)):
        stream = _without_spare(stream, section, shows)
    return stream


def _without_spare(stream: bytes, section: int, shows: Callable[[bytes], bool]) -> bytes:
    picture = read_picture(stream)

    def same(count: int) -> bool:
        return shows(with_shorter_section(stream, picture, section, count))

    length = picture.lengths[section]
    if not length or not same(1):
        return stream
    return with_shorter_section(stream, picture, section, largest_count(same, 1, length + 1))
