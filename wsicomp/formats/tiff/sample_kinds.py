"""The kinds of samples that an image of a TIFF may have, and which of them a level can have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wsicomp.codecs import plain
from wsicomp.codecs.registry import can_decode, compression_name
from wsicomp.errors import UnsupportedSlideError
from wsicomp.formats.tiff.directories import PLANES, Directory
from wsicomp.geometry import Size
from wsicomp.slide import RGB, YCBCR

LARGEST_TILE_PX = 4096
"""The longest side of a tile."""

_PHOTOMETRICS = {
    0: "grayscale",
    1: "grayscale",
    3: "palette colour",
    4: "a mask",
    5: "CMYK",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
}

TRANSPOSED = 5

TURNS = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    TRANSPOSED: "mirrored at the diagonal",
    6: "turned by 90 degrees clockwise",
    7: "mirrored at the other diagonal",
    8: "turned by 90 degrees counterclockwise",
}
"""How a viewer should turn an image of each of TIFF's Orientations other than 1."""

_SHOWN_PHOTOMETRICS = (0, 1, RGB, 3, 5, YCBCR)
"""The PhotometricInterpretations that libtiff turns into RGB, without masks and CIELab."""

_SAMPLE_FORMATS = {2: "signed", 3: "floating-point"}


@dataclass(frozen=True)
class PixelKind:
    """Levels of samples that wsicomp does not read, and OpenSlide may."""

    found: str
    """How the samples are stored, in words."""
    sizes: tuple[Size, ...]
    """The sizes of the levels that OpenSlide has to show."""
    may_hide: bool
    """Whether OpenSlide may take a sample for alpha."""
    may_be: Mapping[str, tuple[str, ...]]
    """What each image beside the levels could be by other signs."""


def orientation_remarks(levels: Sequence[Directory]) -> Iterator[str]:
    """Yield one line for the user about levels that state another Orientation than 1."""
    found = sorted({level.orientation for level in levels} & set(TURNS))
    if not found:
        return
    said = " and ".join(f"{number} (to be shown {TURNS[number]})" for number in found)
    by_itself = all(level.is_decoded_by_openslide for level in levels)
    displayed, others = "OpenSlide and wsicomp show it as it is stored", "Pillow and libvips turn it"
    if not by_itself:
        displayed = "wsicomp shows it as it is stored"
        others += ", OpenSlide turns each of its tiles for itself"
    yield f"the file says Orientation {said}: {displayed}, {others}; the tag is not carried on"


def may_be_shown(directory: Directory) -> bool:
    """Return whether OpenSlide's 8-bit RGB loses nothing of a level: not for 16 bits, nor for a mask.

    OpenSlide would decode a whole tile of any size for each part of it.
    """
    return (
        _has_usual_tiles(directory)
        and directory.bits == 8
        and directory.depth == 1
        and directory.sample_format not in _SAMPLE_FORMATS
        and directory.orientation not in TURNS
        and directory.samples > 0
        and directory.encoding.photometric in _SHOWN_PHOTOMETRICS
    )


def _has_usual_tiles(directory: Directory) -> bool:
    tile = directory.tile
    return tile is not None and all(1 <= side <= LARGEST_TILE_PX for side in tile.shape)


def kind_text(directory: Directory) -> str:
    """Return the samples and the compression of an image in words."""
    return f"{stored_form(directory)}, {compression_name(directory.encoding.compression)}"


def stored_form(directory: Directory) -> str:
    """Return in words how the samples of an image are stored."""
    photometric = directory.encoding.photometric
    names = {RGB: "RGB", YCBCR: "YCbCr", **_PHOTOMETRICS}
    turned = " of turned bits (FillOrder 2)" if directory.is_turned else ""
    name = names.get(photometric, f"photometric {photometric}") if directory.samples else "no photometric"
    if directory.is_rgb and directory.is_turned:
        return f"{name}{turned}"
    if directory.is_plain_rgb:
        alpha = " with alpha" if directory.samples == 4 else ""
        return f"{'planar ' if directory.planar == PLANES else ''}RGB{alpha}{turned}"
    kind = _SAMPLE_FORMATS.get(directory.sample_format, "")
    planar = ", in planes" if directory.planar == PLANES else ""
    count = f"{directory.samples} " if directory.samples else ""
    samples = "sample" if directory.samples == 1 else "samples"
    bits = "bit" if directory.bits == 1 else "bits"
    return f"{name}, {count}{kind + ' ' if kind else ''}{samples} of {directory.bits} {bits}{planar}"


def check_level(directory: Directory, place: str) -> None:
    """Refuse an image that cannot be a level of a bright-field slide.

    Raises:
        UnsupportedSlideError: the image has other samples, an unknown compression, focal planes, or too large
            tiles.
    """
    size, tile = directory.size, directory.tile
    assert tile is not None, "levels are tiled"
    if min(size.width, size.height) < 1 or not _has_usual_tiles(directory):
        found = f"{size} px in tiles of {tile} px"
        expected = f"expected tiles of 1 to {LARGEST_TILE_PX} px; save it in such tiles"
        raise UnsupportedSlideError(f"{found}; {expected}", place=place)
    if not directory.is_rgb and not directory.is_plain_rgb:
        found = kind_text(directory)
        raise UnsupportedSlideError(
            f"{found}; expected 3 interleaved samples of 8 bits, RGB or YCbCr", place=place
        )
    if directory.sample_format in _SAMPLE_FORMATS:
        kind = _SAMPLE_FORMATS[directory.sample_format]
        raise UnsupportedSlideError(f"{kind} samples of 8 bits, expected unsigned ones", place=place)
    if not can_decode(directory.encoding.compression):
        number = directory.encoding.compression
        raise UnsupportedSlideError(f"unknown TIFF compression {compression_name(number)}", place=place)
    if directory.encoding.compression in plain.COMPRESSIONS and directory.encoding.photometric != RGB:
        raise UnsupportedSlideError("YCbCr samples that are not JPEG; expected RGB, or JPEG", place=place)
    if directory.encoding.predictor not in (1, 2) and directory.encoding.compression in plain.COMPRESSIONS:
        number = directory.encoding.predictor
        raise UnsupportedSlideError(f"predictor {number}, expected none or horizontal", place=place)
    if directory.depth != 1:
        raise UnsupportedSlideError(f"{directory.depth} focal planes, expected 1", place=place)
