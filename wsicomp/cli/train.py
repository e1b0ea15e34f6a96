"""`wsicomp train`: train the tissue network and codec models on patch sets."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsicomp.cli.commands import Command
from wsicomp.cli.text import say
from wsicomp.options import argument, option

if TYPE_CHECKING:
    from wsicomp.training.codec.fit import Report
    from wsicomp.training.tissue.fit import Epoch

_EPILOG = """\
examples:
  wsicomp dataset build sections/table.tsv sections.h5
  wsicomp train tissue configs/training/tissue-unet.toml runs/unet
  wsicomp convert slide.svs small.svs --weights runs/unet/tissue-unet.json
"""

_CODEC_EPILOG = """\
examples:
  wsicomp dataset build fields/table.tsv fields.h5 --dense \\
      --power 40 --power 20 --power 10
  wsicomp train codec configs/training/codec-compact.toml runs/codec --name mine
  wsicomp convert slide.svs small.tiff --codec bmshj2018-factorized \\
      --model runs/codec/mine.safetensors
"""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Arguments of every training run."""

    settings: Path = argument("the TOML file of settings", metavar="CONFIG")
    folder: Path = argument("the folder for the results")


@dataclass(frozen=True, kw_only=True)
class TrainTissueOptions(RunOptions):
    """Arguments of `wsicomp train tissue`."""

    name: str = option("tissue-unet", "name the network's files so")
    folds: int | None = option(
        None,
        "cross-validate: train K networks in FOLDER/fold-N, each tested on patients that it never saw",
        least=3,
        metavar="K",
    )
    epochs: int | None = option(
        None, "train at most so many epochs, instead of what CONFIG says", least=1, metavar="N"
    )


@dataclass(frozen=True, kw_only=True)
class TrainCodecOptions(RunOptions):
    """Arguments of `wsicomp train codec`."""

    name: str = option("codec", "name the model so")
    iterations: int | None = option(
        None, "train so many iterations, instead of what CONFIG says", least=1, metavar="N"
    )


def run_train_tissue(options: TrainTissueOptions) -> int:
    """Train the tissue network by a TOML file of settings, and write it as Keras, LiteRT and JSON manifest.

    FOLDER gets curves.csv and curves.png after every epoch, and the network at the end. If a run was
    stopped, the same command goes on where it was. Needs pip install 'wsicomp[train]'.

    With KERAS_BACKEND=jax a machine with JAX trains, on its GPU. Only TensorFlow writes the files: run
    the same command once more without KERAS_BACKEND.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from wsicomp.extras import require
    from wsicomp.training.settings import load_settings
    from wsicomp.training.tissue.settings import TrainingSettings
    from wsicomp.training.tissue.train import cross_validate, train_tissue

    require("train", "keras", "h5py", "matplotlib")
    settings = load_settings(options.settings, TrainingSettings)
    if options.epochs is not None:
        settings = replace(settings, epochs=options.epochs)
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


def run_train_codec(options: TrainCodecOptions) -> int:
    """Train a model for neural tiles by a TOML file of settings, and write it as one safetensors file.

    FOLDER gets curves.csv and curves.png after every report, and the model at the end. If a run was
    stopped, the same command goes on where it was. It takes a GPU where torch finds one. Needs pip
    install 'wsicomp[neural,train]'.
    """
    from wsicomp.extras import require

    require("neural,train", "torch", "compressai", "h5py", "matplotlib")
    from wsicomp.training.codec.export import export_codec
    from wsicomp.training.codec.fit import fit_codec
    from wsicomp.training.codec.settings import CodecSettings
    from wsicomp.training.settings import load_settings
    from wsicomp.training.tissue.export import check_name

    check_name(options.name)
    settings = load_settings(options.settings, CodecSettings)
    if options.iterations is not None:
        settings = replace(settings, iterations=options.iterations)

    def show(report: Report) -> None:
        say(
            f"iteration {report.iteration} of {settings.iterations}: loss {report.loss:.4f}; validation loss "
            f"{report.validation_loss:.4f}, {report.validation_bits_per_pixel:.3f} bits per pixel, SSIM "
            f"{report.validation_ssim:.4f}, PSNR {report.validation_psnr:.2f} dB; {report.elapsed_s:.0f} s",
        )

    say(str(export_codec(fit_codec(settings, options.folder, show), settings, options.folder, options.name)))
    return 0


COMMANDS = (
    Command("train tissue", (TrainTissueOptions,), run_train_tissue, epilog=_EPILOG),
    Command("train codec", (TrainCodecOptions,), run_train_codec, epilog=_CODEC_EPILOG),
)
