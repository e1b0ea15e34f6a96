"""Training the tissue network: seeded, resumable after any epoch, stopped when validation says so.

A run folder holds

    settings.json  what was asked for, and digests of the patch sets
    state.json     every epoch so far; what it does not name is not looked at
    last-0, last-1 .keras and .npz: network and optimizer after the last even and the last odd epoch
    best-N.keras   the network of the best epoch
    curves.csv     a row an epoch, and curves.png the same as a picture
"""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from wsicomp.atomic import completed
from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import SlideWriteError, TrainingError
from wsicomp.tissue.white_balance import in_even_light
from wsicomp.training.data.labels import IGNORED, TISSUE, targets
from wsicomp.training.data.patch_set import Patch, PatchSource, open_patch_set
from wsicomp.training.data.sampling import Crop, Samples, epoch_patches, learns_from
from wsicomp.training.run_folder import resumed, write_state, write_table
from wsicomp.training.tissue.augment import augmented
from wsicomp.training.tissue.brightness import brightened
from wsicomp.training.tissue.settings import TrainingSettings

_VALIDATION_ADDED = (0, -75, 0, 75)
_AUGMENTING_THREADS = 2
_DAMAGED = (OSError, ValueError, LookupError, TypeError, RuntimeError, EOFError, BadZipFile)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of the curves: losses are means, `dice` is the mean over the validation sources."""

    epoch: int
    learning_rate: float
    loss: float
    validation_loss: float
    dice: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """Where a run ended: the best network, every epoch, and the sources that it learnt from."""

    network: Path
    epochs: tuple[Epoch, ...]
    learnt_from: tuple[PatchSource, ...]

    @property
    def best_epoch(self) -> Epoch:
        """The one with the highest validation Dice."""
        return _best(self.epochs)


def fit(
    settings: TrainingSettings, folder: Path, on_epoch: Callable[[Epoch, int], None] | None = None
) -> Fitted:
    """Train, or go on where `folder` left off; the same settings and seed give the same samples.

    Raises:
        TrainingError: a patch set cannot be read, nothing can be learnt, or `folder` holds another run.
    """
    import keras

    from wsicomp.training.tissue.network import build_unet, loss_named

    epochs = resumed(folder, settings.to_json(), settings.patches, Epoch)
    with ExitStack() as stack:
        samples = Samples([stack.enter_context(open_patch_set(path)) for path in settings.patches], settings)
        keras.utils.set_random_seed(settings.seed)
        if epochs:
            model = load_network(_last(folder, epochs, "keras"))
        else:
            keras.config.set_dtype_policy(settings.precision)
            model = build_unet(settings.network)
            keras.config.set_dtype_policy("float32")
        optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
        jit = "auto" if keras.backend.backend() == "jax" else False
        model.compile(optimizer=optimizer, loss=loss_named(settings.loss), jit_compile=jit)
        optimizer.build(model.trainable_variables)
        if epochs:
            _load_optimizer(optimizer, _last(folder, epochs, "npz"))
        while not _finished(settings, epochs):
            epochs.append(_one_epoch(model, samples, settings, len(epochs)))
            _save(model, optimizer, folder, epochs)
            if on_epoch is not None:
                on_epoch(epochs[-1], settings.epochs)
        learnt_from = tuple(source for source in samples.sources if learns_from(settings, source))
    return Fitted(_best_network(folder, epochs), tuple(epochs), learnt_from)


def _finished(settings: TrainingSettings, epochs: Sequence[Epoch]) -> bool:
    if not epochs:
        return False
    return len(epochs) >= settings.epochs or len(epochs) - _best(epochs).epoch >= settings.patience


def _best(epochs: Sequence[Epoch]) -> Epoch:
    return max(epochs, key=lambda epoch: epoch.dice)


def _best_network(folder: Path, epochs: Sequence[Epoch]) -> Path:
    return folder / f"best-{_best(epochs).epoch}.keras"


def _one_epoch(model: Any, samples: Samples, settings: TrainingSettings, done: int) -> Epoch:
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


def _batches(samples: Samples, settings: TrainingSettings, epoch: int) -> Iterator[Crop]:
    """Augmented crops, made ahead in threads: each from a generator of its own, so in any order the same."""
    rng = np.random.default_rng([settings.seed, epoch])
    chosen = epoch_patches(samples.learning, settings.patches_per_epoch, settings.power_weights, rng)

    def crop(numbered: tuple[int, Patch, Crop]) -> Crop:
        number, patch, (pixels, labels) = numbered
        own = np.random.default_rng([settings.seed, epoch, number])
        return augmented(pixels, labels, samples.light(patch), settings.crop_px, settings.augmentation, own)

    read = ((number, patch, samples.read(patch)) for number, patch in enumerate(chosen))
    with closing(ordered_map(crop, read, _AUGMENTING_THREADS)) as ready:
        for crops in batched(ready, settings.batch):
            yield (
                np.stack([pixels for pixels, _ in crops]),
                targets(np.stack([labels for _, labels in crops])),
            )


def _validate(model: Any, samples: Samples) -> tuple[float, float]:
    """(mean loss, mean Dice over sources) of whole patches, some darker and some brighter than they were."""
    sums: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(3))
    losses = []
    for patch, added in zip(samples.validation, cycle(_VALIDATION_ADDED), strict=False):
        pixels, labels = samples.read(patch)
        light = np.clip(samples.light(patch) + added, 1, 255)
        pixels = in_even_light(brightened(pixels, added), light)
        predicted = np.asarray(model.predict_on_batch(pixels[None]))
        target = targets(labels)[None]
        losses.append(float(model.loss(target, predicted)))
        found, tissue = predicted[0, ..., 1] > 0.5, labels == TISSUE
        scored = labels != IGNORED
        sums[patch.source] += [
            (found & tissue).sum(),
            (found & scored).sum() + tissue.sum(),
            scored.sum(),
        ]
    # A thousandth of what scores, on both sides, lets glass alone score 1 when nothing is found.
    dices = [(2 * both + scored / 1000) / (either + scored / 1000) for both, either, scored in sums.values()]
    return float(np.mean(losses)), float(np.mean(dices))


def _last(folder: Path, epochs: Sequence[Epoch], kind: str) -> Path:
    return folder / f"last-{len(epochs) % 2}.{kind}"


def _save(model: Any, optimizer: Any, folder: Path, epochs: Sequence[Epoch]) -> None:
    """Over the files of the epoch before last, `state.json` after them: a run killed here can go on."""
    network = _last(folder, epochs, "keras")
    variables: dict[str, Any] = {
        f"v{number}": np.asarray(variable) for number, variable in enumerate(optimizer.variables)
    }
    try:
        model.save(network)
        np.savez(_last(folder, epochs, "npz"), **variables)
        if epochs[-1] is _best(epochs):
            shutil.copyfile(network, _best_network(folder, epochs))
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", network) from exc
    write_state(folder, epochs)
    if epochs[-1] is _best(epochs) and epochs[:-1]:
        _best_network(folder, epochs[:-1]).unlink(missing_ok=True)
    _write_curves(folder, epochs)


def load_network(path: Path) -> Any:
    """A Keras network of a run folder, without executing code that it might hold.

    Raises:
        TrainingError: it cannot be read.
    """
    import keras

    with _told_if_damaged(path):
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def _load_optimizer(optimizer: Any, path: Path) -> None:
    with _told_if_damaged(path), np.load(path, allow_pickle=False) as values:
        for number, variable in enumerate(optimizer.variables):
            variable.assign(values[f"v{number}"])


@contextmanager
def _told_if_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as exc:
        raise TrainingError(f"is damaged ({type(exc).__name__}); begin in another folder", path) from exc


def _write_curves(folder: Path, epochs: Sequence[Epoch]) -> None:
    write_table(folder / "curves.csv", [asdict(epoch) for epoch in epochs])
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    number = [epoch.epoch for epoch in epochs]
    left.plot(number, [epoch.loss for epoch in epochs], label="training, augmented")
    left.plot(number, [epoch.validation_loss for epoch in epochs], label="validation")
    left.set(xlabel="epoch", ylabel="loss")
    left.legend(frameon=False)
    right.plot(number, [epoch.dice for epoch in epochs], color="C2")
    right.set(xlabel="epoch", ylabel="validation Dice (mean over sources)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with completed(folder / "curves.png", overwrite=True) as partial:
        figure.savefig(partial, dpi=110, format="png")
