"""Slides of random kinds, drawn from a seed: what scanners, converters and bad disks make, and odder ones."""

from __future__ import annotations

import random

import cv2
import imagecodecs
import numpy as np

from tests import layouts, tiffs
from tests.drawn import colour

RGB, YCBCR = 2, 6
KINDS = ("jpeg",) * 9 + ("jpeg2000",) * 4 + ("plain",) * 5 + ("newer",) * 1
TILES = ((16, 16),) + ((32, 32),) * 3 + ((64, 64),) * 4 + ((48, 32), (64, 48), (50, 50), (40, 64))
DOWNSAMPLES = (2, 4, 2, 4, 1.998, 3.986, 2.013, 3.3, 8)
PLAIN = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode, 50000: imagecodecs.zstd_encode}


def draw_mutant(path, seed):
    """Write a slide whose every attribute the seed decides.

    Returns:
        What it is, in words.
    """
    chance = random.Random(seed)
    facts = {}
    width, height = chance.randint(20, 190), chance.randint(20, 150)
    svs = chance.random() < 0.55
    kind = facts["kind"] = chance.choice(KINDS)
    tile = facts["tile"] = chance.choice(TILES)
    form = _form(kind, chance, facts)
    if kind == "jpeg2000" and facts["subsampling"] != "444":
        tile = facts["tile"] = (64, 64)  # of other sizes the drawn codestreams are damaged
    pictures = [colour.picture(width, height)]
    for downsample in chance.sample(DOWNSAMPLES, chance.choice((0, 0, 1, 1, 2))):
        facts.setdefault("downsamples", []).append(downsample)
        size = max(1, int(width / downsample)), max(1, int(height / downsample))
        pictures.append(cv2.resize(pictures[0], size, interpolation=cv2.INTER_AREA))
    pictures[1:] = sorted(pictures[1:], key=lambda picture: -picture.shape[1])
    images = []
    for number, picture in enumerate(pictures):
        subfile = int(bool(number) and not svs)
        if chance.random() < 0.05:
            subfile = facts["subfile"] = chance.choice((0, 1, 2, 4, 9))
        text = tiffs.DESCRIPTION.format(width, height) if not number else "Aperio Image Library\r\nlevel"
        image = _image(picture, tile, form, subfile, text.encode() if svs else b"")
        if number == 0:
            image.tags |= _scale(chance, facts)
        if chance.random() < 0.12:
            _leave_out(image, chance, facts)
        images.append(image)
    if chance.random() < 0.3:
        name = chance.choice(("thumbnail", "label", "macro"))
        facts["image"] = name
        images.insert(1 if name == "thumbnail" else len(images), _associated(pictures[0], name, svs))
    facts |= {"svs": svs, "big": chance.random() < 0.25, "order": chance.choice("<<<>")}
    data = layouts.lay_out(images, chance, facts["big"], facts["order"])
    if chance.random() < 0.3:
        data = _damaged(data, chance, facts)
    path.write_bytes(data)
    return f"{width} x {height}, " + ", ".join(f"{name} {value}" for name, value in facts.items())


def _form(kind, chance, facts):
    """How tiles are encoded: (compression, photometric, tags, pixels -> bytes)."""
    if kind == "jpeg":
        return _jpeg_form(chance, facts)
    if kind == "jpeg2000":
        compression = facts["compression"] = chance.choice((33003, 33003, 33005))
        subsampling = facts["subsampling"] = chance.choice(("444", "444", "422", "420"))
        transform = facts["transform"] = subsampling == "444" and chance.random() < 0.35
        holds_ycbcr = compression == 33003 and not transform
        if compression == 33005 and subsampling != "444":
            subsampling = facts["subsampling"] = "444"
        photometric = facts["photometric"] = chance.choice((RGB, RGB, YCBCR))

        def encode(pixels):
            return colour.jpeg2000_stream(pixels, holds_ycbcr, subsampling, transform)

        return compression, photometric, {}, encode
    if kind == "newer":
        compression = facts["compression"] = chance.choice((50001, 50002))
        encode = imagecodecs.webp_encode if compression == 50001 else imagecodecs.jpegxl_encode
        return compression, RGB, {}, lambda pixels: bytes(encode(pixels, lossless=True))
    return _plain_form(chance, facts)


def _jpeg_form(chance, facts):
    photometric = facts["photometric"] = chance.choice((RGB, YCBCR))
    markers = facts["markers"] = chance.choice(tuple(colour.MARKERS))
    numbers = facts["numbers"] = chance.choice(tuple(colour.NUMBERS))
    subsampling = facts["subsampling"] = chance.choice(tuple(colour.SUBSAMPLINGS))
    quality = facts["quality"] = chance.choice((30, 75, 90, 95))
    shared = facts["shared"] = chance.random() < 0.6
    tags = {}
    if shared:
        any_tile = colour.jpeg_stream(
            colour.picture(16, 16), photometric, markers, numbers, subsampling, quality
        )
        tags[347] = ("B", colour.split(any_tile)[0])
    if photometric == YCBCR:
        tags[530] = ("H", colour.SUBSAMPLINGS[subsampling])
    if chance.random() < 0.05:
        tags[530] = ("H", (2, 2))  # Aperio's say so whatever their tiles are

    def encode(pixels):
        stream = colour.jpeg_stream(pixels, photometric, markers, numbers, subsampling, quality)
        return colour.abbreviated(stream) if shared else stream

    return 7, photometric, tags, encode


def _plain_form(chance, facts):
    compression = facts["compression"] = chance.choice(tuple(PLAIN))
    predictor = compression != 1 and chance.random() < 0.5
    samples = facts["samples"] = chance.choice((3, 3, 3, 3, 4))
    planar = facts["planar"] = chance.choice((1, 1, 1, 2))
    tags = {}
    if predictor:
        facts["predictor"] = 2
        tags[317] = ("H", (2,))
    if samples == 4:
        tags |= {258: ("H", (8,) * 4), 277: ("H", (4,)), 338: ("H", (chance.choice((0, 1, 2)),))}
        facts["alpha"] = tags[338][1][0]
    if planar == 2:
        tags[284] = ("H", (2,))
    opaque = facts["opaque"] = chance.random() < 0.8

    def encode(pixels):
        if samples == 4:
            alpha = np.full(pixels.shape[:2], 255, np.uint8)
            if not opaque:
                alpha[::3] = 100
            pixels = np.dstack([pixels, alpha])
        planes = [pixels] if planar == 1 else [pixels[..., [plane]] for plane in range(samples)]
        found = []
        for plane in planes:
            stored = np.diff(plane, axis=1, prepend=np.zeros_like(plane[:, :1])) if predictor else plane
            found.append(bytes(PLAIN[compression](np.ascontiguousarray(stored).tobytes())))
        return found if planar == 2 else found[0]

    return compression, RGB, tags, encode


def _image(picture, tile, form, subfile, text):
    compression, photometric, tags, encode = form
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % tile[1]), (0, -width % tile[0]), (0, 0)), mode="edge")
    pieces = [
        encode(np.ascontiguousarray(padded[top : top + tile[1], left : left + tile[0]]))
        for top in range(0, height, tile[1])
        for left in range(0, width, tile[0])
    ]
    if isinstance(pieces[0], list):
        pieces = [piece[plane] for plane in range(len(pieces[0])) for piece in pieces]
    return layouts.Image(width, height, pieces, tile, compression, photometric, subfile, text, dict(tags))


def _associated(picture, name, svs):
    small = np.ascontiguousarray(picture[:16, :20])
    text = f"Aperio Image Library\r\n{name} 20x{len(small)}".encode() if svs else b""
    piece = bytes(imagecodecs.lzw_encode(small.tobytes()))
    subfile = {"label": 1, "macro": 9}.get(name, 0)
    return layouts.Image(small.shape[1], len(small), [piece], None, 5, RGB, subfile, text)


def _scale(chance, facts):
    """Resolution tags of every type that somebody wrote."""
    kind = chance.choice(("", "", "H", "f", "d"))
    if not kind:
        return {}
    value = (
        chance.choice((20000, 40000, 0, 1)) if kind == "H" else chance.choice((20000.0, 0.0, 39370.1, -1.0))
    )
    facts["resolution"] = (kind, value)
    return {282: (kind, (value,)), 283: (kind, (value,)), 296: ("H", (chance.choice((1, 2, 3)),))}


def _leave_out(image, chance, facts):
    """Some pieces have no bytes."""
    for number in chance.sample(range(len(image.pieces)), min(len(image.pieces), chance.choice((1, 1, 2)))):
        image.pieces[number] = b""
        facts["missing"] = facts.get("missing", 0) + 1


def _damaged(data, chance, facts):
    """Some bytes are others, or the file ends too early."""
    data = bytearray(data)
    if chance.random() < 0.1:
        facts["cut"] = len(data) - chance.randrange(1, len(data) // 2)
        return bytes(data[: facts["cut"]])
    for _ in range(chance.choice((1, 1, 2, 4, 30))):
        data[chance.randrange(8, len(data))] = chance.choice((0, 1, 255, 128, chance.randrange(256)))
        facts["damaged"] = facts.get("damaged", 0) + 1
    return bytes(data)
