"""`wsicomp dataset`: build patch sets for training, from labelled slides or from drawn ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.files.atomic import check_output
from wsicomp.options import argument, option
from wsicomp.progress import Stages
from wsicomp.text.figures import counted


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Arguments of `wsicomp dataset build`."""

    table: Path = argument("the table of labelled slides")
    target: Path = argument("the HDF5 file to write", metavar="PATCHES")
    powers: tuple[float, ...] = option(
        (),
        "cut at this magnification; may be repeated",
        name="power",
        least=0.1,
        most=40,
        metavar="P",
        default_text="1.25, 2.5, 5, 10 and 20",
    )
    dense: bool = option(
        False, "cut every patch at 20x and 40x too, as codecs need it, instead of every 4th and 8th"
    )
    split: str | None = option(None, "take only rows of this split", metavar="NAME")
    overwrite: bool = option(False, "replace PATCHES if it exists")


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """Arguments of `wsicomp dataset draw`."""

    folder: Path = argument("the folder for slides, masks and table.tsv")
    count: int = option(12, "draw so many slides", least=1, most=1000, metavar="N")
    size: int = option(4096, "draw slides of so many px a side", least=256, most=65_536, metavar="PX")
    seed: int = option(100, "draw the first slide by this seed, each other by the next", least=0, metavar="N")


def run_build(options: BuildOptions) -> int:
    """Cut labelled slides into patches of 512 x 512 px at several magnifications, into one HDF5 file.

    TABLE is separated by tabs or commas. Its first row names the columns. `name` is needed. `image` and
    `mask` are paths from the table's folder; without them images/NAME.* and masks/NAME.* are taken.
    Images are slides, or pictures as PNG, JPEG or WebP. Masks are PNG or TIFF (0 glass, 128 does not
    score, else tissue), QuPath's GeoJSON, or the words all-tissue and all-glass.

    Optional columns: `um_per_px` (of pictures), `split` (train or test), `source_group` (patient or
    slide, which a split keeps together), `licence`, `weights_may_train_on` (yes or no), `difficulty`.

    Needs pip install 'wsicomp[train]'.
    """
    from wsicomp.extras import require
    from wsicomp.training.data.patch_set import POWERS, build_patch_set
    from wsicomp.training.data.slide_table import read_table, select

    require("train", "h5py")
    rows = select(read_table(options.table), options.table, options.split)
    inputs = (options.table, *(row.image for row in rows), *(row.mask for row in rows))
    check_output(options.target, inputs, options.overwrite)
    with progress_bars() as show:
        patches = build_patch_set(
            rows, options.target, options.powers or POWERS, Stages(show), options.dense, options.overwrite
        )
    counts = ", ".join(f"{count} at {power:g}x" for power, count in patches.items())
    say(f"{options.target}: {sum(patches.values())} patches of {counted(len(rows), 'slide')}: {counts}")
    return 0


def run_draw(options: DrawOptions) -> int:
    """Draw synthetic H&E slides with true masks into FOLDER, with a table for `wsicomp dataset build`.

    They have what real labelled slides lack: high magnifications, and masks that are right for certain.
    """
    from wsicomp.training.data.synthetic import draw_labelled_slides

    with progress_bars() as show:
        table = draw_labelled_slides(options.folder, options.count, options.size, options.seed, Stages(show))
    say(f"{table}: {options.count} slides of {options.size} x {options.size} px with their masks")
    return 0


COMMANDS = (
    Command("dataset build", (BuildOptions,), run_build),
    Command("dataset draw", (DrawOptions,), run_draw),
)
