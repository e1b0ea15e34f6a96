"""Drawn slides with true masks, as a table to build patch sets from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from wsicomp.files.atomic import check_empty, completed_files
from wsicomp.files.tables import write_text
from wsicomp.geometry import Region, Size
from wsicomp.progress import Stages
from wsicomp.synthetic import SyntheticSlide, write_slide

TABLE = "table.tsv"
_MASK_DOWNSAMPLE = 4
_COLUMNS = ("name", "image", "mask", "split", "source_group", "licence", "weights_may_train_on")


def draw_labelled_slides(folder: Path, count: int, side_px: int, seed: int, stages: Stages) -> Path:
    """Draw `count` slides of `side_px` at 0.5 um per px into a folder, with masks; return the table's path.

    Raises:
        TargetExistsError: the folder is not empty.
        SlideWriteError: a slide cannot be written.
    """
    check_empty(folder, overwrite=False)
    with completed_files(folder) as hidden:
        _draw(hidden, count, side_px, seed, stages)
    return folder / TABLE


def _draw(folder: Path, count: int, side_px: int, seed: int, stages: Stages) -> None:
    lines = ["\t".join(_COLUMNS)]
    with stages.stage("draw") as progress:
        for number in range(count):
            name = f"drawn-{seed + number}"
            slide = _slide(side_px, seed + number)
            write_slide(folder / f"{name}.svs", slide)
            small = slide.size.reduced(_MASK_DOWNSAMPLE)
            truth = slide.truth(Region(0, 0, small.width, small.height), _MASK_DOWNSAMPLE)
            Image.fromarray(truth.astype(np.uint8) * 255).save(folder / f"{name}.png")
            lines.append(
                "\t".join((name, f"{name}.svs", f"{name}.png", "train", name, "drawn by wsicomp", "yes"))
            )
            progress(number + 1, count)
    write_text(folder / TABLE, "\n".join(lines) + "\n", overwrite=True)


def _slide(side_px: int, seed: int) -> SyntheticSlide:
    rng = np.random.default_rng([seed, 29])
    return SyntheticSlide(
        Size(side_px, side_px),
        seed=seed,
        sections=int(rng.integers(0, 4)),
        fragments=int(rng.integers(0, 20)),
        pen=bool(rng.random() < 0.5),
        dust=bool(rng.random() < 0.7),
        coverslip=bool(rng.random() < 0.4),
        tissue_fraction=float(rng.uniform(0.15, 0.7)),
    )
