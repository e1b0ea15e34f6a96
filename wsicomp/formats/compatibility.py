"""Which programs open a file: rules over what the file holds, measured on the named versions of the programs.

`tests/formats/test_compatibility.py` holds each rule against the program where it can be installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wsicomp.codecs.base import Compression, Program
from wsicomp.codecs.registry import compression_info
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Size
from wsicomp.plan.level_plan import TileAction
from wsicomp.slide import JPEG, JPEGXL, RGB, TileEncoding

_REPACKED = "repacked JPEG differs where chroma is subsampled"
_DARKER = "every pixel, but darker: repacked JPEG that holds RGB"


@dataclass(frozen=True)
class ReaderVerdict:
    """Whether a program opens a file."""

    reader: str
    """The program's name and version."""
    opens: str
    """"yes", "partly", "no" or "shows black".

    "shows black" is worse than "no": the program opens the file without an error, and its tissue is black.
    """
    reason: str = ""
    """More in words."""


@dataclass(frozen=True)
class _Facts:
    """The facts of a file that decide whether a program opens it."""

    in_svs: bool
    compressions: frozenset[Compression]
    first: frozenset[Compression]
    """The compressions of the first levels in the file: all, or those of the overview."""
    has_overview: bool
    empty_tiles: int
    kept_tiles: int
    repacks_jpeg: bool
    model: str = ""
    is_big: bool = False
    levels: int = 1
    has_thumbnail: bool = False
    plain_is_low: bool = False
    """Whether a level that is neither JPEG nor JPEG 2000 is lower than a tile."""
    has_full_level: bool = True
    """Whether one of the first levels has no empty tile."""
    holds_rgb: bool = False
    """Whether its JPEG holds RGB instead of YCbCr."""

    def unread(self, program: Program) -> frozenset[Compression]:
        """Return the compressions, among those of the first levels, that a program does not read."""
        return frozenset(each for each in self.first if program not in each.readers)

    def unread_anywhere(self, program: Program) -> frozenset[Compression]:
        """Return the compressions, among those of all levels, that a program does not read."""
        return frozenset(each for each in self.compressions if program not in each.readers)


def verdicts(slide: TiffSlide) -> tuple[ReaderVerdict, ...]:
    """Return one verdict for each program, wsicomp's own reader and the newest OpenSlide first.

    >>> [f"{each.reader}: {each.opens}" for each in verdicts(slide)][:2]  # doctest: +SKIP
    ['wsicomp.open_slide: yes', 'OpenSlide 4.0.1: yes']
    """
    facts = _facts(slide)
    return (
        _ours(facts),
        _openslide(facts, Program.OPENSLIDE, None),
        _openslide(facts, Program.OPENSLIDE_400, "generic"),
        _openslide(facts, Program.OPENSLIDE_34, "all"),
        _openslide(facts, Program.QUPATH, "generic"),
        _libvips(facts),
        _bioformats(facts),
        _tifffile(facts),
        _fast(facts),
        _tiatoolbox(facts),
        _large_image(facts),
        _cucim(facts),
        _gdal(facts),
        _slideio(facts),
        _tiffslide(facts),
        _libtiff(facts),
    )


def opens_in(found: Sequence[ReaderVerdict]) -> str:
    """Return the verdicts in one line of text, the worst in capitals."""
    named = {
        word: ", ".join(verdict.reader for verdict in found if verdict.opens == word)
        for word in ("yes", "partly", "shows black", "no")
    }
    if not (named["shows black"] or named["no"]):
        return "every program tried" + (f", but partly in {named['partly']}" if named["partly"] else "")
    before = {"yes": "", "partly": "partly in ", "shows black": "SHOWS BLACK in ", "no": "not in "}
    return "; ".join(before[word] + names for word, names in named.items() if names)


def _facts(slide: TiffSlide) -> _Facts:
    provenance = slide.provenance
    if provenance is None:
        levels = slide.info.levels
        stored = _compressions(level.encoding for level in levels if level.encoding)
        absent = sum(len(level.absent) for level in levels)
        return _Facts(
            slide.info.vendor == "aperio",
            stored,
            stored,
            False,
            absent,
            0,
            False,
            "",
            slide.info.big,
            len(levels),
            "thumbnail" in slide.info.associated_images,
            _plain_is_low([(level.encoding, level.size, level.tile) for level in levels]),
            not all(level.absent for level in levels),
            _holds_rgb([level.encoding for level in levels]),
        )
    plan = provenance.plan
    return _Facts(
        plan.container == "svs",
        _compressions(level.encoding for level in plan.levels),
        _compressions(level.encoding for level in plan.navigable),
        len(plan.navigable) < len(plan.levels),
        sum(level.count(TileAction.EMPTY) for level in plan.levels),
        sum(
            len(record.kept)
            for level, record in zip(plan.levels, provenance.levels, strict=True)
            if level.encoding.compression == JPEGXL
        ),
        any(
            recipe.shown.compression == JPEG != recipe.encoding.compression
            for level in plan.levels
            for recipe in level.recipes
        ),
        "" if plan.model is None else _model_text(plan.model),
        plan.big,
        len(plan.levels),
        "thumbnail" in plan.images,
        _plain_is_low([(level.shown, level.size, level.tile) for level in plan.navigable]),
        not all(level.count(TileAction.EMPTY) for level in plan.navigable),
        _holds_rgb([recipe.shown for level in plan.levels for recipe in level.recipes]),
    )


def _compressions(encodings: Iterable[TileEncoding]) -> frozenset[Compression]:
    return frozenset(compression_info(encoding.compression) for encoding in encodings)


def _plain_is_low(levels: Sequence[tuple[TileEncoding | None, Size, Size]]) -> bool:
    return any(
        encoding is not None
        and not compression_info(encoding.compression).in_svs
        and size.height < tile.height
        for encoding, size, tile in levels
    )


def _holds_rgb(encodings: Sequence[TileEncoding | None]) -> bool:
    return any(
        encoding is not None and (encoding.compression, encoding.photometric) == (JPEG, RGB)
        for encoding in encodings
    )


def _model_text(model: Mapping[str, Any]) -> str:
    if model["embedded"]:
        return "the model that it carries"
    return f"model {model['name']} (SHA-256 {model['sha256'][:16]}...), which it does not carry"


def _ours(facts: _Facts) -> ReaderVerdict:
    needs = f"with the extra neural, by {facts.model}" if facts.model else ""
    return ReaderVerdict("wsicomp.open_slide", "yes", needs)


def _codec_labels(compressions: frozenset[Compression]) -> str:
    return " and ".join(sorted({each.label for each in compressions}))


def _openslide(facts: _Facts, program: Program, stumbles: str | None) -> ReaderVerdict:
    """Return the verdict for an OpenSlide.

    `stumbles` says at which empty tiles it fails: "generic" TIFF, or "all".
    """
    name = program.value
    apart = frozenset(each for each in facts.first if each.only_in_svs and not facts.in_svs)
    unknown = facts.unread(program) | apart
    by_libtiff = all(Program.LIBTIFF in each.readers for each in unknown)
    if unknown and by_libtiff and program is Program.OPENSLIDE_34:
        return ReaderVerdict(
            name, "partly", f"where its libtiff reads {_codec_labels(unknown)}, as Debian's does"
        )
    if unknown:
        return ReaderVerdict(name, "no", f"it does not read {_codec_labels(unknown)}")
    if program is Program.OPENSLIDE_34 and facts.plain_is_low and not facts.empty_tiles:
        return ReaderVerdict(name, "partly", "a level that is lower than a tile, and no JPEG, is shifted")
    fails = stumbles == "all" or (stumbles == "generic" and not facts.in_svs)
    return _by_empty_tiles(
        facts, name, f"reading any of {facts.empty_tiles} empty tiles fails" if fails else None
    )


def _by_empty_tiles(facts: _Facts, name: str, when_empty: str | None) -> ReaderVerdict:
    """Return the verdict for a program that reads all codecs of the first levels.

    `when_empty` says in words what goes wrong at empty tiles; None if nothing does.
    """
    if facts.empty_tiles and when_empty is not None:
        return ReaderVerdict(name, "partly", when_empty)
    if facts.has_overview:
        return ReaderVerdict(name, "partly", "the levels of the overview alone")
    return ReaderVerdict(name, "yes")


def _shows_black(name: str, unknown: frozenset[Compression]) -> ReaderVerdict:
    return ReaderVerdict(
        name, "shows black", f"it does not read {_codec_labels(unknown)}, and does not say so"
    )


def _libvips(facts: _Facts) -> ReaderVerdict:
    unread = facts.unread(Program.LIBVIPS)
    if unknown := frozenset(each for each in unread if not each.only_in_svs):
        return _shows_black("libvips", unknown)
    if unknown := unread:
        by_openslide = "; through OpenSlide it does" if facts.in_svs else ""
        return ReaderVerdict("libvips", "no", f"libtiff does not read {_codec_labels(unknown)}{by_openslide}")
    if facts.has_overview:
        return ReaderVerdict("libvips", "shows black", "the levels behind the overview are black, in silence")
    return _by_empty_tiles(facts, "libvips", "libtiff fails at empty tiles")


def _bioformats(facts: _Facts) -> ReaderVerdict:
    if unknown := facts.unread_anywhere(Program.BIOFORMATS):
        stops = "" if unknown & facts.first else ", anywhere in a file"
        return ReaderVerdict("Bio-Formats", "no", f"it does not read {_codec_labels(unknown)}{stops}")
    if facts.levels > 1 and not facts.in_svs:
        empty = "; empty tiles are black" if facts.empty_tiles else ""
        return ReaderVerdict("Bio-Formats", "partly", f"level 0 alone{empty}")
    if facts.levels > 1 and facts.has_thumbnail:
        return ReaderVerdict("Bio-Formats", "partly", "the thumbnail in the place of the smallest level")
    return _by_empty_tiles(facts, "Bio-Formats", "empty tiles are black")


def _tifffile(facts: _Facts) -> ReaderVerdict:
    if unknown := facts.unread(Program.TIFFFILE):
        return ReaderVerdict("tifffile", "no", f"it does not read {_codec_labels(unknown)}")
    if facts.unread_anywhere(Program.TIFFFILE):
        return ReaderVerdict("tifffile", "partly", "the levels of the overview alone")
    if facts.kept_tiles:
        found = (
            f"levels without any of the {facts.kept_tiles} tiles that are no JPEG XL; the others fail whole"
        )
        return ReaderVerdict("tifffile", "partly", found)
    if facts.has_overview:
        found = "the levels of the overview are its first series, those behind it are others"
        return ReaderVerdict("tifffile", "partly", found)
    if facts.repacks_jpeg:
        return _repacked(facts, "tifffile")
    return ReaderVerdict("tifffile", "yes")


def _repacked(facts: _Facts, name: str) -> ReaderVerdict:
    return (
        ReaderVerdict(name, "partly", _DARKER) if facts.holds_rgb else ReaderVerdict(name, "yes", _REPACKED)
    )


def _fast(facts: _Facts) -> ReaderVerdict:
    """Return FAST's verdict: it reads an SVS, and a TIFF that states no sample format, by OpenSlide."""
    if unknown := facts.unread(Program.FAST):
        return ReaderVerdict("FAST", "no", f"it does not read {_codec_labels(unknown)}")
    if facts.has_overview:
        return ReaderVerdict("FAST", "partly", "the levels of the overview alone")
    if facts.kept_tiles:
        return ReaderVerdict("FAST", "partly", f"all but {facts.kept_tiles} tiles that are no JPEG XL")
    if facts.repacks_jpeg:
        return _repacked(facts, "FAST")
    if facts.empty_tiles and facts.holds_rgb and not facts.in_svs:
        return ReaderVerdict("FAST", "partly", "empty tiles are black beside JPEG that holds RGB")
    return ReaderVerdict("FAST", "yes")


def _tiatoolbox(facts: _Facts) -> ReaderVerdict:
    """Return tiatoolbox's verdict: it reads by OpenSlide where it can, else a generic BigTIFF by tifffile."""
    if facts.levels == 1 and not facts.in_svs and not facts.is_big and not facts.unread(Program.TIFFFILE):
        if facts.repacks_jpeg and facts.holds_rgb:
            return ReaderVerdict("tiatoolbox", "partly", _DARKER)
        return ReaderVerdict("tiatoolbox", "yes", "without scale: the file is no BigTIFF")
    fails_at_empty = facts.empty_tiles and not facts.in_svs
    unread = facts.unread(Program.TIATOOLBOX)
    refused = frozenset(each for each in unread if Program.LIBTIFF in each.readers)
    if refused or (fails_at_empty and not (facts.has_overview and facts.has_full_level)):
        return ReaderVerdict(
            "tiatoolbox", "no", "it reads no WebP, Zstandard, or empty tiles of a generic TIFF"
        )
    if unread:
        return _shows_black("tiatoolbox", unread)
    if not facts.in_svs and not facts.is_big:
        return ReaderVerdict("tiatoolbox", "partly", "one level without scale: the file is no BigTIFF")
    return _by_empty_tiles(facts, "tiatoolbox", None)


def _large_image(facts: _Facts) -> ReaderVerdict:
    """Return the verdict of large_image's TIFF source."""
    if facts.levels == 1 and not facts.in_svs:
        return ReaderVerdict("large_image", "no", "it refuses a generic TIFF of one level")
    if unknown := facts.unread(Program.LARGE_IMAGE):
        return ReaderVerdict("large_image", "no", f"every tile of {_codec_labels(unknown)} is an error")
    return _by_empty_tiles(facts, "large_image", None)


def _cucim(facts: _Facts) -> ReaderVerdict:
    if unknown := facts.unread(Program.CUCIM):
        return ReaderVerdict("cuCIM", "no", f"it does not read {_codec_labels(unknown)}")
    if facts.has_overview:
        return ReaderVerdict("cuCIM", "no", "it refuses the levels behind an overview")
    return _by_empty_tiles(facts, "cuCIM", "empty tiles are black")


def _gdal(facts: _Facts) -> ReaderVerdict:
    if unknown := facts.unread(Program.GDAL):
        return ReaderVerdict("GDAL", "no", f"it does not read {_codec_labels(unknown)}")
    if facts.in_svs:
        return ReaderVerdict("GDAL", "partly", "level 0 alone, with label and macro for its overviews")
    return _by_empty_tiles(facts, "GDAL", None)


def _slideio(facts: _Facts) -> ReaderVerdict:
    if unknown := facts.unread_anywhere(Program.SLIDEIO):
        return ReaderVerdict("slideio", "no", f"it does not read {_codec_labels(unknown)}")
    if facts.empty_tiles:
        return ReaderVerdict("slideio", "no", "it fails at empty tiles")
    if facts.levels > 1 and not facts.in_svs:
        return ReaderVerdict("slideio", "partly", "level 0 alone")
    return ReaderVerdict("slideio", "yes")


def _tiffslide(facts: _Facts) -> ReaderVerdict:
    """Return tiffslide's verdict: it reads by tifffile, and takes an overview's levels for the slide."""
    found = _tifffile(facts)
    if facts.has_overview:
        return ReaderVerdict("tiffslide", "partly", "the levels of the overview alone")
    return ReaderVerdict("tiffslide", found.opens, found.reason)


def _libtiff(facts: _Facts) -> ReaderVerdict:
    if unknown := facts.unread(Program.LIBTIFF):
        return ReaderVerdict("libtiff", "no", f"it does not read {_codec_labels(unknown)}")
    if facts.empty_tiles and not facts.has_full_level:
        return ReaderVerdict("libtiff", "no", "it fails at levels with empty tiles")
    return _by_empty_tiles(facts, "libtiff", "it fails at levels with empty tiles")
