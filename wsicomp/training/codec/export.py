"""Export of a trained codec to a model file: transforms, tables of integers, and a card that describes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsicomp.codecs.neural.model import SUFFIX, Model, ModelCard, create_model, table_tensors
from wsicomp.files.atomic import completed
from wsicomp.training.codec.fit import FittedCodec
from wsicomp.training.codec.settings import CodecSettings
from wsicomp.training.codec.tables import Classes, classed_tables
from wsicomp.training.run_folder import write_table
from wsicomp.version import SOFTWARE

_STEPS_PER_OCTAVE = 4


def export_codec(fitted: FittedCodec, settings: CodecSettings, folder: Path, name: str) -> Path:
    """Write `name`.safetensors and learnt-from.csv, the table of its sources; return the model's path.

    Raises:
        SlideWriteError: a file cannot be written.
    """
    model = to_model(fitted, settings, name)
    path = folder / f"{name}{SUFFIX}"
    with completed(path, overwrite=True) as partial:
        partial.write_bytes(model.to_bytes())
    sources = {tuple(source.described().items()) for source in fitted.learnt_from}
    write_table(folder / "learnt-from.csv", [dict(source) for source in sorted(sources)])
    return path


def to_model(fitted: FittedCodec, settings: CodecSettings, name: str) -> Model:
    """Return the network as a model. A factorised one has transforms in half precision and counted tables."""
    network = settings.network
    steps = _steps(max(settings.step_range, settings.exported_range))
    usual = min(range(len(steps)), key=lambda number: abs(math.log(steps[number] / settings.usual_step)))
    if network.architecture == "bmshj2018-factorized":
        details: dict[str, Any] = {"nonlinearity": network.nonlinearity}
        tensors = _factorized_tensors(fitted, settings, steps)
    else:
        details = {"N": network.channels, "M": network.latents}
        if network.architecture == "elic2022-chandelier":
            details["groups"] = list(fitted.net.groups)
        fitted.net.update(force=True)
        tensors = {key: tensor.numpy() for key, tensor in fitted.net.state_dict().items()}
    card = ModelCard(
        name,
        network.architecture,
        details,
        steps,
        usual,
        _quality(settings),
        _trained_on(fitted),
        ", ".join(sorted({source.licence for source in fitted.learnt_from})),
        SOFTWARE,
    )
    return create_model(card, tensors)


def _steps(step_range: float) -> tuple[float, ...]:
    """Return steps from coarse to fine in quarters of an octave, 1 in their middle."""
    count = math.floor(math.log2(step_range) * _STEPS_PER_OCTAVE + 1e-9)
    return tuple(2 ** (number / _STEPS_PER_OCTAVE) for number in range(count, -count - 1, -1))


def _quality(settings: CodecSettings) -> str:
    weights = settings.distortion
    parts = {"MSE": weights.mse, "SSIM": weights.ssim, "MS-SSIM": weights.ms_ssim, "colour": weights.color}
    return "trained for " + ", ".join(f"{name} x {weight:g}" for name, weight in parts.items() if weight)


def _trained_on(fitted: FittedCodec) -> str:
    """Describe the training data without names: slides can carry the model, and names can be patients'."""
    groups = {source.group for source in fitted.learnt_from}
    return f"{fitted.patches} patches of {len(groups)} patients or slides"


def _factorized_tensors(
    fitted: FittedCodec, settings: CodecSettings, steps: Sequence[float]
) -> dict[str, NDArray[Any]]:
    net = fitted.net
    state = {key: tensor.numpy() for key, tensor in net.state_dict().items()}
    # Half precision halves the file, and what a slide that carries the model grows by.
    tensors = {
        key: tensor.astype(np.float16 if key.endswith("weight") else np.float32)
        for key, tensor in state.items()
        if key.startswith(("g_a.", "g_s.")) and "reparam" not in key
    }
    tensors["medians"] = state["entropy_bottleneck.quantiles"][:, 0, 1].astype(np.float32)
    net.load_state_dict(
        {key: torch.from_numpy(value).float() for key, value in tensors.items() if key != "medians"},
        strict=False,
    )
    latents = _latents(net, fitted.tiles) - tensors["medians"]
    classes = Classes(latents, settings.classes, settings.seed)
    for number, step in enumerate(steps):
        found = classed_tables(latents, classes, step, settings.tables, settings.seed)
        tensors |= table_tensors(number, found)
    return tensors


def _latents(net: Any, tiles: Sequence[Any]) -> NDArray[np.float32]:
    """Return the latents of all tiles, (places, channels)."""
    found = []
    with torch.inference_mode():
        for tile in tiles:
            picture = torch.from_numpy(np.ascontiguousarray(tile)).permute(2, 0, 1)[None].float() / 255
            found.append(net.g_a(picture)[0].flatten(1).T.numpy())
    return np.concatenate(found)
