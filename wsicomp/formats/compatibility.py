"""Tell which programs open a file: rules over its content, measured on the named versions of the programs.

`tests/formats/test_compatibility.py` holds each rule against the program where it can be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from wsicomp.codecs.base import Compression, Program
from wsicomp.codecs.registry import codec_info, compression_info
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Size
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import TileAction
from wsicomp.slide import JPEG, JPEGXL, RGB, TileEncoding

_REPACKED = "repacked JPEG differs where chroma is subsampled"
_DARKER = "every pixel, but darker: repacked JPEG that holds RGB"


@dataclass(frozen=True)
class ReaderVerdict:
    """A verdict: whether one program opens a file."""

    reader: str
    """The program's name and version."""
    opens: str
    """"yes", "partly", "no" or "shows black".

    "shows black" is worse than "no": the program opens the file without an error, and its tissue is black.
    """
    reason: str = ""
    """More in words."""


_WORDS = ("yes", "partly", "no", "shows black")
"""What a verdict may be, the best first."""
_OPENSLIDES = (Program.OPENSLIDE.value, Program.OPENSLIDE_400.value, Program.OPENSLIDE_34.value)

_Answer = tuple[str, str]
"""What a `ReaderVerdict` says of its program: how it opens the file, and more in words."""
_YES = "yes", ""
_OVERVIEW_ALONE = "partly", "the levels of the overview alone"


@dataclass(frozen=True)
class _Facts:
    """The facts of a file that decide whether a program opens it."""

    in_svs: bool
    compressions: frozenset[Compression]
    first: frozenset[Compression]
    """The compressions of the first levels in the file: all, or those of the overview."""
    has_overview: bool
    empty_tiles: int
    is_big: bool
    levels: int
    has_thumbnail: bool
    plain_is_low: bool
    """Whether a level that is neither JPEG nor JPEG 2000 is lower than a tile."""
    has_full_level: bool
    """Whether one of the first levels has no empty tile."""
    holds_rgb: bool
    """Whether its JPEG holds RGB instead of YCbCr."""
    kept_tiles: int = 0
    repacks_jpeg: bool = False
    model: str = ""

    def unread(self, program: Program) -> frozenset[Compression]:
        """Return the compressions, among those of the first levels, that a program does not read."""
        return frozenset(each for each in self.first if program not in each.readers)

    def unread_anywhere(self, program: Program) -> frozenset[Compression]:
        """Return the compressions, among those of all levels, that a program does not read."""
        return frozenset(each for each in self.compressions if program not in each.readers)


_Rule = Callable[[_Facts], _Answer]


def verdicts(slide: TiffSlide) -> tuple[ReaderVerdict, ...]:
    """Return one verdict for each program, wsicomp's own reader and the newest OpenSlide first.

    >>> [f"{each.reader}: {each.opens}" for each in verdicts(slide)][:2]  # doctest: +SKIP
    ['wsicomp.open_slide: yes', 'OpenSlide 4.0.1: yes']
    """
    facts = _facts(slide)
    return tuple(ReaderVerdict(name, *answer(facts)) for name, answer in _PROGRAMS.items())


def planned_verdicts(plan: ConversionPlan) -> tuple[ReaderVerdict, ...]:
    """Return the verdicts on the file that a plan will make, if each tile comes out as planned."""
    facts = _planned_facts(plan)
    return tuple(ReaderVerdict(name, *answer(facts)) for name, answer in _PROGRAMS.items())


def opens_in(found: Sequence[ReaderVerdict], source: Sequence[ReaderVerdict] = ()) -> str:
    """Return the verdicts in one short line of text, the worst in capitals.

    `source` are those on the file that it was made from: the line says so where no program opens the file
    worse than its source.

    >>> opens_in([*map(ReaderVerdict, ("QuPath", "FAST", "GDAL"), ("yes", "yes", "partly"))])
    'every viewer tried; partly in GDAL'
    """
    named = {
        word: program_names([verdict.reader for verdict in found if verdict.opens == word]) for word in _WORDS
    }
    before = {"partly": "partly in ", "no": "NOT in ", "shows black": "SHOWS BLACK in "}
    worse = [before[word] + ", ".join(named[word]) for word in before if named[word]]
    others = "every other viewer tried" if named["no"] or named["shows black"] else "every viewer tried"
    is_most = len(named["yes"]) > sum(len(named[word]) for word in before)
    text = "; ".join([others if is_most else ", ".join(named["yes"]), *worse])
    before_it = {verdict.reader: verdict.opens for verdict in source}
    is_alike = bool(source) and all(
        _WORDS.index(verdict.opens) <= _WORDS.index(before_it[verdict.reader]) for verdict in found
    )
    return f"{text}, as the source" if worse and is_alike else text


def program_names(readers: Sequence[str]) -> list[str]:
    """Return names of programs, OpenSlide without its versions where all of them are there.

    >>> program_names(["OpenSlide 4.0.1 and later", "OpenSlide 4.0.0", "OpenSlide 3.4", "QuPath"])
    ['OpenSlide', 'QuPath']
    """
    if not set(_OPENSLIDES) <= set(readers):
        return list(readers)
    kept = (reader for reader in readers if reader not in _OPENSLIDES[1:])
    return ["OpenSlide" if reader == _OPENSLIDES[0] else reader for reader in kept]


def _facts(slide: TiffSlide) -> _Facts:
    provenance, info = slide.provenance, slide.info
    if provenance is None:
        levels = info.levels
        stored = _compressions(level.encoding for level in levels if level.encoding)
        return _Facts(
            in_svs=info.vendor == "aperio",
            compressions=stored,
            first=stored,
            has_overview=False,
            empty_tiles=sum(len(level.absent) for level in levels),
            is_big=info.big,
            levels=len(levels),
            has_thumbnail="thumbnail" in info.associated_images,
            plain_is_low=_plain_is_low([(level.encoding, level.size, level.tile) for level in levels]),
            has_full_level=not all(level.absent for level in levels),
            holds_rgb=_holds_rgb([level.encoding for level in levels]),
        )
    kept_tiles = sum(
        len(record.kept)
        for level, record in zip(provenance.plan.levels, provenance.levels, strict=True)
        if level.encoding.compression == JPEGXL
    )
    return replace(_planned_facts(provenance.plan), kept_tiles=kept_tiles)


def _planned_facts(plan: ConversionPlan) -> _Facts:
    first = plan.navigable
    recipes = [recipe for level in plan.levels for recipe in level.recipes]
    return _Facts(
        in_svs=plan.container == "svs",
        compressions=_compressions(level.encoding for level in plan.levels),
        first=_compressions(level.encoding for level in first),
        has_overview=len(first) < len(plan.levels),
        empty_tiles=sum(level.count(TileAction.EMPTY) for level in plan.levels),
        is_big=plan.big,
        levels=len(plan.levels),
        has_thumbnail="thumbnail" in plan.images,
        plain_is_low=_plain_is_low([(level.shown, level.size, level.tile) for level in first]),
        has_full_level=not all(level.count(TileAction.EMPTY) for level in first),
        holds_rgb=_holds_rgb([recipe.shown for recipe in recipes]),
        repacks_jpeg=any(
            recipe.shown.compression == JPEG != recipe.encoding.compression for recipe in recipes
        ),
        model="" if plan.model is None else _model_text(plan.model),
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
    extra = codec_info(model["architecture"]).extra
    needs = f"with the extra {extra}, by " if extra else "by "
    if model["embedded"]:
        return f"{needs}the model that it carries"
    return f"{needs}model {model['name']} (SHA-256 {model['sha256'][:16]}...), which it does not carry"


def _ours(facts: _Facts) -> _Answer:
    return "yes", facts.model


def _codec_labels(compressions: frozenset[Compression]) -> str:
    return " and ".join(sorted({each.label for each in compressions}))


def _openslide(program: Program, stumbles: str | None, facts: _Facts) -> _Answer:
    """Return the verdict for an OpenSlide.

    `stumbles` says at which empty tiles it fails: "generic" TIFF, or "all".
    """
    apart = frozenset(each for each in facts.first if each.only_in_svs and not facts.in_svs)
    unknown = facts.unread(program) | apart
    by_libtiff = all(Program.LIBTIFF in each.readers for each in unknown)
    if unknown and by_libtiff and program is Program.OPENSLIDE_34:
        return "partly", f"where its libtiff reads {_codec_labels(unknown)}, as Debian's does"
    if unknown:
        return "no", f"it does not read {_codec_labels(unknown)}"
    if program is Program.OPENSLIDE_34 and facts.plain_is_low and not facts.empty_tiles:
        return "partly", "a level that is lower than a tile, and no JPEG, is shifted"
    fails = stumbles == "all" or (stumbles == "generic" and not facts.in_svs)
    return _by_empty_tiles(facts, f"reading any of {facts.empty_tiles} empty tiles fails" if fails else None)


def _by_empty_tiles(facts: _Facts, when_empty: str | None) -> _Answer:
    """Return the verdict for a program that reads all codecs of the first levels.

    `when_empty` says in words what goes wrong at empty tiles; None if nothing does.
    """
    if facts.empty_tiles and when_empty is not None:
        return "partly", when_empty
    return _OVERVIEW_ALONE if facts.has_overview else _YES


def _where_read(program: Program, rule: _Rule) -> _Rule:
    """Return the rule of a program that opens no file in whose first levels is a codec that it lacks."""

    def answer(facts: _Facts) -> _Answer:
        unread = facts.unread(program)
        return ("no", f"it does not read {_codec_labels(unread)}") if unread else rule(facts)

    return answer


def _shows_black(unknown: frozenset[Compression]) -> _Answer:
    return "shows black", f"it does not read {_codec_labels(unknown)}, and does not say so"


def _libvips(facts: _Facts) -> _Answer:
    unread = facts.unread(Program.LIBVIPS)
    if unknown := frozenset(each for each in unread if not each.only_in_svs):
        return _shows_black(unknown)
    if unknown := unread:
        by_openslide = "; through OpenSlide it does" if facts.in_svs else ""
        return "no", f"libtiff does not read {_codec_labels(unknown)}{by_openslide}"
    if facts.has_overview:
        return "shows black", "the levels behind the overview are black, in silence"
    return _by_empty_tiles(facts, "libtiff fails at empty tiles")


def _bioformats(facts: _Facts) -> _Answer:
    if unknown := facts.unread_anywhere(Program.BIOFORMATS):
        stops = "" if unknown & facts.first else ", anywhere in a file"
        return "no", f"it does not read {_codec_labels(unknown)}{stops}"
    if facts.levels > 1 and not facts.in_svs:
        empty = "; empty tiles are black" if facts.empty_tiles else ""
        return "partly", f"level 0 alone{empty}"
    if facts.levels > 1 and facts.has_thumbnail:
        return "partly", "the thumbnail in the place of the smallest level"
    return _by_empty_tiles(facts, "empty tiles are black")


def _tifffile(facts: _Facts) -> _Answer:
    if facts.unread_anywhere(Program.TIFFFILE):
        return _OVERVIEW_ALONE
    if facts.kept_tiles:
        kept = f"the {facts.kept_tiles} tiles that are no JPEG XL"
        return "partly", f"levels without any of {kept}; the others fail whole"
    if facts.has_overview:
        found = "the levels of the overview are its first series, those behind it are others"
        return "partly", found
    if facts.repacks_jpeg:
        return _repacked(facts)
    return _YES


def _repacked(facts: _Facts) -> _Answer:
    return ("partly", _DARKER) if facts.holds_rgb else ("yes", _REPACKED)


def _fast(facts: _Facts) -> _Answer:
    """Return FAST's verdict: it reads an SVS, and a TIFF that states no sample format, by OpenSlide."""
    if facts.has_overview:
        return _OVERVIEW_ALONE
    if facts.kept_tiles:
        return "partly", f"all but {facts.kept_tiles} tiles that are no JPEG XL"
    if facts.repacks_jpeg:
        return _repacked(facts)
    if facts.empty_tiles and facts.holds_rgb and not facts.in_svs:
        return "partly", "empty tiles are black beside JPEG that holds RGB"
    return _YES


def _tiatoolbox(facts: _Facts) -> _Answer:
    """Return tiatoolbox's verdict: it reads by OpenSlide where it can, else a generic BigTIFF by tifffile."""
    if facts.levels == 1 and not facts.in_svs and not facts.is_big and not facts.unread(Program.TIFFFILE):
        if facts.repacks_jpeg and facts.holds_rgb:
            return "partly", _DARKER
        return "yes", "without scale: the file is no BigTIFF"
    fails_at_empty = facts.empty_tiles and not facts.in_svs
    unread = facts.unread(Program.TIATOOLBOX)
    refused = frozenset(each for each in unread if Program.LIBTIFF in each.readers)
    if refused or (fails_at_empty and not (facts.has_overview and facts.has_full_level)):
        return "no", "it reads no WebP, Zstandard, or empty tiles of a generic TIFF"
    if unread:
        return _shows_black(unread)
    if not facts.in_svs and not facts.is_big:
        return "partly", "one level without scale: the file is no BigTIFF"
    return _by_empty_tiles(facts, None)


def _large_image(facts: _Facts) -> _Answer:
    """Return the verdict of large_image's TIFF source."""
    if facts.levels == 1 and not facts.in_svs:
        return "no", "it refuses a generic TIFF of one level"
    if unknown := facts.unread(Program.LARGE_IMAGE):
        return "no", f"every tile of {_codec_labels(unknown)} is an error"
    return _by_empty_tiles(facts, None)


def _cucim(facts: _Facts) -> _Answer:
    if facts.has_overview:
        return "no", "it refuses the levels behind an overview"
    return _by_empty_tiles(facts, "empty tiles are black")


def _gdal(facts: _Facts) -> _Answer:
    if facts.in_svs:
        return "partly", "level 0 alone, with label and macro for its overviews"
    return _by_empty_tiles(facts, None)


def _slideio(facts: _Facts) -> _Answer:
    if unknown := facts.unread_anywhere(Program.SLIDEIO):
        return "no", f"it does not read {_codec_labels(unknown)}"
    if facts.empty_tiles:
        return "no", "it fails at empty tiles"
    if facts.levels > 1 and not facts.in_svs:
        return "partly", "level 0 alone"
    return _YES


def _tiffslide(facts: _Facts) -> _Answer:
    """Return tiffslide's verdict: it reads by tifffile, and takes an overview's levels for the slide."""
    return _OVERVIEW_ALONE if facts.has_overview else _PROGRAMS["tifffile"](facts)


def _libtiff(facts: _Facts) -> _Answer:
    if facts.empty_tiles and not facts.has_full_level:
        return "no", "it fails at levels with empty tiles"
    return _by_empty_tiles(facts, "it fails at levels with empty tiles")


_PROGRAMS: Mapping[str, _Rule] = {
    "wsicomp.open_slide": _ours,
    Program.OPENSLIDE.value: partial(_openslide, Program.OPENSLIDE, None),
    Program.OPENSLIDE_400.value: partial(_openslide, Program.OPENSLIDE_400, "generic"),
    Program.OPENSLIDE_34.value: partial(_openslide, Program.OPENSLIDE_34, "all"),
    Program.QUPATH.value: partial(_openslide, Program.QUPATH, "generic"),
    "libvips": _libvips,
    "Bio-Formats": _bioformats,
    "tifffile": _where_read(Program.TIFFFILE, _tifffile),
    "FAST": _where_read(Program.FAST, _fast),
    "tiatoolbox": _tiatoolbox,
    "large_image": _large_image,
    "cuCIM": _where_read(Program.CUCIM, _cucim),
    "GDAL": _where_read(Program.GDAL, _gdal),
    "slideio": _slideio,
    "tiffslide": _tiffslide,
    "libtiff": _where_read(Program.LIBTIFF, _libtiff),
}
"""How each program opens a file."""
