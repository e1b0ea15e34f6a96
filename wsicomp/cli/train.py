"""`wsicomp train`: the tissue network, from patch sets."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsicomp.cli.parsers import Subparsers, add_command

if TYPE_CHECKING:
    from wsicomp.training.fit import Epoch

_DESCRIPTION = """\
Train the tissue network as a TOML file says, and write it as Keras, LiteRT and JSON manifest.

Everything goes into FOLDER: curves.csv and curves.png after every epoch, the network when it is done. A run
that was stopped goes on where it was when the same command is given again. Needs pip install
'wsicomp[train]'. KERAS_BACKEND=jax trains where a GPU machine has JAX; the same command on TensorFlow then
writes the files, as only TensorFlow can."""

_EPILOG = """\
examples:
  wsicomp dataset build sections/table.tsv sections.h5
  wsicomp train tissue configs/tissue-unet.toml runs/unet
  wsicomp convert slide.svs small.svs --weights runs/unet/tissue-unet.json
"""


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("train", help="train the tissue network", description=__doc__)
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


def run_tissue(options: argparse.Namespace) -> int:
    """Train, or go on, and export."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from wsicomp.training.extras import require
    from wsicomp.training.settings import load_settings
    from wsicomp.training.tissue import cross_validate, train_tissue

    require("keras", "h5py", "matplotlib")
    settings = load_settings(options.settings)
    if options.epochs is not None:
        settings = replace(settings, epochs=max(1, options.epochs))
    start = time.monotonic()

    def show(run: str, epoch: Epoch, most: int) -> None:
        figures = f"loss {epoch.loss:.4f}, validation loss {epoch.validation_loss:.4f}, Dice {epoch.dice:.4f}"
        print(
            f"{run}: epoch {epoch.epoch} of {most}: {figures}, {time.monotonic() - start:.0f} s", flush=True
        )

    if options.folds is None:
        manifests: tuple[Path, ...] = (train_tissue(settings, options.folder, options.name, show),)
    else:
        manifests = cross_validate(settings, options.folder, options.name, options.folds, show)
    for manifest in manifests:
        print(manifest)
    return 0
