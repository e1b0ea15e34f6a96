"""`wsicomp train`: the tissue network and codec models, from patch sets."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsicomp.cli.parsers import Subparsers, add_command
from wsicomp.cli.text import say

if TYPE_CHECKING:
    from wsicomp.training.codec.fit import Report
    from wsicomp.training.tissue.fit import Epoch

_DESCRIPTION = """\
Train the tissue network as a TOML file says, and write it as Keras, LiteRT and JSON manifest.

Everything goes into FOLDER: curves.csv and curves.png after every epoch, the network when it is done. A run
that was stopped goes on where it was when the same command is given again. Needs pip install
'wsicomp[train]'. KERAS_BACKEND=jax trains where a GPU machine has JAX; the same command on TensorFlow then
writes the files, as only TensorFlow can."""

_EPILOG = """\
examples:
  wsicomp dataset build sections/table.tsv sections.h5
  wsicomp train tissue configs/training/tissue-unet.toml runs/unet
  wsicomp convert slide.svs small.svs --weights runs/unet/tissue-unet.json
"""

_CODEC_DESCRIPTION = """\
Train a codec model as a TOML file says, and write it as one safetensors file.

Everything goes into FOLDER: curves.csv and curves.png after every report, the model when it is done. A run
that was stopped goes on where it was when the same command is given again. Runs on a GPU where torch finds
one. Needs pip install 'wsicomp[neural,train]'."""

_CODEC_EPILOG = """\
examples:
  wsicomp dataset build fields/table.tsv fields.h5 --power 40 --power 20 --power 10 --dense
  wsicomp train codec configs/training/codec-compact.toml runs/codec --name mine
  wsicomp convert slide.svs small.tiff --codec bmshj2018-factorized --model runs/codec/mine.safetensors
"""


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train", help="train the tissue network or a codec model", description=__doc__
    )
    networks = parser.add_subparsers(title="networks", metavar="NETWORK", required=True)
    tissue = add_command(
        networks, "tissue", "the U-Net that tells tissue from glass", _DESCRIPTION, epilog=_EPILOG
    )
    tissue.add_argument("settings", type=Path, metavar="CONFIG", help="the run's TOML file")
    tissue.add_argument("folder", type=Path, metavar="FOLDER", help="where the run lives")
    tissue.add_argument("--name", default="tissue-unet", help="of the network's files (default tissue-unet)")
    tissue.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="cross-validate instead: K networks in FOLDER/fold-N, each tested on patients that it never saw",
    )
    tissue.add_argument("--epochs", type=int, metavar="N", help="at most, instead of what CONFIG says")
    tissue.set_defaults(run=run_tissue)
    codec = add_command(
        networks, "codec", "a model for neural tiles", _CODEC_DESCRIPTION, epilog=_CODEC_EPILOG
    )
    codec.add_argument("settings", type=Path, metavar="CONFIG", help="the run's TOML file")
    codec.add_argument("folder", type=Path, metavar="FOLDER", help="where the run lives")
    codec.add_argument("--name", default="codec", help="of the model (default codec)")
    codec.add_argument("--iterations", type=int, metavar="N", help="instead of what CONFIG says")
    codec.set_defaults(run=run_codec)


def run_tissue(options: argparse.Namespace) -> int:
    """Train, or go on, and export."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from wsicomp.training.extras import require
    from wsicomp.training.settings import load_settings
    from wsicomp.training.tissue.settings import TrainingSettings
    from wsicomp.training.tissue.train import cross_validate, train_tissue

    require("keras", "h5py", "matplotlib")
    settings = load_settings(options.settings, TrainingSettings)
    if options.epochs is not None:
        settings = replace(settings, epochs=max(1, options.epochs))
    start = time.monotonic()

    def show(run: str, epoch: Epoch, most: int) -> None:
        figures = f"loss {epoch.loss:.4f}, validation loss {epoch.validation_loss:.4f}, Dice {epoch.dice:.4f}"
        say(f"{run}: epoch {epoch.epoch} of {most}: {figures}, {time.monotonic() - start:.0f} s")

    if options.folds is None:
        manifests: tuple[Path, ...] = (train_tissue(settings, options.folder, options.name, show),)
    else:
        manifests = cross_validate(settings, options.folder, options.name, options.folds, show)
    for manifest in manifests:
        say(str(manifest))
    return 0


def run_codec(options: argparse.Namespace) -> int:
    """Train, or go on, and export."""
    from wsicomp.training.extras import require

    require("torch", "compressai", "h5py", "matplotlib")
    from wsicomp.training.codec.export import export_codec
    from wsicomp.training.codec.fit import fit_codec
    from wsicomp.training.codec.settings import CodecSettings
    from wsicomp.training.settings import load_settings
    from wsicomp.training.tissue.export import check_name

    check_name(options.name)
    settings = load_settings(options.settings, CodecSettings)
    if options.iterations is not None:
        settings = replace(settings, iterations=max(1, options.iterations))

    def show(report: Report) -> None:
        say(
            f"iteration {report.iteration} of {settings.iterations}: loss {report.loss:.4f}; validation loss "
            f"{report.validation_loss:.4f}, {report.validation_bits_per_pixel:.3f} bits per pixel, SSIM "
            f"{report.validation_ssim:.4f}, PSNR {report.validation_psnr:.2f} dB; {report.elapsed_s:.0f} s",
        )

    say(str(export_codec(fit_codec(settings, options.folder, show), settings, options.folder, options.name)))
    return 0
