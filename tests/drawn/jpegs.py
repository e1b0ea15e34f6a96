"""Small JPEG streams of every kind that slides have, drawn and seeded."""

import io

import numpy as np
from PIL import Image


def picture(width=96, height=64, seed=0):
    """A smooth field with some noise: (height, width, 3) uint8."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(rows / (7 + n) + columns / (11 + seed % 5 + n)) for n in range(3)]
    return np.clip(np.stack(waves, 2) + generator.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def jpeg(width=96, height=64, seed=0, **options):
    """A JPEG by libjpeg-turbo; options are Pillow's."""
    file = io.BytesIO()
    Image.fromarray(picture(width, height, seed)).save(file, "JPEG", **{"quality": 80, **options})
    return file.getvalue()


def with_thumbnail(stream, thumbnail):
    """A JPEG with another one in its APP1, as EXIF has thumbnails."""
    body = b"Exif\0\0" + thumbnail
    return stream[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + stream[2:]


def packed_jpeg(tile, shared):
    """A packed JPEG in a container of its own, with what its level's tiles share if it has none."""
    if tile.startswith(b"\0\0\0\x0cJXL "):
        return tile
    boxes = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
    for kind, content in ((b"jbrd", shared), (b"jxlc", tile)):
        boxes += (8 + len(content)).to_bytes(4, "big") + kind + content
    return boxes


def abbreviated(stream):
    """The tables of a JPEG as a stream, and the JPEG without them, as TIFF stores tiles."""
    tables, rest, at = [], [], 2
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        (tables if stream[at + 1] in (0xDB, 0xC4) else rest).append(stream[at:end])
        at = end
    return b"\xff\xd8" + b"".join(tables) + b"\xff\xd9", b"\xff\xd8" + b"".join(rest) + stream[at:]
