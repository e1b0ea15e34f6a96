"""What taking glass out does to the tiles of slides: their bytes with and without it, codec by codec.

The table is Markdown; the exit status is 1 where a row has grown.

Every conversion is verified as it is written. A codec that cannot be made of a slide has no row.
"""

import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
from usage import parser_of

from wsicomp import ConversionConfig, WsicompError, convert_slide
from wsicomp.formats.opening import open_reader
from wsicomp.plan.level_plan import TileAction

CODECS: dict[str, dict[str, object]] = {
    "copy": {"codec": "copy"},
    "jpeg q90": {"codec": "jpeg"},
    "jpeg lossless": {"codec": "jpeg", "lossless": True},
    "jpegxl d1": {"codec": "jpegxl"},
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True},
    "jpeg2000": {"codec": "jpeg2000"},
    "webp": {"codec": "webp"},
    "none": {"codec": "none"},
    "he-compact": {"codec": "bmshj2018-factorized", "model": "he-compact"},
    "he-fine": {"codec": "bmshj2018-factorized", "model": "he-fine"},
}


def tile_bytes(path: Path) -> tuple[int, int, int]:
    """The bytes of all tiles, a shared one counted once; how many are painted, how many stayed unpainted."""
    slide = open_reader(path)
    with closing(slide):
        levels = slide.provenance.plan.levels
        total = 0
        for level in levels:
            ranges = np.asarray(slide.tile_ranges(level.number)).reshape(-1, 2)
            total += int(np.unique(ranges[ranges[:, 1] > 0], axis=0)[:, 1].sum())
        painted, whole = (
            sum(level.count(action) for level in levels)
            for action in (TileAction.MASK_AND_ENCODE, TileAction.ENCODE)
        )
        return total, painted, whole


def row(source: Path, label: str, folder: Path) -> tuple[str, bool]:
    """The row of one slide and codec, and whether it has grown."""
    found = {}
    for glass in ("keep", "white"):
        target = folder / "target.tiff"
        config = ConversionConfig.of(**CODECS[label], glass=glass, overwrite=True)  # type: ignore[arg-type]
        convert_slide(source, target, config)
        found[glass] = tile_bytes(target)
    (keep, _, _), (white, painted, whole) = found["keep"], found["white"]
    cells = [
        source.name,
        label,
        f"{keep:,}",
        f"{white:,}",
        f"{white / keep - 1:+.1%}",
        str(painted),
        str(whole),
    ]
    return f"| {' | '.join(cells)} |", white > keep


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("slides", nargs="+", type=Path, metavar="SLIDE", help="a slide")
    parser.add_argument("--codecs", nargs="+", default=list(CODECS), choices=list(CODECS), help="these alone")
    options = parser.parse_args()
    print("| slide | codec | bytes of tiles, glass kept | white | change | painted tiles | encoded whole |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    has_grown = False
    with tempfile.TemporaryDirectory() as folder:
        for source in options.slides:
            for label in options.codecs:
                try:
                    text, grown = row(source, label, Path(folder))
                except WsicompError as exc:
                    print(f"{source.name}, {label}: {exc}", file=sys.stderr)
                    continue
                has_grown |= grown
                print(text, flush=True)
    sys.exit(has_grown)


if __name__ == "__main__":
    main()
