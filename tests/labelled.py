"""Labelled sections made into slides."""

import csv

import numpy as np
from PIL import Image

from tests import tiffs

ASSUMED_MPP = 4.0
TILE = 64


def labelled_rows(folder):
    """The rows of gt.tsv; none where it is not there."""
    if not (folder / "gt.tsv").exists():
        return []
    with (folder / "gt.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def make_slide(folder, row, into, tile_px=TILE):
    """(SVS of the section, its labels, um per px); where the scale is unknown 4 um is taken."""
    mpp = float(row["um_per_px"] or ASSUMED_MPP)
    pixels = np.asarray(Image.open(folder / "images" / f"{row['name']}.webp").convert("RGB"))
    labels = np.asarray(Image.open(folder / "masks" / f"{row['name']}.png"))
    path = tiffs.write_tiff(
        into / f"{row['name']}.svs",
        pixels=pixels,
        tile=(tile_px, tile_px),
        compressionargs={"level": 85},
        description=tiffs.DESCRIPTION.format(*pixels.shape[1::-1]).replace("MPP = 0.5", f"MPP = {mpp}"),
    )
    return path, labels, mpp
