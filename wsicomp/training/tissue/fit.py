"""Training of the tissue network: seeded, resumable after any epoch, stopped by validation.

Beside what every run folder holds there are

    last-0, last-1 .keras and .npz: network and optimizer
    best-N.keras   the network of the best epoch
    curves.csv     a row for each epoch, and curves.png the same as a picture
"""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import TrainingError
from wsicomp.files.atomic import write_errors
from wsicomp.slide import Pixels
from wsicomp.tissue.segmenters.unet import enlarged
from wsicomp.tissue.white_balance import white_balanced
from wsicomp.training.data.labels import IGNORED, TISSUE, Labels, targets
from wsicomp.training.data.patch_set import Patch, PatchSource
from wsicomp.training.data.sampling import LabelledPixels, PatchSamples, epoch_patches, open_samples
from wsicomp.training.run_folder import (
    checkpoint,
    figure_panels,
    reading_checkpoint,
    resumed,
    write_state,
    write_table,
)
from wsicomp.training.tissue.augment import augmented_patch
from wsicomp.training.tissue.brightness import brightened
from wsicomp.training.tissue.settings import TrainingSettings
from wsicomp.training.tissue.teacher import Teacher

_VALIDATION_ADDED = (0, -75, 0, 75)
_AUGMENTING_THREADS = 2


@dataclass(frozen=True, slots=True)
class Epoch:
    """A row of curves.csv. Losses are means."""

    epoch: int
    """The number of the epoch, from 1."""
    learning_rate: float
    """The learning rate of the epoch."""
    loss: float
    """Training loss."""
    validation_loss: float
    """Loss over validation crops."""
    dice: float
    """The mean Dice over validation sources."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The result of a run: its best network, all epochs, and the sources that it learnt from."""

    network: Path
    """The file of the best network."""
    epochs: tuple[Epoch, ...]
    """All epochs of the run."""
    learnt_from: tuple[PatchSource, ...]
    """The sources that it learnt from."""

    @property
    def best_epoch(self) -> Epoch:
        """The epoch with the highest validation Dice."""
        return _best(self.epochs)


def fit(
    settings: TrainingSettings, folder: Path, on_epoch: Callable[[Epoch, int], None] | None = None
) -> Fitted:
    """Train the tissue network, or go on with the run in `folder`.

    The same settings and seed give the same samples. `on_epoch` is called with each epoch and the largest
    number of epochs.

    Raises:
        TrainingError: a patch set cannot be read, no patch is left to learn from, the loss is not finite, or
            `folder` holds another run.
        SlideWriteError: a checkpoint cannot be written.
    """
    import keras

    from wsicomp.training.tissue.network import build_unet, loss_named

    read = [*settings.patches, *([Path(settings.teacher)] if settings.teacher else [])]
    epochs = resumed(folder, settings.to_json(), read, Epoch)
    with open_samples(settings) as opened:
        samples = _Lessons(opened, settings)
        keras.utils.set_random_seed(settings.seed)
        if epochs:
            model = load_network(checkpoint(folder, epochs, "keras"))
        else:
            keras.config.set_dtype_policy(settings.precision)
            model = build_unet(settings.network)
            keras.config.set_dtype_policy("float32")
        optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
        jit = "auto" if keras.backend.backend() == "jax" else False
        model.compile(optimizer=optimizer, loss=loss_named(settings.loss), jit_compile=jit)
        optimizer.build(model.trainable_variables)
        if epochs:
            _load_optimizer(optimizer, checkpoint(folder, epochs, "npz"))
        while not _finished(settings, epochs):
            epochs.append(_one_epoch(model, samples, settings, len(epochs)))
            _save(model, optimizer, folder, epochs)
            if on_epoch is not None:
                on_epoch(epochs[-1], settings.epochs)
    return Fitted(_best_network(folder, epochs), tuple(epochs), samples.learnt_from)


class _Lessons:
    """The samples of a run, and what its teacher, if it has one, says of those to learn from.

    Memory: a byte for each pixel of all patches to learn from, with a teacher.
    """

    def __init__(self, samples: PatchSamples, settings: TrainingSettings) -> None:
        self._samples = samples
        self.learning, self.validation = samples.learning, samples.validation
        self.learnt_from, self.light, self.read = samples.learnt_from, samples.light, samples.read
        manifest = Path(settings.teacher)
        self._teacher = Teacher(manifest, settings.teacher_share) if settings.teacher else None
        self._taught: dict[int, Labels] = {}

    def lesson(self, patch: Patch) -> tuple[Pixels, Labels, Labels]:
        """Return a patch, its labels, and what is to be learnt of it."""
        pixels, labels = self.read(patch)
        if self._teacher is None:
            return pixels, labels, labels
        if patch.number not in self._taught:
            self._taught[patch.number] = self._teacher.taught(pixels, labels, self.light(patch))
        return pixels, labels, self._taught[patch.number]


def _finished(settings: TrainingSettings, epochs: Sequence[Epoch]) -> bool:
    if not epochs:
        return False
    return len(epochs) >= settings.epochs or len(epochs) - _best(epochs).epoch >= settings.patience


def _best(epochs: Sequence[Epoch]) -> Epoch:
    return max(epochs, key=lambda epoch: epoch.dice)


def _best_network(folder: Path, epochs: Sequence[Epoch]) -> Path:
    return folder / f"best-{_best(epochs).epoch}.keras"


def _one_epoch(model: Any, samples: _Lessons, settings: TrainingSettings, done: int) -> Epoch:
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate *= 0.01 + 0.99 * (1 + math.cos(math.pi * done / settings.epochs)) / 2
    model.optimizer.learning_rate = rate
    losses = []
    for batch in _batches(samples, settings, done):
        model.reset_metrics()  # without it some of Keras's backends give the mean of all batches so far
        losses.append(float(model.train_on_batch(*batch)))
        if not math.isfinite(losses[-1]):
            raise TrainingError(f"the loss is {losses[-1]} in epoch {done + 1}; lower the learning rate")
    validation_loss, dice = _validate(model, samples)
    return Epoch(done + 1, rate, float(np.mean(losses)), validation_loss, dice)


def _batches(
    samples: _Lessons, settings: TrainingSettings, epoch: int
) -> Iterator[tuple[Pixels, NDArray[np.float32]]]:
    """Yield batches of augmented crops, made ahead in threads.

    Each crop has a random generator of its own, so that it is the same in any order.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    chosen = epoch_patches(samples.learning, settings.patches_per_epoch, settings.power_weights, rng)

    def crop(numbered: tuple[int, Patch, tuple[Pixels, Labels, Labels]]) -> LabelledPixels:
        number, patch, (pixels, labels, taught) = numbered
        own = np.random.default_rng([settings.seed, epoch, number])
        light = samples.light(patch)
        return augmented_patch(
            pixels, labels, light, settings.crop_px, settings.augmentation, own, taught=taught
        )

    stride = settings.network.mask_stride
    read = ((number, patch, samples.lesson(patch)) for number, patch in enumerate(chosen))
    with closing(ordered_map(crop, read, _AUGMENTING_THREADS)) as ready:
        for crops in batched(ready, settings.batch):
            yield (
                np.stack([pixels for pixels, _ in crops]),
                np.stack([targets(taught, stride) for _, taught in crops]),
            )


def _validate(model: Any, samples: _Lessons) -> tuple[float, float]:
    """Return (mean loss, mean Dice over sources) of whole patches, some of them darkened or brightened."""
    sums: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(3))
    losses = []
    for patch, added in zip(samples.validation, cycle(_VALIDATION_ADDED), strict=False):
        pixels, labels = samples.read(patch)
        light = np.clip(samples.light(patch) + added, 1, 255)
        pixels = white_balanced(brightened(pixels, added), light)
        predicted = np.asarray(model.predict_on_batch(pixels[None]))
        stride = labels.shape[0] // predicted.shape[1]
        losses.append(float(model.loss(targets(labels, stride)[None], predicted)))
        found, tissue = enlarged(predicted[0, ..., 1], labels.shape[0]) > 0.5, labels == TISSUE
        scored = labels != IGNORED
        sums[patch.source] += [
            (found & tissue).sum(),
            (found & scored).sum() + tissue.sum(),
            scored.sum(),
        ]
    # A thousandth of the scored pixels, on both sides, gives glass alone a Dice of 1 where nothing is found.
    dices = [(2 * both + scored / 1000) / (either + scored / 1000) for both, either, scored in sums.values()]
    return float(np.mean(losses)), float(np.mean(dices))


def _save(model: Any, optimizer: Any, folder: Path, epochs: Sequence[Epoch]) -> None:
    """Write the checkpoint, then `state.json`: a run that is killed between can go on."""
    network = checkpoint(folder, epochs, "keras")
    variables: dict[str, Any] = {
        f"v{number}": np.asarray(variable) for number, variable in enumerate(optimizer.variables)
    }
    with write_errors(network):
        model.save(network)
        np.savez(checkpoint(folder, epochs, "npz"), **variables)
        if epochs[-1] is _best(epochs):
            shutil.copyfile(network, _best_network(folder, epochs))
    write_state(folder, epochs)
    if epochs[-1] is _best(epochs) and epochs[:-1]:
        _best_network(folder, epochs[:-1]).unlink(missing_ok=True)
    _write_curves(folder, epochs)


def load_network(path: Path) -> Any:
    """Load a Keras network of a run folder, without running code that the file may hold.

    Raises:
        TrainingError: the file is damaged.
    """
    import keras

    with reading_checkpoint(path):
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def _load_optimizer(optimizer: Any, path: Path) -> None:
    with reading_checkpoint(path), np.load(path, allow_pickle=False) as values:
        for number, variable in enumerate(optimizer.variables):
            variable.assign(values[f"v{number}"])


def _write_curves(folder: Path, epochs: Sequence[Epoch]) -> None:
    write_table(folder / "curves.csv", [asdict(epoch) for epoch in epochs])
    number = [epoch.epoch for epoch in epochs]
    with figure_panels(folder / "curves.png", (8, 3.2), 1, 2) as ((left, right),):
        left.plot(number, [epoch.loss for epoch in epochs], label="training, augmented")
        left.plot(number, [epoch.validation_loss for epoch in epochs], label="validation")
        left.set(xlabel="epoch", ylabel="loss")
        right.plot(number, [epoch.dice for epoch in epochs], color="C2")
        right.set(xlabel="epoch", ylabel="validation Dice (mean over sources)")
