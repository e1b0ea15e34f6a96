"""ICC profiles: rewritten to the same colour transform without texts, dates and bytes between the tags.

Source: ICC.1:2022 clauses 7 (header and tag table) and 10 (tag types).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

_HEADER_BYTES, _ENTRY = 128, struct.Struct(">4sII")
_MOST_TAGS = 100
_TRANSFORM = frozenset(
    (
        *(b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"bkpt", b"chad", b"rTRC", b"gTRC", b"bTRC", b"kTRC"),
        *(b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2"),
    )
)
_PARAMETERS = (1, 3, 4, 5, 7)
"""The count of numbers that a parametric curve of each type has."""
_EPOCH = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


def neutral_profile(profile: bytes | None) -> tuple[bytes | None, bool]:
    """Return (the profile with its transform alone, True), or (the profile itself, False) where that fails.

    The new profile is used only if both give the same colours for many samples. No profile, None, stays None.
    """
    if profile is None:
        return None, True
    try:
        made = _rewritten(profile)
        is_same = all(
            np.array_equal(_transformed(profile, intent), _transformed(made, intent)) for intent in (0, 1)
        )
    except (ValueError, OSError, struct.error, IndexError, ImageCms.PyCMSError):
        return profile, False
    return (made, True) if is_same else (profile, False)


def _rewritten(profile: bytes) -> bytes:
    if profile[36:40] != b"acsp" or profile[16:20] != b"RGB ":
        raise ValueError("no ICC profile of RGB")
    tags: dict[bytes, bytes] = {}
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    for number in range(min(count, _MOST_TAGS)):
        name, offset, size = _ENTRY.unpack_from(profile, _HEADER_BYTES + 4 + number * _ENTRY.size)
        if name in _TRANSFORM:
            tags[name] = _bare_tag(profile[offset : offset + size])
    version = profile[8]
    tags[b"desc"] = _text("RGB", version, is_description=True)
    tags[b"cprt"] = _text("None", version, is_description=False)
    return _assembled(_header(profile), tags)


def _header(profile: bytes) -> bytes:
    """Return version, class, spaces, intent and illuminant; no makers, attributes, date or digest."""
    made = bytearray(_HEADER_BYTES)
    made[8:10] = profile[8:10]
    for start, end in ((12, 24), (36, 40)):
        made[start:end] = profile[start:end]
    made[24:36] = _EPOCH
    made[64:68] = bytes((0, 0, 0, profile[67] & 3))
    made[68:80] = profile[68:80]
    return bytes(made)


def _bare_tag(data: bytes) -> bytes:
    """Return a tag's data in the length that the data state.

    Raises:
        ValueError: the type of the tag is not known here, or the data are cut off.
    """
    kind = data[:4]
    if kind == b"XYZ ":
        length = 20
    elif kind == b"curv":
        length = 12 + 2 * int.from_bytes(data[8:12], "big")
    elif kind == b"para":
        length = 12 + 4 * _PARAMETERS[int.from_bytes(data[8:10], "big")]
        data = data[:10] + bytes(2) + data[12:]
    elif kind == b"sf32":
        length = 8 + 4 * 9
    elif kind in (b"mft1", b"mft2"):
        inputs, outputs, grid = data[8:11]
        size, before, after = (1, 256, 256) if kind == b"mft1" else (2, *struct.unpack_from(">2H", data, 48))
        length = (48 if kind == b"mft1" else 52) + size * (
            inputs * before + outputs * grid**inputs + outputs * after
        )
        data = data[:11] + bytes(1) + data[12:]
    else:
        raise ValueError(f"a transform of type {kind!r}")
    if len(data) < length:
        raise ValueError("a tag that is cut off")
    return data[:4] + bytes(4) + data[8:length]


def _text(text: str, version: int, is_description: bool) -> bytes:
    if version >= 4:
        wide = text.encode("utf-16-be")
        return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(wide), 28) + wide
    plain = text.encode() + b"\0"
    if not is_description:
        return b"text" + bytes(4) + plain
    return b"desc" + bytes(4) + struct.pack(">I", len(plain)) + plain + bytes(4 + 4 + 2 + 1 + 67)


def _assembled(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    place = _HEADER_BYTES + 4 + len(tags) * _ENTRY.size
    places: dict[bytes, int] = {}
    entries, blocks = [], []
    for name, data in tags.items():
        if data not in places:
            padded = data + bytes(-len(data) % 4)
            places[data] = place
            blocks.append(padded)
            place += len(padded)
        entries.append(_ENTRY.pack(name, places[data], len(data)))
    made = header + struct.pack(">I", len(tags)) + b"".join([*entries, *blocks])
    return len(made).to_bytes(4, "big") + made[4:]


def _transformed(profile: bytes, intent: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the sRGB colours that the profile gives for many samples."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, target, "RGB", "RGB", renderingIntent=ImageCms.Intent(intent))
    shown = ImageCms.applyTransform(Image.fromarray(np.array(list(_colors()), np.uint8)[None]), transform)
    return np.asarray(shown)


def _colors() -> Iterator[tuple[int, int, int]]:
    steps = range(0, 256, 17)
    return ((red, green, blue) for red in steps for green in steps for blue in steps)
