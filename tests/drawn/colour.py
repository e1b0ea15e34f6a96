"""Slides whose encoded tiles say one thing of their colours where TIFF says another, or say it in odd ways.

The truth is the picture that was drawn. JPEG tiles hold what PhotometricInterpretation says, whatever their
markers and the numbers of their components say; JPEG 2000 tiles hold YCbCr under 33003 unless a
multi-component transform makes RGB of it.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

RGB, YCBCR = 2, 6
TILE = 64
WIDTH, HEIGHT = 128, 96

JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
ADOBE = {
    transform: b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    for transform in (0, 1, 2)
}
MARKERS = {
    "no marker": b"",
    "JFIF": JFIF,
    **{f"Adobe {transform}": adobe for transform, adobe in ADOBE.items()},
    **{f"JFIF, Adobe {transform}": JFIF + adobe for transform, adobe in ADOBE.items()},
    **{f"Adobe {transform}, JFIF": adobe + JFIF for transform, adobe in ADOBE.items()},
}
NUMBERS = {"1 2 3": b"\x01\x02\x03", "0 1 2": b"\x00\x01\x02", "R G B": b"RGB"}
SUBSAMPLINGS = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}

_SVS = "Aperio Image Library v12.0\r\n{0}x{1} (64x64) {2}|AppMag = 20|MPP = 0.5"
_DQT, _DHT = 0xDB, 0xC4


def picture(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Smooth stripes of saturated colours, so that a wrong conversion is far off and a codec is not."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    channels = [
        130 + 90 * np.sin(x / 31),
        120 + 70 * np.cos(y / 27 + 1),
        140 + 80 * np.sin((x + y) / 43 + 2),
    ]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def glassy_picture() -> np.ndarray:
    """The picture with bare glass right of its 40th column, so that two of its four tiles are glass alone."""
    pixels = picture()
    y, x = np.mgrid[0:HEIGHT, 40:WIDTH]
    pixels[:, 40:] = (236 + (x + y) % 2)[..., None]
    return pixels


def draw_jpeg(
    path: Path,
    photometric: int = YCBCR,
    markers: str = "no marker",
    numbers: str = "1 2 3",
    subsampling: str = "444",
    shared: bool = True,
    svs: bool = True,
    quality: int = 95,
    glassy: bool = False,
) -> np.ndarray:
    """A slide of JPEG tiles, abbreviated ones if their tables are `shared`; returns the picture."""
    pixels = glassy_picture() if glassy else picture()
    whole = [
        jpeg_stream(tile, photometric, markers, numbers, subsampling, quality) for tile in _tiles(pixels)
    ]
    _write(
        path,
        [abbreviated(stream) if shared else stream for stream in whole],
        svs,
        "JPEG",
        compression=7,
        photometric=photometric,
        subsampling=SUBSAMPLINGS[subsampling],
        jpegtables=_tables(whole[0]) if shared else None,
        compressionargs={"outcolorspace": "rgb" if photometric == RGB else "ycbcr"},
    )
    return pixels


def jpeg_stream(
    pixels: np.ndarray, photometric: int, markers: str, numbers: str, subsampling: str, quality: int = 95
) -> bytes:
    """A baseline JPEG that holds RGB or YCbCr, with these markers first and its components so numbered."""
    planes = pixels if photometric == RGB else _ycbcr(pixels)
    stream = bytes(
        imagecodecs.jpeg8_encode(
            planes, level=quality, colorspace="ycbcr", outcolorspace="ycbcr", subsampling=subsampling
        )
    )
    parts, at = [], 2
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        segment = bytearray(stream[at:end])
        if segment[1] == 0xC0:
            segment[10::3] = NUMBERS[numbers]
        if segment[1] not in (0xE0, 0xEE):
            parts.append(bytes(segment))
        at = end
    scan = bytearray(stream[at:])
    scan[5:11:2] = NUMBERS[numbers]
    return stream[:2] + MARKERS[markers] + b"".join(parts) + bytes(scan)


def abbreviated(stream: bytes) -> bytes:
    """The stream without its tables."""
    return split(stream)[1]


def _tables(stream: bytes) -> bytes:
    return split(stream)[0]


def split(stream: bytes) -> tuple[bytes, bytes]:
    """JPEGTables, and the stream without them."""
    tables, rest, at = b"", stream[:2], 2
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if stream[at + 1] in (_DQT, _DHT):
            tables += stream[at:end]
        else:
            rest += stream[at:end]
        at = end
    return b"\xff\xd8" + tables + b"\xff\xd9", rest + stream[at:]


def draw_jpeg_images(path: Path, photometric: int, markers: str, numbers: str) -> dict[str, np.ndarray]:
    """An SVS whose thumbnail, label and macro are JPEG in strips; returns what each of them shows."""
    pixels = picture()
    options = {"photometric": photometric, "compression": 7, "subsampling": (1, 1), "metadata": None}
    options["compressionargs"] = {"outcolorspace": "rgb" if photometric == RGB else "ycbcr"}

    def streams(parts):
        return iter([jpeg_stream(part, photometric, markers, numbers, "444") for part in parts])

    images = {"thumbnail": pixels[:48, :64], "label": pixels[48:, :48], "macro": pixels[16:, 32:]}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            streams(_tiles(pixels)),
            shape=pixels.shape,
            dtype=np.uint8,
            tile=(TILE, TILE),
            description=_SVS.format(WIDTH, HEIGHT, "JPEG"),
            **options,
        )
        for name, image in images.items():
            tiff.write(
                streams([image[top : top + 16] for top in range(0, len(image), 16)]),
                shape=image.shape,
                dtype=np.uint8,
                rowsperstrip=16,
                subfiletype={"label": 1, "macro": 9}.get(name, 0),
                description=f"Aperio Image Library v12.0\r\n{name} {image.shape[1]}x{image.shape[0]}",
                **options,
            )
    return images


def draw_jpeg2000(
    path: Path,
    compression: int = 33003,
    subsampling: str = "444",
    transform: bool = False,
    lossless: bool = True,
    boxed: bool = False,
    svs: bool = True,
    glassy: bool = False,
) -> np.ndarray:
    """A slide of JPEG 2000 tiles; returns the picture.

    They hold YCbCr under 33003, but RGB under 33005 or where a transform mixes their components.
    """
    pixels = glassy_picture() if glassy else picture()
    tiles = [
        jpeg2000_stream(tile, compression == 33003 and not transform, subsampling, transform, lossless)
        for tile in _tiles(pixels)
    ]
    if boxed:
        tiles = [_boxed(tile) for tile in tiles]
    _write(path, tiles, svs, "J2K", compression=compression, photometric=RGB)
    return pixels


def draw_mixed_jpeg2000(path: Path, first_has_transform: bool) -> np.ndarray:
    """An SVS of 33003 in which every other tile has a multi-component transform; returns the picture."""
    pixels = picture()
    tiles = []
    for number, tile in enumerate(_tiles(pixels)):
        transform = (number % 2 == 0) is first_has_transform
        tiles.append(jpeg2000_stream(tile, not transform, "444", transform))
    _write(path, tiles, True, "J2K", compression=33003, photometric=RGB)
    return pixels


def jpeg2000_stream(
    pixels: np.ndarray, holds_ycbcr: bool, subsampling: str, transform: bool, lossless: bool = True
) -> bytes:
    """A bare codestream. Subsampled ones are joined from one of each component."""
    planes = _ycbcr(pixels) if holds_ycbcr else pixels
    options = {"level": 0 if lossless else 48, "codecformat": "j2k", "reversible": lossless, "resolutions": 3}
    if subsampling == "444":
        return bytes(imagecodecs.jpeg2k_encode(planes, mct=transform, **options))
    across, down = SUBSAMPLINGS[subsampling]
    small = cv2.resize(planes, None, fx=1 / across, fy=1 / down, interpolation=cv2.INTER_AREA)
    parts = [planes[..., 0], small[..., 1], small[..., 2]]
    streams = [imagecodecs.jpeg2k_encode(part.copy(), mct=False, **options) for part in parts]
    return _joined([bytes(stream) for stream in streams], (across, down), planes.shape[:2], transform)


def _joined(streams: list[bytes], factors: tuple[int, int], shape: tuple[int, int], transform: bool) -> bytes:
    """One codestream of three: in the progression by components theirs stand one after the other.

    Source: ITU-T T.800 annexes A.5.1 (SIZ), A.6.1 (COD), B.12.1.5 (component-position-resolution-layer).
    """
    parts = [_codestream_parts(stream) for stream in streams]
    cod = bytearray(parts[0][0][0x52])
    cod[5], cod[8] = 4, transform
    sizes = b"".join(bytes([7, across, down]) for across, down in ((1, 1), factors, factors))
    siz = struct.pack(">HHIIIIIIIIH", 47, 0, shape[1], shape[0], 0, 0, shape[1], shape[0], 0, 0, 3) + sizes
    data = b"".join(data for _, data in parts)
    tile = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 14 + len(data), 0, 1) + b"\xff\x93" + data
    return b"\xff\x4f\xff\x51" + siz + bytes(cod) + parts[0][0][0x5C] + tile + b"\xff\xd9"


def _codestream_parts(stream: bytes) -> tuple[dict[int, bytes], bytes]:
    """The segments of the main header by their markers, and the packets of the only tile."""
    segments, at = {}, 2
    while stream[at + 1] != 0x90:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        segments[stream[at + 1]] = stream[at:end]
        at = end
    return segments, stream[at + 14 : -2]


def _boxed(codestream: bytes) -> bytes:
    def box(kind, body):
        return struct.pack(">I", 8 + len(body)) + kind + body

    header = box(b"ihdr", struct.pack(">IIHBBBB", TILE, TILE, 3, 7, 7, 0, 0))
    header += box(b"colr", struct.pack(">BBBI", 1, 0, 0, 16))
    kind = box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return box(b"jP  ", b"\r\n\x87\n") + kind + box(b"jp2h", header) + box(b"jp2c", codestream)


def _ycbcr(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])


def _tiles(pixels: np.ndarray) -> list[np.ndarray]:
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % TILE), (0, -width % TILE), (0, 0)), mode="edge")
    return [
        np.ascontiguousarray(padded[top : top + TILE, left : left + TILE])
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    ]


def _write(path: Path, tiles: list[bytes], svs: bool, coding: str, **options) -> None:
    description = _SVS.format(WIDTH, HEIGHT, coding) if svs else None
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            iter(tiles),
            shape=(HEIGHT, WIDTH, 3),
            dtype=np.uint8,
            tile=(TILE, TILE),
            description=description,
            metadata=None,
            **options,
        )
