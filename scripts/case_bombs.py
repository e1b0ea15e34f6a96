"""Cases of `scripts/cases`: files that state or unpack to far more than they hold; seconds, peak memory."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from case_list import HERE, THEN, Case, said

from tests.drawn import bombs
from tests.tiffs import write_tiff

_MEASURED = f'python __import__("runpy").run_path("{HERE}/scripts/measured.py")["measured"]'
_BOUND = "under 1 GB, under 20 s"
KEEP = '"--glass","keep"'
_ARCHIVE = "convert SOURCE FOLDER/bomb.tiff --codec jpegxl --lossless --glass keep --restorable"
_FORGED = f'python __import__("runpy").run_path("{HERE}/tests/drawn/bombs.py")'

Drawn = list[tuple[Path, Any]]


def _drawn(draw: Callable[..., Any], name: str = "bomb.tiff", **options: Any) -> Callable[[Path], Drawn]:
    def into(folder: Path) -> Drawn:
        return [(folder / name, draw(folder / name, **options))]

    return into


def _sources(folder: Path) -> Drawn:
    return [(write_tiff(folder / "source.svs", 400, 300), None)]


def _beside_a_slide(draw: Callable[..., Any], name: str, **options: Any) -> Callable[[Path], Drawn]:
    """A mask, and a slide of 4096 px to whom it is given."""

    def into(folder: Path) -> Drawn:
        write_tiff(folder / "slide.svs", 4096, 4096, tile=(256, 256))
        return [(folder / name, draw(folder / name, **options))]

    return into


def _commands(*arguments: str, written: str = '""') -> str:
    return f"{_MEASURED}([{','.join(arguments)}],{written})"


def _forged(name: str, command: str, bomb: str, **options: Any) -> Case:
    """A restorable conversion by the program that is asked, made a bomb."""
    told = "".join(f",{key}={value}" for key, value in options.items())
    forged = f'{_FORGED}["{bomb}"](__import__("pathlib").Path("FOLDER/bomb.tiff"){told})'
    arguments = [f'"{command}"', '"FOLDER/bomb.tiff"', *(['"TARGET"'] if command == "restore" else [])]
    steps = [_ARCHIVE, forged, _commands(*arguments, written='"TARGET"')]
    return Case(f"bomb: {name}", _BOUND, _sources, THEN.join(steps), said)


def _case(name: str, draw: Callable[[Path], Drawn], *arguments: str, written: str = '""') -> Case:
    return Case(f"bomb: {name}", _BOUND, draw, _commands(*arguments, written=written), said)


_converted = functools.partial(_case, written='"TARGET"')
_INFO = ('"info"', '"SOURCE"')
_CONVERT = ('"convert"', '"SOURCE"', '"TARGET"')
_MASKED = ('"convert"', '"FOLDER/slide.svs"', '"TARGET"', '"--mask"', '"SOURCE"')
JPEG = (*_CONVERT, KEEP, '"--codec"', '"jpeg"')

CASES = [
    _converted(
        "2,500 tiles of 200 kB stored once, copied", _drawn(bombs.shared_tile, side=50), *_CONVERT, KEEP
    ),
    *(
        _converted(
            f"8 tiles of 4096 px stored once, {codec}",
            _drawn(bombs.large_tiles, codec=codec, columns=4, rows=2),
            *JPEG,
        )
        for codec in ("jpeg", "jpegxl", "webp", "deflate", "zstd")
    ),
    _converted("a tile of 8192 px", _drawn(bombs.one_tile, tile=8192, columns=1, rows=1), *JPEG),
    *(
        _converted(
            f"tiles of 256 px that hold 12,000 px, {codec}",
            _drawn(bombs.larger_frame, codec=codec, side=12000),
            *JPEG,
        )
        for codec in ("jpeg", "jpegxl", "webp", "jpeg2000", "deflate", "lzw", "zstd")
    ),
    _case("a JPEG tile of 90,000 scans, info", _drawn(bombs.many_scans, scans=90_000), *_INFO),
    _converted("a JPEG tile of 90,000 scans, converted", _drawn(bombs.many_scans, scans=90_000), *JPEG),
    _converted(
        "JPEG 2000 of a pixel a precinct", _drawn(bombs.cut_small, "bomb.svs", kind="precincts"), *JPEG
    ),
    _converted("JPEG 2000 of 65,535 layers", _drawn(bombs.cut_small, "bomb.svs", kind="layers"), *JPEG),
    _converted("JPEG 2000 in 42,025 tiles", _drawn(bombs.cut_small, "bomb.svs", kind="tiles"), *JPEG),
    *(
        _case(
            f"{columns * rows} tiles of {tile} px {'stored once' if is_shared else 'of no bytes'}, mask",
            _drawn(bombs.one_tile, tile=tile, columns=columns, rows=rows, is_shared=is_shared),
            *('"segment"', '"SOURCE"', '"FOLDER/mask.png"', '"--segmenter"', '"threshold"'),
        )
        for tile, columns, rows, is_shared in (
            (4096, 256, 256, False),
            (4096, 64, 64, True),
            (256, 65_536, 1, True),
        )
    ),
    _converted("a mask of 164 million px", _drawn(bombs.one_tile, tile=4096, columns=25, rows=25), *_CONVERT),
    _forged("restore of 3 GB of zeros", "restore", "long_remainder", gigabytes=3),
    _forged("verify of 3 GB of zeros", "verify", "long_remainder", gigabytes=3),
    _forged("restore of a tile a million times", "restore", "same_piece", times=1_000_000),
    _forged("restore by a dictionary of 3 GB", "restore", "large_dictionary"),
    _forged("a provenance of 5 million runs", "info", "many_runs", runs=5_000_000),
    _forged("a provenance of 20 million lists", "info", "many_values", values=20_000_000),
    _forged("a provenance of 256 million tiles", "info", "many_tiles"),
    _case(
        "100 directories that share a list",
        _drawn(bombs.shared_lists, directories=100, tiles=400_000),
        *_INFO,
    ),
    _case("a text of 60 million fields, info", _drawn(bombs.long_text, "bomb.svs", times=60_000_000), *_INFO),
    _converted(
        "a text of 60 million fields, without names",
        _drawn(bombs.long_text, "bomb.svs", times=60_000_000),
        *(*_CONVERT, KEEP, '"--deidentify"'),
    ),
    _converted(
        "a history of 30 million lines, without names",
        _drawn(bombs.long_text, "bomb.svs", repeated="\n", times=30_000_000, in_fields=False),
        *(*_CONVERT, KEEP, '"--deidentify"'),
    ),
    _converted("a text of 30 MB", _drawn(bombs.long_text, "bomb.svs", repeated="x", times=30_000_000), *JPEG),
    _case("an ICC profile of 3 GB in a hole", _drawn(bombs.huge_profile, gigabytes=3), *_INFO),
    _converted(
        "GeoJSON of 200,000 crossing edges",
        _beside_a_slide(bombs.crossing_edges, "mask.geojson", edges=200_000),
        *_MASKED,
    ),
    _converted(
        "GeoJSON of 20,000 outlines of all",
        _beside_a_slide(bombs.many_outlines, "mask.geojson", outlines=20_000),
        *_MASKED,
    ),
    _converted(
        "a PNG mask of 12,000 px", _beside_a_slide(bombs.large_mask, "mask.png", side=12_000), *_MASKED
    ),
    _converted(
        "a TIFF mask in a tile of 60,000 px", _beside_a_slide(bombs.tile_of_a_mask, "mask.tiff"), *_MASKED
    ),
]
