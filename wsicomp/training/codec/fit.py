"""Training of a codec: seeded, resumable after any report, on a GPU where torch finds one.

A run folder also holds curves.csv (a row for each report) and curves.png. Its checkpoints, network and
optimiser, hold nothing but tensors.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsicomp.errors import SlideWriteError, TrainingError
from wsicomp.slide import Pixels
from wsicomp.training.codec.crops import Crops, CropSource
from wsicomp.training.codec.network import Passed, build, decibels, distortion, forward, tensor_ssim
from wsicomp.training.codec.settings import CodecSettings
from wsicomp.training.data.patch_set import PatchSource
from wsicomp.training.data.sampling import open_samples
from wsicomp.training.run_folder import (
    checkpoint,
    figure_panels,
    reading_checkpoint,
    resumed,
    rows_of,
    write_state,
    write_table,
)

Figures = tuple[float, float, float, float]
"""(loss, bits per pixel, SSIM, mean squared error); of several batches (loss, bits per pixel, SSIM, PSNR)."""

_CLIP = 1.0
_QUANTILES = "entropy_bottleneck.quantiles"
_WARM_UP = 500
_AUXILIARY_RATE = 1e-3
_LAST_SHARE = 0.01
"""The share of the learning rate at the end of a cosine schedule."""


@dataclass(frozen=True, slots=True)
class Report:
    """A row of curves.csv: means over the iterations since the last report, and over validation crops."""

    iteration: int
    """Batches so far."""
    learning_rate: float
    """The learning rate now."""
    loss: float
    """Mean training loss."""
    bits_per_pixel: float
    """Mean bits per pixel of training crops."""
    ssim: float
    """Mean SSIM of training crops."""
    psnr: float
    """PSNR of training crops, in dB."""
    validation_loss: float
    """Loss of validation crops."""
    validation_bits_per_pixel: float
    """Bits per pixel of validation crops."""
    validation_ssim: float
    """SSIM of validation crops."""
    validation_psnr: float
    """PSNR of validation crops, in dB."""
    elapsed_s: float
    """Seconds of training so far, with those before a resumption."""


@dataclass(frozen=True)
class FittedCodec:
    """A trained network on the CPU, its reports, and the data that it learnt from."""

    net: Any
    """The network of CompressAI."""
    tiles: Sequence[Pixels]
    """Pictures to count latents on, for the tables of a factorised prior."""
    patches: int
    """The number of patches that it learnt from."""
    reports: tuple[Report, ...]
    """The reports of the run."""
    learnt_from: tuple[PatchSource, ...]
    """The sources that it learnt from."""


def fit_codec(
    settings: CodecSettings, folder: Path, on_report: Callable[[Report], None] | None = None
) -> FittedCodec:
    """Train a codec, or go on with the run in `folder`. The same settings and seed give the same crops.

    `on_report` is called with each report.

    Raises:
        TrainingError: a patch set cannot be read, no patch is left to learn from, the loss is not finite, or
            `folder` holds another run.
        SlideWriteError: a checkpoint cannot be written.
    """
    reports = resumed(folder, settings.to_json(), settings.patches, Report)
    with open_samples(settings) as samples:
        source = CropSource(samples, settings)
        run = _Run(settings)
        if reports:
            run.load(checkpoint(folder, reports, "pt"))
        elif settings.begin_with:
            run.begin_with(Path(settings.begin_with))
        validation = np.stack(source.validation()).astype(np.float32) / 255
        while not reports or reports[-1].iteration < settings.iterations:
            start = time.monotonic()
            learnt = run.learn(source, len(reports))
            tested = run.validate(validation)
            spent = time.monotonic() - start + (reports[-1].elapsed_s if reports else 0)
            reports.append(Report(run.iteration, run.rate, *learnt, *tested, spent))
            _save(run, folder, reports)
            if on_report is not None:
                on_report(reports[-1])
        tiles = list(source.tiles())
    net = run.net.to("cpu").eval()
    return FittedCodec(net, tiles, len(samples.learning), tuple(reports), samples.learnt_from)


class _Run:
    """The network, its optimisers, and the iterations so far."""

    def __init__(self, settings: CodecSettings) -> None:
        torch.manual_seed(settings.seed)
        self._settings = settings
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = build(settings.network).to(self._device, memory_format=torch.channels_last)
        named = dict(self.net.named_parameters())
        quantiles = [value for name, value in named.items() if name.endswith(".quantiles")]
        self._main = [value for name, value in named.items() if not name.endswith(".quantiles")]
        self._optimizer = torch.optim.Adam(self._main, settings.learning_rate)
        self._auxiliary = torch.optim.Adam(quantiles, _AUXILIARY_RATE)
        self.iteration = 0

    @property
    def rate(self) -> float:
        """Return the learning rate of this iteration."""
        share = min(1.0, (self.iteration + 1) / _WARM_UP)
        if self._settings.schedule == "cosine":
            turn = math.cos(math.pi * min(1.0, self.iteration / self._settings.iterations))
            share *= _LAST_SHARE + (1 - _LAST_SHARE) * (1 + turn) / 2
        return self._settings.learning_rate * share

    @property
    def _half(self) -> bool:
        settings = self._settings
        early = self.iteration < settings.precision_share * settings.iterations
        return settings.precision == "bfloat16" and early

    def learn(self, source: CropSource, report: int) -> Figures:
        """Train up to the next report; return mean loss, bits per pixel, SSIM, and PSNR."""
        torch.manual_seed(self._settings.seed * 1_000_003 + report)
        self.net.train()
        rows = []
        for crops in source.batches(report):
            if self.iteration >= self._settings.iterations:
                break
            rows.append(self._learn_batch(crops))
            self.iteration += 1
            if not math.isfinite(rows[-1][0]):
                message = f"the loss is {rows[-1][0]} in iteration {self.iteration}; lower the learning rate"
                raise TrainingError(message)
        return _means(rows)

    def _learn_batch(self, crops: Crops) -> Figures:
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate
        pictures = self._placed(crops)
        steps = self._steps(len(crops))
        passed = forward(self.net, pictures, steps, self._half)
        losses = self._losses(passed, pictures, steps)
        self._optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._main, _CLIP)
        self._optimizer.step()
        self._auxiliary.zero_grad(set_to_none=True)
        self.net.aux_loss().backward()
        self._auxiliary.step()
        return _figures(losses, passed, pictures)

    def validate(self, validation: Crops) -> Figures:
        """Return the same figures of validation crops, at a step of 1, without augmentation."""
        self.net.eval()
        rows = []
        with torch.inference_mode():
            for start in range(0, len(validation), self._settings.batch):
                pictures = self._placed(validation[start : start + self._settings.batch])
                steps = None if self._steps(1) is None else torch.ones(len(pictures), device=self._device)
                passed = forward(self.net, pictures, steps, half=False)
                rows.append(_figures(self._losses(passed, pictures, steps), passed, pictures))
        return _means(rows)

    def _losses(self, passed: Passed, pictures: Tensor, steps: Tensor | None) -> Tensor:
        weight = 1.0 if steps is None else steps**-2
        return passed.bits + weight * distortion(passed.pictures, pictures, self._settings.distortion)

    def _placed(self, crops: Crops) -> Tensor:
        pictures = torch.from_numpy(crops).permute(0, 3, 1, 2).to(self._device)
        return pictures.contiguous(memory_format=torch.channels_last)

    def _steps(self, count: int) -> Tensor | None:
        """Draw a quantisation step for each crop, None where the architecture has only one."""
        if self._settings.network.architecture != "bmshj2018-factorized":
            return None
        reach = math.log(self._settings.step_range)
        return torch.exp(torch.empty(count, device=self._device).uniform_(-reach, reach))

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "auxiliary": self._auxiliary.state_dict(),
            "iteration": self.iteration,
        }

    def begin_with(self, folder: Path) -> None:
        """Begin with another run's network, as far as its tensors and these overlap.

        The rest of a wider tensor keeps its own values. A network with fewer latents takes those of the
        other that have the largest spread: training leaves a channel that it does not need without any.

        Raises:
            TrainingError: the folder holds no run, or its checkpoint is damaged.
        """
        reports = rows_of(folder, Report)
        if not reports:
            raise TrainingError("holds no run to begin with", folder)
        path = checkpoint(folder, reports, "pt")
        with reading_checkpoint(path):
            own = self.net.state_dict()
            theirs = _narrowed(torch.load(path, self._device, weights_only=True)["net"], own)
            self.net.load_state_dict({name: _overlaid(own[name], theirs.get(name)) for name in own})

    def load(self, path: Path) -> None:
        """Load a checkpoint.

        Raises:
            TrainingError: the checkpoint is damaged.
        """
        with reading_checkpoint(path):
            state = torch.load(path, self._device, weights_only=True)
            self.net.load_state_dict(state["net"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._auxiliary.load_state_dict(state["auxiliary"])
            self.iteration = int(state["iteration"])


def _narrowed(theirs: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the state of a factorised prior with as many latents as `own` has, where it has more."""
    quantiles = theirs.get(_QUANTILES)
    if quantiles is None or _QUANTILES not in own or len(own[_QUANTILES]) >= len(quantiles):
        return theirs
    spread = quantiles[:, 0, 2] - quantiles[:, 0, 0]
    widest = spread.argsort(descending=True)[: len(own[_QUANTILES])].sort().values
    return {
        name: tensor[widest] if name in own and _is_narrower(own[name], tensor) else tensor
        for name, tensor in theirs.items()
    }


def _overlaid(own: Tensor, theirs: Tensor | None) -> Tensor:
    """Return `own` with the values of `theirs` where both have rows, columns, and so on."""
    if theirs is None or own.ndim != theirs.ndim:
        return own
    shared = tuple(slice(min(sides)) for sides in zip(own.shape, theirs.shape, strict=True))
    found = own.clone()
    found[shared] = theirs[shared]
    return found


def _is_narrower(own: Tensor, theirs: Tensor) -> bool:
    """Return whether the tensors differ only in their first axis, which is that of latents."""
    return own.shape[1:] == theirs.shape[1:] and own.shape[:1] < theirs.shape[:1]


def _figures(losses: Tensor, passed: Passed, pictures: Tensor) -> Figures:
    found = passed.pictures.detach().clamp(0, 1)
    similar = tensor_ssim(found, pictures)
    error = (found - pictures).square().mean()
    return losses.mean().item(), passed.bits.mean().item(), similar.mean().item(), error.item()


def _means(rows: Sequence[Figures]) -> Figures:
    loss, bits, similar, error = np.mean(rows, axis=0).tolist()
    return loss, bits, similar, decibels(error)


def _save(run: _Run, folder: Path, reports: Sequence[Report]) -> None:
    """Write the checkpoint, then `state.json`: a run that is killed between can go on."""
    path = checkpoint(folder, reports, "pt")
    try:
        torch.save(run.state(), path)
    except (OSError, RuntimeError) as exc:
        raise SlideWriteError(f"cannot be written ({exc})", path) from exc
    write_state(folder, reports)
    write_table(folder / "curves.csv", [asdict(report) for report in reports])
    _draw_curves(folder / "curves.png", reports)


def _draw_curves(path: Path, reports: Sequence[Report]) -> None:
    labels = {"loss": "loss", "bits_per_pixel": "bits per pixel (estimated)", "ssim": "SSIM"}
    at = [report.iteration for report in reports]
    with figure_panels(path, (11, 3.2), 1, len(labels)) as panels:
        for axes, (name, label) in zip(panels.flat, labels.items(), strict=True):
            axes.plot(at, [getattr(report, name) for report in reports], label="training, augmented")
            axes.plot(at, [getattr(report, f"validation_{name}") for report in reports], label="validation")
            axes.set(xlabel="iteration", ylabel=label)
        panels[0, 0].set_yscale("log")
