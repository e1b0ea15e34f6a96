"""Check JPEG 2000's main header by hand: it may hold what a decoder uses, and nothing else.

Step sizes behind the last subband, styles that no component uses, unusual offsets, and packet headers stored
apart leave room for words. A header with any of them is refused.

Source: ITU-T T.800 annex A.5 (SIZ, CAP) and A.6 (COD, COC, QCD, QCC).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence

_CAP, _SIZ, _COD, _COC, _QCD, _QCC = 0x50, 0x51, 0x52, 0x53, 0x5C, 0x5D
_KNOWN = frozenset({_CAP, _SIZ, _COD, _COC, _QCD, _QCC})
_HIGH_THROUGHPUT = b"\x00\x02\x00\x00"
_LEAST_TILE_PX = 1 << 16
_USUAL_LEVELS = 5
_STYLE_BYTES = 5
_WORDS = re.compile(rb"[ -~]{4,}")
_NO_STEPS, _ONE_STEP, _STEPS = 0, 1, 2


def check_main_header(segments: Sequence[tuple[int, bytes]]) -> None:
    """Refuse a main header with more than a decoder uses; `segments` are (marker, body).

    Raises:
        ValueError: the header is damaged, or holds more than a decoder uses.
    """
    bodies: dict[int, list[bytes]] = {marker: [] for marker in _KNOWN}
    for marker, body in segments:
        if marker not in bodies:
            raise ValueError(f"JPEG 2000 with an unexpected segment {marker:02x}")
        bodies[marker].append(body)
    siz, cod, qcd = (_only(bodies[marker], marker) for marker in (_SIZ, _COD, _QCD))
    count, most_levels = _check_size(siz)
    if any(len(body) != 6 or body[:4] != _HIGH_THROUGHPUT for body in bodies[_CAP]) or len(bodies[_CAP]) > 1:
        raise ValueError("JPEG 2000 with unknown capabilities")
    styles = _by_component(bodies[_COC], count)
    levels = _levels(cod[:1] + cod[5:], styles, count)
    if max(levels) > most_levels:
        raise ValueError(f"JPEG 2000 in {max(levels)} levels, expected at most {most_levels}")
    _check_steps(qcd, _by_component(bodies[_QCC], count), levels)


def _only(bodies: list[bytes], marker: int) -> bytes:
    if len(bodies) != 1:
        raise ValueError(f"JPEG 2000 with {len(bodies)} segments {marker:02x}, expected one")
    return bodies[0]


def _check_size(siz: bytes) -> tuple[int, int]:
    """Return (number of components, most levels that they may have)."""
    if len(siz) < 36 or len(siz) != 36 + 3 * int.from_bytes(siz[34:36], "big"):
        raise ValueError(f"JPEG 2000 with a size of {len(siz)} bytes")
    width, height, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">8I", siz, 2)
    if left or top or tile_left or tile_top:
        raise ValueError("JPEG 2000 that does not begin at its origin")
    if tile_width > max(width, _LEAST_TILE_PX) or tile_height > max(height, _LEAST_TILE_PX):
        raise ValueError(f"JPEG 2000 in tiles of {tile_width} x {tile_height} px")
    side = max(min(width, tile_width), min(height, tile_height))
    return (len(siz) - 36) // 3, max(_USUAL_LEVELS, (side - 1).bit_length())


def _by_component(bodies: list[bytes], count: int) -> Mapping[int, bytes]:
    """Return the bodies of segments of single components, behind the component's number, by that number."""
    width = 1 if count < 257 else 2
    found = {int.from_bytes(body[:width], "big"): body[width:] for body in bodies}
    if len(found) < len(bodies) or any(number >= count for number in found):
        raise ValueError("JPEG 2000 with two segments of one component, or one of an unknown component")
    if len(found) == count:
        raise ValueError("JPEG 2000 with a segment that no component uses")
    return found


def _levels(style: bytes, styles: Mapping[int, bytes], count: int) -> list[int]:
    """Return each component's number of levels.

    A style is flags, levels, four bytes, and sizes of precincts.
    """
    for one in (style, *styles.values()):
        sizes = one[1 + _STYLE_BYTES :]
        if len(one) < 1 + _STYLE_BYTES or len(sizes) != (one[1] + 1 if one[0] & 1 else 0):
            raise ValueError(f"JPEG 2000 with a style of {len(one)} bytes")
        if _WORDS.search(sizes) and len({(size >> 4) - (size & 15) for size in sizes}) > 1:
            raise ValueError("JPEG 2000 with letters for sizes of precincts")
    return [styles.get(number, style)[1] for number in range(count)]


def _check_steps(steps: bytes, own: Mapping[int, bytes], levels: list[int]) -> None:
    _check_length(steps, max(level for number, level in enumerate(levels) if number not in own))
    for number, body in own.items():
        _check_length(body, levels[number])


def _check_length(steps: bytes, levels: int) -> None:
    """Refuse step sizes that are not one for each subband, or one for all.

    Exponents alone leave three bits, which must be 0.
    """
    kind, bands = steps[0] & 31 if steps else _NO_STEPS, 3 * levels + 1
    expected = {_NO_STEPS: 1 + bands, _ONE_STEP: 3, _STEPS: 1 + 2 * bands}.get(kind)
    if len(steps) != expected or (kind == _NO_STEPS and any(exponent & 7 for exponent in steps[1:])):
        raise ValueError(f"JPEG 2000 with step sizes in {len(steps)} bytes, expected {expected}")
