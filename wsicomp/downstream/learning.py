"""Training of a network on the slices of volumes, and what it finds in a volume.

Training has a fixed number of steps and takes the last network: no case chooses it. Validation only shows
how far it has learnt.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.downstream.jpeg2000_rates import Samples
from wsicomp.downstream.settings import LearningSettings
from wsicomp.errors import TrainingError
from wsicomp.files.atomic import completed
from wsicomp.progress import StageProgress
from wsicomp.training.run_folder import reading_checkpoint

Batch = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""(batch, rows, columns, 3) normalised slices, and (batch, rows, columns) classes of the middle ones."""

_AT_A_TIME = 16
_COMPILED_FROM = 200
_CT_CENTRE, _CT_WIDTH = 1024.0, 250.0


@dataclass(frozen=True)
class Lesson:
    """A volume as the network sees it, and its labels."""

    name: str
    """The volume's name."""
    values: NDArray[np.float32] = field(repr=False)
    """(slices + 2, rows, columns): the first and last slice come twice; padded to the study's common size."""
    labels: NDArray[np.uint8] = field(repr=False)
    """(slices, rows, columns), not padded."""


@dataclass(frozen=True)
class LearningPoint:
    """A point of a learning curve."""

    step: int
    """Steps so far."""
    loss: float
    """The mean loss of the steps since the last point."""
    validation_dice: float
    """The mean Dice over classes and validation cases."""


def common_shape(shapes: Sequence[tuple[int, ...]], stride: int) -> tuple[int, int]:
    """Return the (rows, columns) that holds slices of all `shapes`, in multiples of `stride`."""
    rows, columns = (max(shape[axis] for shape in shapes) for axis in (1, 2))
    return -(-rows // stride) * stride, -(-columns // stride) * stride


def lesson(
    name: str, samples: Samples, labels: NDArray[np.uint8], shape: tuple[int, int], is_ct: bool
) -> Lesson:
    """Normalise a volume and pad it by its own edges to `shape` (rows, columns).

    A volume has a mean of 0 and a deviation of 1 over its voxels. CT keeps its scale: 0 is water, 1 are 250
    Hounsfield units.
    """
    values = samples.astype(np.float32)
    if is_ct:
        values = (values - _CT_CENTRE) / _CT_WIDTH
    else:
        values = (values - values.mean()) / max(float(values.std()), 1e-6)
    rows, columns = (full - own for full, own in zip(shape, samples.shape[1:], strict=True))
    return Lesson(name, np.pad(values, ((1, 1), (0, rows), (0, columns)), mode="edge"), labels)


def train_slice_unet(
    lessons: Sequence[Lesson],
    validation: Sequence[Lesson],
    classes: int,
    settings: LearningSettings,
    seed: int,
    progress: StageProgress,
) -> tuple[Any, tuple[LearningPoint, ...]]:
    """Train a network and return it with its curve. `classes` counts that of no label.

    The same seed gives the same batches and the same start. The network is the process's own of these
    settings: the next training or loading gives it other weights.

    Raises:
        TrainingError: the loss is not finite.
    """
    model = _compiled_unet(settings, classes)
    _begin_anew(model, settings, classes, seed)
    curve: list[LearningPoint] = []
    losses: list[float] = []
    for step, batch in enumerate(_batches(lessons, settings, seed)):
        falling = 0.01 + 0.99 * (1 + math.cos(math.pi * step / settings.steps)) / 2
        model.optimizer.learning_rate = settings.learning_rate * falling
        model.reset_metrics()  # without it some of Keras's backends give the mean of all batches so far
        losses.append(float(model.train_on_batch(*batch)))
        if not math.isfinite(losses[-1]):
            raise TrainingError(f"the loss is {losses[-1]} at step {step + 1}; lower learning.learning_rate")
        if (step + 1) % settings.report_steps == 0 or step + 1 == settings.steps:
            dices = [np.mean(dice_of(model, each, classes)) for each in validation]
            curve.append(LearningPoint(step + 1, float(np.mean(losses)), float(np.mean(dices))))
            losses.clear()
        progress(step + 1, settings.steps)
    return model, tuple(curve)


@lru_cache(maxsize=1)
def _compiled_unet(settings: LearningSettings, classes: int) -> Any:
    """Return a compiled network that takes the weights of all networks of a study in turn.

    To compile one for each would take 20 s and leave 100 MB of memory behind every time.
    """
    keras = _keras()
    from wsicomp.downstream.network import build_slice_unet, class_loss

    model = build_slice_unet(settings.filters, classes)
    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
    optimizer.build(model.trainable_variables)
    # XLA halves the time of a step, and takes 20 s to compile one.
    jit = settings.steps >= _COMPILED_FROM and keras.backend.backend() != "torch"
    model.compile(optimizer, loss=class_loss, jit_compile=jit)
    return model


def _begin_anew(model: Any, settings: LearningSettings, classes: int, seed: int) -> None:
    """Give a network the weights that a new one has by this seed, and an optimiser without past."""
    keras = _keras()
    from wsicomp.downstream.network import build_slice_unet

    keras.utils.set_random_seed(seed)
    model.set_weights(build_slice_unet(settings.filters, classes).get_weights())
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape, np.asarray(variable).dtype))


def _batches(lessons: Sequence[Lesson], settings: LearningSettings, seed: int) -> Iterator[Batch]:
    """Yield `settings.steps` batches: all slices in a shuffled order, again and again, cropped at random."""
    rng = np.random.default_rng([seed, 1])
    slices = [(case, place) for case, each in enumerate(lessons) for place in range(len(each.labels))]
    full = lessons[0].values.shape[1:]
    rows, columns = (min(crop, side) for crop, side in zip(settings.crop_px, full, strict=True))
    order: list[int] = []
    for _ in range(settings.steps):
        values = np.empty((settings.batch, rows, columns, 3), np.float32)
        truth = np.zeros((settings.batch, rows, columns), np.uint8)
        for number in range(settings.batch):
            if not order:
                order = rng.permutation(len(slices)).tolist()
            case, place = slices[order.pop()]
            top, left = rng.integers(full[0] - rows + 1), rng.integers(full[1] - columns + 1)
            crop = lessons[case].values[place : place + 3, top : top + rows, left : left + columns]
            gain, offset = rng.normal(0, settings.brightness, 2)
            values[number] = crop.transpose(1, 2, 0) * np.exp(gain) + offset
            cut = lessons[case].labels[place, top : top + rows, left : left + columns]
            truth[number, : cut.shape[0], : cut.shape[1]] = cut
        yield values, truth


def found_labels(model: Any, each: Lesson) -> NDArray[np.uint8]:
    """Return the classes that a network finds in a volume, (slices, rows, columns)."""
    count, rows, columns = each.labels.shape
    found = np.empty(each.labels.shape, np.uint8)
    for start in range(0, count, _AT_A_TIME):
        # Always as many slices: a network compiled for one shape is not compiled again.
        places = np.minimum(np.arange(start, start + _AT_A_TIME), count - 1)
        stack = np.stack([each.values[places + shift] for shift in range(3)], axis=-1)
        part = np.asarray(model.predict_on_batch(stack)).argmax(-1)[: count - start, :rows, :columns]
        found[start : start + len(part)] = part
    return found


def dice_of(model: Any, each: Lesson, classes: int) -> tuple[float, ...]:
    """Return the Dice of every class but that of no label; 1 where it is neither there nor found."""
    found = found_labels(model, each)
    dices = []
    for number in range(1, classes):
        one, other = found == number, each.labels == number
        either = int(one.sum() + other.sum())
        dices.append(2 * int((one & other).sum()) / either if either else 1.0)
    return tuple(dices)


def save_network(model: Any, path: Path) -> None:
    """Write a network's weights as NumPy's archive, whole or not at all.

    Raises:
        SlideWriteError: the file cannot be written.
    """
    with completed(path, overwrite=True) as partial, partial.open("wb") as file:
        np.savez(file, **{f"w{number}": weight for number, weight in enumerate(model.get_weights())})


def load_slice_unet(path: Path, settings: LearningSettings, classes: int) -> Any:
    """Return the process's network of these settings with the weights that `save_network` wrote.

    Raises:
        TrainingError: the file is damaged, or of another network.
    """
    model = _compiled_unet(settings, classes)
    with reading_checkpoint(path), np.load(path, allow_pickle=False) as weights:
        model.set_weights([weights[f"w{number}"] for number in range(len(model.weights))])
    return model


def _keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    return keras
