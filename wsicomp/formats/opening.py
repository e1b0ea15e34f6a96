"""Opens a slide with the reader that fits its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from openslide import OpenSlide

from wsicomp.config import OutputConfig
from wsicomp.errors import SlideReadError, UnsupportedSlideError
from wsicomp.files.inputs import check_file, given_path, reading
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.dicom.levels import dicom_tiles
from wsicomp.formats.lower_levels import level_of_power, without_finer
from wsicomp.formats.openslide import OpenSlideSlide
from wsicomp.formats.packed.container import is_pack
from wsicomp.formats.slide_files import check_parts
from wsicomp.formats.stored_tiles import FindTiles, no_tiles
from wsicomp.formats.tiff import xmp
from wsicomp.formats.tiff.directories import TIFF_MAGIC, read_directories
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.formats.tiff.sample_kinds import PixelKind
from wsicomp.formats.tiled_openslide import TiledOpenSlideSlide
from wsicomp.formats.vendor_tiffs.leica import leica_tiles
from wsicomp.formats.vendor_tiffs.philips import philips_tiles
from wsicomp.formats.vendor_tiffs.plain_tiff import plain_tiff_tiles
from wsicomp.formats.vendor_tiffs.ventana import ventana_tiles
from wsicomp.geometry import TileIndex
from wsicomp.plan.provenance import Provenance
from wsicomp.slide import SlideInfo
from wsicomp.version import PROGRAM

_TIFF_VENDORS = (None, "aperio", "generic-tiff")
_FINDERS: Mapping[str, FindTiles] = {
    "argos": plain_tiff_tiles,
    "dicom": dicom_tiles,
    "huron": plain_tiff_tiles,
    "leica": leica_tiles,
    "philips": philips_tiles,
    "ventana": ventana_tiles,
}
"""What finds the encoded tiles of a vendor's slides that OpenSlide shows."""
_MOST_PLANES = 20
_TILES_LOOKED_AT, _DARK = 16, 64


def open_tiff(path: Path, z: int | None = None) -> TiffSlide:
    """Open a tiled TIFF; a `ConvertedSlide` where wsicomp wrote it.

    `z` chooses one of several focal planes, counted from 0; without it the first is read.

    Raises:
        SlideReadError: the file is not there, is damaged, or lacks the provenance that wsicomp wrote.
        UnsupportedSlideError: the file is not an 8-bit bright-field slide in tiles, or has no plane `z`.
    """
    check_file(path)
    directories = read_directories(path)
    first = directories[0]
    try:
        text = xmp.unwrap(first.xmp)
        if text is not None and z:
            raise UnsupportedSlideError(f"no plane z {z}; a conversion has one focal plane: leave `z` out")
        if text is not None:
            stored = sum(len(each.ranges) for one in directories for each in (one, *one.subs))
            return ConvertedSlide(path, directories, Provenance.from_text(text, stored))
        if first.software.startswith(f"{PROGRAM} "):
            message = "wsicomp wrote it, but its provenance is missing; take the file from a copy"
            raise SlideReadError(message, place="XMP packet")
    except SlideReadError as exc:
        raise type(exc)(exc.message, path, exc.place) from exc
    return TiffSlide(path, directories, z)


def open_converted(path: Path) -> ConvertedSlide:
    """Open a file that wsicomp wrote.

    Raises:
        SlideReadError: the file is not there, is damaged, or was not written by wsicomp.
        UnsupportedSlideError: another version of wsicomp wrote the file with a codec that is not known here.
    """
    slide = open_tiff(path)
    if not isinstance(slide, ConvertedSlide):
        slide.close()
        raise SlideReadError("wsicomp did not write it: it holds no provenance", path)
    return slide


def open_reader(path: str | os.PathLike[str], z: int | None = None, any_plane: bool = False) -> Slide:
    """Open a slide: tile by tile where its vendor's tiles are known, else as pixels through OpenSlide.

    `z` chooses one of several focal planes by its place in the file, counted from 0. Without `z` such a slide
    is refused; with `any_plane` its first plane is read instead.

    >>> with closing(open_reader("slide.svs")) as slide:  # doctest: +SKIP
    ...     tile = slide.read_tile(TileIndex(0, 0, 0))

    Raises:
        SlideReadError: there is no such file, the file is damaged, or nothing here reads it.
        UnsupportedSlideError: the slide is not an 8-bit bright-field slide, or has several focal planes of
            which none was chosen.
    """
    path = given_path(path)
    check_parts(path)
    with reading(path), path.open("rb") as file:
        magic = file.read(4)
        vendor = OpenSlide.detect_format(path)
    if magic in TIFF_MAGIC and vendor in _TIFF_VENDORS:
        try:
            slide = open_tiff(path, z)
        except UnsupportedSlideError as exc:
            if not isinstance(exc.kind, PixelKind):
                raise
            return _as_shown(path, exc, exc.kind)
        if len(slide.info.planes) > 1 and z is None and not any_plane:
            slide.close()
            raise _several_planes(slide.info)
        return slide
    if vendor is None and is_pack(path):
        message = (
            "a packed slide; get its files by `wsicomp restore`, or `wsicomp mount` it and read them there"
        )
        raise UnsupportedSlideError(message, path)
    if vendor is None:
        raise SlideReadError(
            "not a whole-slide image: expected a TIFF, or a format that OpenSlide reads", path
        )
    if z:
        message = f"no plane z {z}; OpenSlide reads one of this vendor's slides: leave `z` out"
        raise UnsupportedSlideError(message, path)
    return TiledOpenSlideSlide(path, _FINDERS.get(vendor, no_tiles))


def open_chosen(path: str | os.PathLike[str], output: OutputConfig) -> Slide:
    """Open a slide as these options have it: one focal plane, and from which level on.

    Raises:
        ConfigError: the slide has no such level, or no level of that power.
        SlideReadError: as by `open_reader`.
    """
    slide = open_reader(path, output.z)
    try:
        first = output.from_level
        if output.max_power is not None:
            first = level_of_power(slide.info, output.max_power)
    except BaseException:
        slide.close()
        raise
    return without_finer(slide, first)


def open_source(path: Path, converted: Path) -> Slide:
    """Open the source of a conversion to compare both.

    Of several focal planes the converted one is read, and the levels from the one on at which it begins.

    Raises:
        SlideReadError: the source cannot be read.
        UnsupportedSlideError: the source is not an 8-bit bright-field slide.
    """
    slide = open_reader(path, any_plane=True)
    kept = None
    with suppress(SlideReadError), closing(open_tiff(converted)) as made:
        kept = made.info if made.provenance is not None else None
    if kept is None:
        return slide
    if kept.z is not None and slide.provenance is None:
        slide.close()
        slide = open_reader(path, kept.z)
    first = kept.from_level - slide.info.from_level
    return without_finer(slide, first) if 0 < first < len(slide.info.levels) else slide


def _as_shown(path: Path, error: UnsupportedSlideError, refusal: PixelKind) -> OpenSlideSlide:
    """Open a TIFF whose samples we do not read by the pixels that OpenSlide shows.

    Raises:
        UnsupportedSlideError: OpenSlide does not read all of its levels, shows others, or the slide is dark.
    """
    plain = UnsupportedSlideError(error.message, path, error.place)
    remark = f"{refusal.found}: read as OpenSlide shows it, by its pixels alone"
    try:
        slide = OpenSlideSlide(path, (remark,), opaque=refusal.may_hide, may_be=refusal.may_be)
    except SlideReadError as exc:
        raise plain from exc
    try:
        if tuple(level.size for level in slide.info.levels) != refusal.sizes:
            raise plain
        for number in range(len(refusal.sizes)):
            slide.read_tile(TileIndex(number, 0, 0))
        if _is_dark(slide):
            found = f"{refusal.found} on a dark ground, as in fluorescence"
            raise UnsupportedSlideError(f"{found}; expected a bright field", path, error.place)
    except BaseException as exc:
        slide.close()
        if isinstance(exc, SlideReadError) and not isinstance(exc, UnsupportedSlideError):
            raise plain from exc
        raise
    return slide


def _is_dark(slide: OpenSlideSlide) -> bool:
    """Return whether most pixels of some tiles of the lowest level are darker than any glass."""
    number = len(slide.info.levels) - 1
    level = slide.info.levels[number]
    chosen = np.unique(np.linspace(0, level.grid.count - 1, _TILES_LOOKED_AT).astype(int)).tolist()
    greys = []
    for at in chosen:
        region = level.grid.region(at % level.grid.columns, at // level.grid.columns)
        greys.append(slide.read_region(number, region).max(axis=2).reshape(-1))
    return float(np.median(np.concatenate(greys))) < _DARK


def _several_planes(info: SlideInfo) -> UnsupportedSlideError:
    planes = ", ".join(map(str, info.planes[:_MOST_PLANES]))
    more = f" and {len(info.planes) - _MOST_PLANES} more" if len(info.planes) > _MOST_PLANES else ""
    found = f"{len(info.planes)} focal planes of {info.size} px, expected one: {planes}{more}"
    return UnsupportedSlideError(f"{found}; planes are no levels: choose one by `z`", info.path)
