"""Small slides as Hamamatsu's and 3DHISTECH's scanners write them, which OpenSlide opens as theirs.

Structure as OpenSlide's `openslide-vendor-hamamatsu.c` and `openslide-vendor-mirax.c` read it; pixels drawn.
"""

from __future__ import annotations

import io
import struct
from itertools import accumulate

import numpy as np
from PIL import Image

from tests.drawn.jpegs import jpeg, picture

SIDE, RESTART_MCUS = 8, 16
"""A pixel side of an MCU of 4:4:4, and the MCUs of a restart interval: NDPI's tile of 128 x 8 px."""


def encoded(pixels, **options):
    """Pixels as JPEG 4:4:4."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **{"quality": 80, "subsampling": 0, **options})
    return file.getvalue()


def interval_starts(stream):
    """The offsets of a JPEG's restart intervals."""
    at = 2
    while stream[at + 1] != 0xDA:
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    data = np.frombuffer(stream, np.uint8)[at:-1]
    found = np.flatnonzero((data == 0xFF) & (np.frombuffer(stream, np.uint8)[at + 1 :] & 0xF8 == 0xD0))
    return [at, *(at + 2 + found).tolist()]


def ndpi(path, width=1024, height=600, seed=0):
    """A slide of two levels, each one JPEG, and a macro."""
    pixels = picture(width, height, seed)
    levels = [pixels, pixels[::4, ::4]]
    streams = [encoded(np.ascontiguousarray(level), restart_marker_blocks=RESTART_MCUS) for level in levels]
    macro = jpeg(200, 100, seed + 1)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 0))
        link = 4
        sizes = [level.shape[1::-1] for level in levels]
        for stream, size, lens in zip((*streams, macro), (*sizes, (200, 100)), (20, 5, -1), strict=True):
            starts = interval_starts(stream) if lens > 0 else []
            offset = file.tell()
            file.write(stream + bytes(len(stream) % 2))
            link = _directory(file, link, size, (offset, len(stream)), lens, starts)
    return path


def wide_ndpi(path, width=32_896, height=24, pixels=None, restart_mcus=RESTART_MCUS):
    """A slide of one level that is wider than any JPEG can state: 65,792 px by default.

    It shows two drawn pictures side by side, or those of `pixels`.
    """
    parts = [picture(width, height, seed) for seed in range(2)] if pixels is None else pixels
    height, width = parts[0].shape[:2]
    streams = [encoded(part, restart_marker_blocks=restart_mcus) for part in parts]
    stream = without_size(side_by_side(streams, width // (SIDE * restart_mcus)))
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 0))
        offset = file.tell()
        file.write(stream + bytes(len(stream) % 2))
        starts = interval_starts(stream)
        _directory(file, 4, (len(parts) * width, height), (offset, len(stream)), 20, starts)
    return path


def side_by_side(streams, columns):
    """One JPEG of several with the same tables, each with so many restart intervals in a row."""
    rows = []
    for stream in streams:
        starts = interval_starts(stream)
        ends = [*(start - 2 for start in starts[1:]), len(stream) - 2]
        data = [stream[start:end] for start, end in zip(starts, ends, strict=True)]
        rows.append([data[at : at + columns] for at in range(0, len(data), columns)])
    intervals = [each for row in zip(*rows, strict=True) for part in row for each in part]
    markers = [bytes([0xFF, 0xD0 + number % 8]) for number in range(len(intervals) - 1)]
    scan = b"".join(each for pair in zip(intervals, [*markers, b"\xff\xd9"], strict=True) for each in pair)
    return streams[0][: interval_starts(streams[0])[0]] + scan


def without_size(stream):
    """A JPEG whose frame states no size, as NDPI's do beyond 65,535 px."""
    frame = stream.index(b"\xff\xc0")
    return stream[: frame + 5] + bytes(4) + stream[frame + 9 :]


def _directory(file, link, size, place, lens, starts):
    """Write a TIFF directory whose address goes to `link`; return the place of its own link."""
    far = file.tell()
    file.write(struct.pack(f"<{len(starts)}I", *starts))
    entries = [
        (256, 4, 1, struct.pack("<I", size[0])),
        (257, 4, 1, struct.pack("<I", size[1])),
        (258, 3, 1, struct.pack("<H", 8)),
        (259, 3, 1, struct.pack("<H", 7)),
        (262, 3, 1, struct.pack("<H", 6)),
        (271, 2, 4, b"Drw\0"),
        (273, 4, 1, struct.pack("<I", place[0])),
        (277, 3, 1, struct.pack("<H", 3)),
        (278, 4, 1, struct.pack("<I", size[1])),
        (279, 4, 1, struct.pack("<I", place[1])),
        (65420, 4, 1, struct.pack("<I", 1)),
        (65421, 11, 1, struct.pack("<f", lens)),
        (65424, 9, 1, struct.pack("<i", 0)),
    ]
    if starts:
        entries.append((65426, 4, len(starts), struct.pack("<I", far)))
    at = file.tell()
    file.write(struct.pack("<H", len(entries)))
    for code, kind, count, value in entries:
        file.write(struct.pack("<HHI4s", code, kind, count, value))
    own = file.tell()
    file.write(bytes(4))
    file.seek(link)
    file.write(struct.pack("<I", at))
    file.seek(0, 2)
    return own


def vms(path, seed=0):
    """A slide of 2 x 1 JPEG files, a map, a macro and an index that names them."""
    pixels, names = picture(1024, 256, seed), {}
    for column in range(2):
        name = f"{path.stem}({column},0).jpg"
        names[f"ImageFile({column},0)" if column else "ImageFile"] = name
        part = np.ascontiguousarray(pixels[:, 512 * column : 512 * (column + 1)])
        (path.parent / name).write_bytes(encoded(part, restart_marker_blocks=RESTART_MCUS))
    names |= {"MapFile": f"{path.stem}_map2.jpg", "MacroImage": f"{path.stem}_macro.jpg"}
    small = np.ascontiguousarray(pixels[::4, ::4])
    (path.parent / names["MapFile"]).write_bytes(encoded(small, restart_marker_blocks=RESTART_MCUS))
    (path.parent / names["MacroImage"]).write_bytes(jpeg(200, 100, seed + 1))
    lines = ["[Virtual Microscope Specimen]", "NoLayers=1", "NoJpegColumns=2", "NoJpegRows=1"]
    lines += [f"{key}={name}" for key, name in names.items()]
    lines += ["PhysicalWidth=500000", "PhysicalHeight=125000", "SourceLens=20"]
    path.write_text("\r\n".join([*lines, ""]))
    return path


def mrxs(path, across=4, down=3, side=64, seed=0, pixels=None):
    """A slide of two zoom levels of JPEG tiles in two data files, with an index and a settings file."""
    folder, uuid = path.with_suffix(""), "0123456789ABCDEF0123456789ABCDEF"
    folder.mkdir()
    pixels = picture(across * side, down * side, seed) if pixels is None else pixels
    whole = np.pad(pixels, ((0, side * (down % 2)), (0, side * (across % 2)), (0, 0)), "edge")
    half = np.ascontiguousarray(whole[::2, ::2])
    levels = [_tiles(pixels, side, across, 1), _tiles(half, side, across, 2)]
    records = []
    for number, level in enumerate(levels):
        offsets = list(accumulate((len(tile) for tile in level.values()), initial=32))
        (folder / f"Data{number:04}.dat").write_bytes(bytes(32) + b"".join(level.values()))
        records.append(
            [
                (at, offset, len(tile), number)
                for (at, tile), offset in zip(level.items(), offsets, strict=False)
            ]
        )
    (folder / "Index.dat").write_bytes(_mirax_index(uuid, records))
    (folder / "Slidedat.ini").write_text(_slidedat(uuid, across, down, side), "utf-8-sig")
    path.write_bytes(jpeg(120, 90, seed + 1))
    return path


def _tiles(pixels, side, across, step):
    """JPEG tiles by their number in the grid of level 0."""
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    return {
        row * step * across + column * step: encoded(
            np.ascontiguousarray(pixels[row * side : (row + 1) * side, column * side : (column + 1) * side])
        )
        for row in range(rows)
        for column in range(columns)
    }


def _mirax_index(uuid, records):
    """The index: version, identity, two roots, a pointer for each level, and its page of records."""
    root = 5 + len(uuid) + 8
    heads = root + 4 * len(records)
    pages, at = [], heads + 8 * len(records)
    for page in records:
        pages.append(at)
        at += 8 + 16 * len(page)
    data = b"01.02" + uuid.encode() + struct.pack("<ii", root, 0)
    data += b"".join(struct.pack("<i", heads + 8 * number) for number in range(len(records)))
    data += b"".join(struct.pack("<ii", 0, page) for page in pages)
    for page in records:
        data += struct.pack("<ii", len(page), 0) + b"".join(struct.pack("<4i", *record) for record in page)
    return data


def _slidedat(uuid, across, down, side):
    section = """[LAYER_{0}]
OVERLAP_X = 0
OVERLAP_Y = 0
MICROMETER_PER_PIXEL_X = {1}
MICROMETER_PER_PIXEL_Y = {1}
IMAGE_FORMAT = JPEG
IMAGE_FILL_COLOR_BGR = 16777215
DIGITIZER_WIDTH = {2}
DIGITIZER_HEIGHT = {2}
IMAGE_CONCAT_FACTOR = {3}
"""
    return f"""[GENERAL]
SLIDE_VERSION = 01.02
SLIDE_ID = {uuid}
IMAGENUMBER_X = {across}
IMAGENUMBER_Y = {down}
OBJECTIVE_MAGNIFICATION = 20
CameraImageDivisionsPerSide = 1
[HIERARCHICAL]
HIER_COUNT = 1
NONHIER_COUNT = 0
INDEXFILE = Index.dat
HIER_0_NAME = Slide zoom level
HIER_0_COUNT = 2
HIER_0_VAL_0_SECTION = LAYER_0
HIER_0_VAL_1_SECTION = LAYER_1
[DATAFILE]
FILE_COUNT = 2
FILE_0 = Data0000.dat
FILE_1 = Data0001.dat
{section.format(0, 0.25, side, 0)}{section.format(1, 0.5, side, 1)}"""
