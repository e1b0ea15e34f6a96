"""`wsicomp dataset`: patch sets to train on, from labelled slides and from drawn ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from wsicomp.atomic import check_output
from wsicomp.cli.parsers import Subparsers, add_command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.errors import TrainingError
from wsicomp.progress import Stages
from wsicomp.text_format import counted

_BUILD = """\
Cut labelled slides into patches of 512 x 512 px at several magnifications, into one HDF5 file.

TABLE is tab or comma separated, with a row of column names: `name`, and `image` and `mask` as paths from the
table's folder (or images/NAME.* and masks/NAME.*). Images are slides, or pictures as PNG, JPEG or WebP; masks
are PNG, TIFF (0 glass, 128 does not score, else tissue) or QuPath GeoJSON, or the words all-tissue and
all-glass. Optional: `um_per_px` (of pictures), `split` (train, test), `source_group` (patient or slide, which
splits keep together), `licence`, `weights_may_train_on` (yes, no), `difficulty`."""

_DRAW = """\
Draw synthetic H&E slides with true masks into FOLDER, with a table for `wsicomp dataset build`.

They fill what real labelled slides lack: high magnifications, and masks that are certainly right."""


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("dataset", help="make patch sets to train on", description=__doc__)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    build = add_command(actions, "build", "cut labelled slides into patches", _BUILD)
    build.add_argument("table", type=Path, help="the table of labelled slides")
    build.add_argument("target", type=Path, metavar="PATCHES", help="the HDF5 file to write")
    build.add_argument(
        "--power",
        type=float,
        action="append",
        metavar="P",
        help="a magnification to cut at; may come again (default 1.25, 2.5, 5, 10 and 20)",
    )
    build.add_argument(
        "--dense",
        action="store_true",
        help="every patch at 20x and 40x too, as codecs want it; else every 4th and 8th",
    )
    build.add_argument("--split", metavar="NAME", help="only rows of this split")
    build.add_argument("--overwrite", action="store_true", help="replace PATCHES if it exists")
    build.set_defaults(run=run_build)

    draw = add_command(actions, "draw", "draw slides with true masks", _DRAW)
    draw.add_argument("folder", type=Path, help="where slides, masks and table.tsv go")
    draw.add_argument("--count", type=int, default=12, metavar="N", help="slides (default 12)")
    draw.add_argument("--size", type=int, default=4096, metavar="PX", help="sides of a slide (default 4096)")
    draw.add_argument("--seed", type=int, default=100, help="the first slide's seed (default 100)")
    draw.set_defaults(run=run_draw)


def run_build(options: argparse.Namespace) -> int:
    """Read the table, cut, and say what there is."""
    from wsicomp.training.data.patch_set import POWERS, build_patch_set
    from wsicomp.training.data.slide_table import read_table, select
    from wsicomp.training.extras import require

    require("h5py")
    rows = select(read_table(options.table), options.table, options.split)
    inputs = (options.table, *(row.image for row in rows), *(row.mask for row in rows))
    check_output(options.target, inputs, options.overwrite)
    powers = tuple(options.power or POWERS)
    if not all(0.1 <= power <= 40 for power in powers):
        raise TrainingError("a power out of range, expected 0.1 to 40")
    with progress_bars() as show:
        summary = build_patch_set(
            rows, options.target, powers, Stages(show), options.dense, options.overwrite
        )
    counts = ", ".join(f"{count} at {power:g}x" for power, count in summary.counts.items())
    say(
        f"{options.target}: {sum(summary.counts.values())} patches of {counted(len(rows), 'slide')}: {counts}"
    )
    return 0


def run_draw(options: argparse.Namespace) -> int:
    """Draw."""
    from wsicomp.training.data.synthetic import draw_slides

    if not (1 <= options.count <= 1000 and 256 <= options.size <= 65_536 and options.seed >= 0):
        raise TrainingError("expected a count of 1 to 1000, a size of 256 to 65536 px, a seed from 0")
    with progress_bars() as show:
        table = draw_slides(options.folder, options.count, options.size, options.seed, Stages(show))
    say(f"{table}: {options.count} slides of {options.size} x {options.size} px with their masks")
    return 0
