"""`wsicomp evaluate`: how well tissue is found and how true codecs are, on data of your own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from wsicomp.atomic import check_empty, completed_files
from wsicomp.cli.parsers import Subparsers, add_command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.errors import SlideWriteError, TrainingError
from wsicomp.progress import Stages
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights

if TYPE_CHECKING:
    from wsicomp.tissue.segmenters.base import Segmenter
    from wsicomp.training.data.slide_table import LabelledSlide
    from wsicomp.training.tissue.evaluate import Evaluation

_DESCRIPTION = """\
Measure the tissue network beside the colour threshold on labelled slides.

TABLE is as for `wsicomp dataset build`. FOLDER gets scores.csv (Dice, IoU, recall, precision), tiles.csv
(tissue that a conversion would lose, glass that it would keep; pictures in tiles of 128 um), brightness.csv
and .png with --brightness, and index.html with a picture a slide."""

_CODEC_DESCRIPTION = """\
Measure codec models beside JPEG, JPEG XL and JPEG 2000 on tissue, each over its range of qualities.

PATCHES are patch sets of `wsicomp dataset build --dense`; their tiles of tissue are measured at each
magnification. FOLDER gets curves.csv and .png (bits per pixel, SSIM, MS-SSIM, PSNR, colour), equal-ssim.csv
(bits per pixel where all codecs have the same mean SSIM), tiles.csv, and index.html with the worst tiles of
each model. Needs pip install 'wsicomp[neural,train]'."""


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("evaluate", help="measure on labelled slides", description=__doc__)
    kinds = parser.add_subparsers(title="what", metavar="WHAT", required=True)
    _register_tissue(kinds)
    _register_codec(kinds)


def _register_tissue(kinds: Subparsers) -> None:
    tissue = add_command(kinds, "tissue", "how well tissue is told from glass", _DESCRIPTION)
    tissue.add_argument("table", type=Path, help="the table of labelled slides")
    tissue.add_argument("folder", type=Path, help="where the measurements go")
    tissue.add_argument("--split", metavar="NAME", help="only rows of this split, such as test")
    tissue.add_argument(
        "--group", action="append", metavar="NAME", help="only rows of this source_group; may come again"
    )
    tissue.add_argument(
        "--magnification",
        type=float,
        action="append",
        metavar="F",
        help="at which to measure; may come again, tiles and brightness at the first (default 2.5)",
    )
    tissue.add_argument("--brightness", action="store_true", help="also with -100 to 100 grey levels added")
    network = tissue.add_mutually_exclusive_group()
    network.add_argument(
        "--weights", type=Path, default=SHIPPED, metavar="JSON", help="another network's manifest"
    )
    network.add_argument(
        "--folds",
        type=Path,
        metavar="JSON",
        help="folds.json of a cross-validation: each slide by what never saw it",
    )
    tissue.add_argument("--overwrite", action="store_true", help="measure into a FOLDER that is not empty")
    tissue.set_defaults(run=run_tissue)


def _register_codec(kinds: Subparsers) -> None:
    codec = add_command(kinds, "codec", "how true neural tiles are, and how small", _CODEC_DESCRIPTION)
    codec.add_argument("patches", type=Path, nargs="+", metavar="PATCHES", help="HDF5 patch sets")
    codec.add_argument("folder", type=Path, help="where the measurements go")
    codec.add_argument(
        "--split", default="test", metavar="NAME", help="the rows to measure on (default test)"
    )
    codec.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a model's name or file; may come again (default he-compact)",
    )
    codec.add_argument(
        "--ssim",
        type=float,
        action="append",
        metavar="F",
        help="compare at this mean SSIM; may come again (default 0.955)",
    )
    codec.add_argument(
        "--tiles",
        type=int,
        default=200,
        metavar="N",
        help="at most so many of each magnification, spread over all (default 200)",
    )
    codec.add_argument("--device", default="auto", help="auto, cpu or cuda")
    codec.add_argument("--overwrite", action="store_true", help="measure into a FOLDER that is not empty")
    codec.set_defaults(run=run_codec)


def run_tissue(options: argparse.Namespace) -> int:
    """Measure, write, and print the means."""
    from wsicomp.training.data.slide_table import read_table, select
    from wsicomp.training.extras import require
    from wsicomp.training.tissue.evaluate import EvaluationSettings, evaluate
    from wsicomp.training.tissue.report import FIGURE, PAGE, SWEEP, write_evaluation

    if options.brightness:
        require("matplotlib")
    magnifications = tuple(options.magnification or (2.5,))
    if not all(0.5 <= magnification <= 40 for magnification in magnifications):
        raise TrainingError("a magnification out of range, expected 0.5 to 40")
    rows = select(read_table(options.table), options.table, options.split, options.group)
    manifests = _manifests(rows, options.weights, options.folds)
    check_empty(options.folder, options.overwrite)
    inputs = {options.table, options.folds, *manifests.values()}
    inputs |= {path for row in rows for path in (row.image, row.mask)}
    inside = sorted(path for path in inputs if path and path.resolve().parent == options.folder.resolve())
    if inside:
        raise SlideWriteError(f"holds {inside[0]}, an input; name another folder", options.folder)

    def segmenters(row: LabelledSlide, magnification: float) -> dict[str, Segmenter]:
        return {"unet": UnetSegmenter(manifests[row.name], magnification), "threshold": ThresholdSegmenter()}

    brightness = tuple(range(-100, 101, 25)) if options.brightness else ()
    settings = EvaluationSettings(magnifications, brightness)
    with completed_files(options.folder, options.overwrite) as hidden:
        with progress_bars() as show, Stages(show).stage("measure") as progress:
            found = evaluate(rows, segmenters, settings, hidden, progress)
        write_evaluation(found, hidden)
    if options.overwrite and not options.brightness:  # what an earlier evaluation left is none of this one's
        for name in (SWEEP, FIGURE):
            (options.folder / name).unlink(missing_ok=True)
    _print(found)
    say("", f"look at {options.folder / PAGE}")
    return 0


def run_codec(options: argparse.Namespace) -> int:
    """Measure, write, and print what each model saves."""
    from wsicomp.training.extras import require

    require("torch", "h5py", "matplotlib")
    from wsicomp.codecs.neural.store import model_named
    from wsicomp.training.codec.evaluate import evaluate_codecs, tiles_of_split
    from wsicomp.training.codec.report import PAGE, equal_rows, write_codec_evaluation
    from wsicomp.training.data.patch_set import open_patch_set

    if options.tiles < 1 or not all(0 < target < 1 for target in options.ssim or ()):
        raise TrainingError("expected 1 tile or more, and an SSIM between 0 and 1")
    models = {name: model_named(name).card.architecture for name in options.model or ["he-compact"]}
    if len({Path(name).stem for name in models}) < len(models):
        raise TrainingError("two models of one name; rename one of the files, so that the curves say which")
    check_empty(options.folder, options.overwrite)
    with ExitStack() as stack:
        sets = [stack.enter_context(open_patch_set(path)) for path in options.patches]
        tiles = tiles_of_split(sets, options.split, options.tiles)
    with completed_files(options.folder, options.overwrite) as hidden:
        with progress_bars() as show, Stages(show).stage("measure") as progress:
            found = evaluate_codecs(tiles, models, options.ssim or [0.955], options.device, progress)
        write_codec_evaluation(found, hidden)
    for row in equal_rows(found.comparisons):
        say("  ".join(f"{cell:>10}" for cell in row))
    say("", f"{len(tiles)} tiles; look at {options.folder / PAGE}")
    return 0


def _manifests(rows: Sequence[LabelledSlide], weights: Path, folds: Path | None) -> dict[str, Path]:
    """The network that measures each row, by its name; all of them are there and whole."""
    from wsicomp.training.tissue.train import read_folds

    if folds is None:
        manifests = dict.fromkeys((row.name for row in rows), weights)
    else:
        held_out = read_folds(folds)
        missing = sorted({row.group for row in rows} - set(held_out))
        if missing:
            raise TrainingError(f"no network was trained without {missing[0]!r}", folds)
        manifests = {row.name: held_out[row.group] for row in rows}
    learnt_from = {manifest: _groups(manifest) for manifest in set(manifests.values())}
    known = [row.name for row in rows if row.group in learnt_from[manifests[row.name]]]
    if known:
        say(f"the network has learnt from {', '.join(known)}: its figures there say little", file=sys.stderr)
    return manifests


def _groups(manifest: Path) -> set[str]:
    """The groups of slides that a network has learnt from, as its manifest says."""
    return {str(source.get("group")) for source in load_weights(manifest).learnt_from}


def _print(found: Evaluation) -> None:
    from wsicomp.training.tissue.report import summary

    say("method     magnification  slides  mean Dice  deviation  worst")
    for method, magnification, count, mean, deviation, worst in summary(found.scores):
        say(f"{method:<10} {magnification:>12g}x {count:>7} {mean:>10.4f} {deviation:>10.4f} {worst:>6.4f}")
    for method in dict.fromkeys(cost.method for cost in found.costs):
        costs = [cost for cost in found.costs if cost.method == method]
        inner = sum(cost.inner_px for cost in costs) or 1
        by_mask, lost = sum(c.lost_by_mask_px for c in costs), sum(c.lost_px for c in costs)
        glass = sum(cost.glass_tiles for cost in costs) or 1
        kept_by_mask, kept = sum(c.kept_by_mask_tiles for c in costs), sum(c.kept_tiles for c in costs)
        say(
            f"{method}: inner tissue lost {lost / inner:.4%} ({by_mask / inner:.4%} by the mask alone), "
            f"glass tiles kept {kept / glass:.1%} ({kept_by_mask / glass:.1%} by the mask alone)"
        )
    sys.stdout.flush()
