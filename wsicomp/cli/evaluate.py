"""`wsicomp evaluate`: measure how well tissue is found and how true codecs are, on a user's own data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.errors import ConfigError, SlideWriteError, TrainingError
from wsicomp.files.atomic import check_empty, completed_files
from wsicomp.options import argument, option
from wsicomp.progress import Stages
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights

if TYPE_CHECKING:
    from wsicomp.tissue.segmenters.base import Segmenter
    from wsicomp.training.data.slide_table import LabelledSlide
    from wsicomp.training.tissue.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True)
class EvaluateTissueOptions:
    """Arguments of `wsicomp evaluate tissue`."""

    table: Path = argument("the table of labelled slides")
    folder: Path = argument("the folder for the results")
    split: str | None = option(None, "take only rows of this split, such as test", metavar="NAME")
    groups: tuple[str, ...] = option(
        (), "take only rows of this source_group; may be repeated", name="group", metavar="NAME"
    )
    magnifications: tuple[float, ...] = option(
        (2.5,),
        "measure at this magnification; may be repeated; tiles and brightness are measured at the first",
        name="magnification",
        least=0.5,
        most=40,
        metavar="F",
    )
    brightness: bool = option(False, "measure too with -100 to 100 grey levels added")
    weights: Path | None = option(None, "measure this network; JSON is its manifest", metavar="JSON")
    folds: Path | None = option(
        None,
        "measure each slide by the network that never saw it; JSON is the folds.json of a cross-validation",
        metavar="JSON",
    )
    overwrite: bool = option(False, "measure into a FOLDER that is not empty")

    def __post_init__(self) -> None:
        if self.weights is not None and self.folds is not None:
            raise ConfigError("--weights is one network, --folds are many; leave one of them out")


@dataclass(frozen=True, kw_only=True)
class EvaluateCodecOptions:
    """Arguments of `wsicomp evaluate codec`."""

    patches: tuple[Path, ...] = argument("the HDF5 patch sets to measure on")
    folder: Path = argument("the folder for the results")
    split: str = option("test", "take only rows of this split", metavar="NAME")
    models: tuple[str, ...] = option(
        ("he-compact",),
        "measure this model, by its name or file; may be repeated",
        name="model",
        metavar="NAME",
    )
    ssims: tuple[float, ...] = option(
        (0.955,),
        "compare at this mean SSIM; may be repeated",
        name="ssim",
        least=0.01,
        most=0.9999,
        metavar="F",
    )
    tiles: int = option(
        200, "take at most so many tiles of each magnification, spread over all patches", least=1, metavar="N"
    )
    device: str = option("auto", "run the models here: auto, cpu or cuda")
    overwrite: bool = option(False, "measure into a FOLDER that is not empty")


def run_evaluate_tissue(options: EvaluateTissueOptions) -> int:
    """Measure the tissue network beside the colour threshold on labelled slides.

    TABLE is as for `wsicomp dataset build`. FOLDER gets scores.csv (Dice, IoU, recall, precision),
    tiles.csv (tissue that a conversion would lose, glass that it would keep), index.html with a picture
    of each slide, and with --brightness brightness.csv and brightness.png. Pictures count in tiles of 128
    um.
    """
    from wsicomp.extras import require
    from wsicomp.training.data.slide_table import read_table, select
    from wsicomp.training.tissue.evaluate import EvaluationSettings, evaluate
    from wsicomp.training.tissue.report import FIGURE, PAGE, SWEEP, write_evaluation

    if options.brightness:
        require("train", "matplotlib")
    rows = select(read_table(options.table), options.table, options.split, options.groups or None)
    manifests = _manifests(rows, options.weights or SHIPPED, options.folds)
    check_empty(options.folder, options.overwrite)
    inputs = {options.table, options.folds, *manifests.values()}
    inputs |= {path for row in rows for path in (row.image, row.mask)}
    inside = sorted(path for path in inputs if path and path.resolve().parent == options.folder.resolve())
    if inside:
        raise SlideWriteError(f"holds {inside[0]}, an input; name another folder", options.folder)

    def segmenters(row: LabelledSlide, magnification: float) -> dict[str, Segmenter]:
        return {"unet": UnetSegmenter(manifests[row.name], magnification), "threshold": ThresholdSegmenter()}

    brightness = tuple(range(-100, 101, 25)) if options.brightness else ()
    settings = EvaluationSettings(options.magnifications, brightness)
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


def run_evaluate_codec(options: EvaluateCodecOptions) -> int:
    """Measure codec models beside JPEG, JPEG XL and JPEG 2000 on tissue, each over its range of qualities.

    PATCHES are patch sets of `wsicomp dataset build --dense`. Their tiles of tissue are measured at each
    magnification. FOLDER gets curves.csv and curves.png (bits per pixel, SSIM, MS-SSIM, PSNR, colour),
    equal-ssim.csv (bits per pixel where all codecs have the same mean SSIM), tiles.csv, and index.html
    with the worst tiles of each model. Needs pip install 'wsicomp[train]', and 'wsicomp[neural,train]' for
    models of other codecs than bmshj2018-factorized.
    """
    from wsicomp.extras import require

    require("train", "h5py", "matplotlib")
    from wsicomp.codecs.neural.store import model_named
    from wsicomp.training.codec.evaluate import evaluate_codecs, tiles_of_split
    from wsicomp.training.codec.report import PAGE, equal_rows, write_codec_evaluation
    from wsicomp.training.data.patch_set import open_patch_set

    models = {name: model_named(name).card.architecture for name in options.models}
    if len({Path(name).stem for name in models}) < len(models):
        raise TrainingError("two models have the same name; rename one of the files")
    check_empty(options.folder, options.overwrite)
    with ExitStack() as stack:
        sets = [stack.enter_context(open_patch_set(path)) for path in options.patches]
        tiles = tiles_of_split(sets, options.split, options.tiles)
    with completed_files(options.folder, options.overwrite) as hidden:
        with progress_bars() as show, Stages(show).stage("measure") as progress:
            found = evaluate_codecs(tiles, models, options.ssims, options.device, progress)
        write_codec_evaluation(found, hidden)
    for row in equal_rows(found.comparisons):
        say("  ".join(f"{cell:>10}" for cell in row))
    say("", f"{len(tiles)} tiles; look at {options.folder / PAGE}")
    return 0


def _manifests(rows: Sequence[LabelledSlide], weights: Path, folds: Path | None) -> dict[str, Path]:
    """Return the network that measures each row, by the row's name; warn where it has learnt from the row.

    Raises:
        TrainingError: no network was trained without a row's group.
    """
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
    """Return the groups of slides that a network has learnt from, by its manifest."""
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


COMMANDS = (
    Command("evaluate tissue", (EvaluateTissueOptions,), run_evaluate_tissue),
    Command("evaluate codec", (EvaluateCodecOptions,), run_evaluate_codec),
)
