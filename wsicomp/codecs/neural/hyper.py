"""CompressAI's networks with side information.

Their transforms unchanged, everything for decoding made exact.

Networks over what was decoded before give each symbol its table and its mean. They run as `exact` makes them,
so that every machine reads what any other wrote.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from compressai.latent_codecs import GaussianConditionalLatentCodec, HyperLatentCodec, HyperpriorLatentCodec
from compressai.models import CompressionModel, Elic2022Chandelier, MeanScaleHyperprior, ScaleHyperprior
from torch import Tensor, nn

from wsicomp.codecs.neural.exact import make_exact
from wsicomp.codecs.neural.layers import MOST_CHANNELS
from wsicomp.codecs.neural.model import Model, is_encoder
from wsicomp.codecs.neural.networks import Latents, require_encoder
from wsicomp.codecs.neural.torch_transforms import (
    as_latents,
    as_torch,
    for_inference,
    on_device,
    pixels_of,
    tensor_of,
)
from wsicomp.slide import Pixels

_CLASSES: dict[str, type[CompressionModel]] = {
    "bmshj2018-hyperprior": ScaleHyperprior,
    "mbt2018-mean": MeanScaleHyperprior,
    "elic2022-chandelier": Elic2022Chandelier,
}
_MOST_GROUPS = 16
"""Bounds the memory that a card alone can make a machine allocate: 163 million parameters."""
_LATENT_PX = 16


class HyperNetwork:
    """The network bmshj2018-hyperprior, mbt2018-mean or elic2022-chandelier.

    The card's `settings` has the channels of the transforms, `N`, of the latents, `M`, and for
    elic2022-chandelier of each group of latents, `groups`. Such a model has one step.

    Raises:
        ValueError: the tensors do not fit the card, or sums cannot be exact.
        LookupError: a setting is missing.
    """

    multiple_px = 64

    def __init__(self, model: Model, device: torch.device) -> None:
        net = _net(model)
        self._device = device
        self._groups = getattr(net, "groups", None)
        self._analysis = for_inference(net.g_a, device) if model.can_encode else None
        self._synthesis = for_inference(net.g_s, device)
        codec = _latent_codec(net)
        side = for_inference(codec.hyper.h_a, device)
        self._codec = cast(Any, make_exact(codec.eval().requires_grad_(False)))
        self._codec.hyper.h_a = _OnDevice(side, device)

    @torch.inference_mode()
    def analyse(self, pictures: Pixels) -> Latents:
        return as_latents(require_encoder(self._analysis)(tensor_of(pictures, self._device)))

    @torch.inference_mode()
    def write(self, latents: Latents, step: int) -> list[tuple[bytes, ...]]:  # noqa: ARG002
        require_encoder(self._analysis)
        return list(zip(*self._codec.compress(torch.from_numpy(latents))["strings"], strict=True))

    @torch.inference_mode()
    def read(self, strings: list[tuple[bytes, ...]], size: tuple[int, int], step: int) -> Latents:  # noqa: ARG002
        rows, columns = size[0] // _LATENT_PX, size[1] // _LATENT_PX
        count = 2 if self._groups is None else 2 * len(self._groups) + 1
        if any(len(item) != count for item in strings):
            raise ValueError(f"expected {count} strings")
        shapes: Any = (rows, columns)
        if self._groups is not None:
            shapes = [(channels, rows, columns) for channels in self._groups]
        side = (rows // 4, columns // 4)
        by_place = [list(column) for column in zip(*strings, strict=True)]
        return as_latents(self._codec.decompress(by_place, {"y": shapes, "hyper": side})["y_hat"])

    def rounded(self, latents: Latents, step: int) -> Latents:
        rows, columns = latents.shape[1:]
        strings = self.write(latents[None], step)
        return np.asarray(self.read(strings, (rows * _LATENT_PX, columns * _LATENT_PX), step)[0])

    def estimated_bytes(self, latents: Latents, step: int) -> float:  # noqa: ARG002
        return 0.0

    @torch.inference_mode()
    def synthesise(self, latents: Latents) -> Pixels:
        return pixels_of(self._synthesis(on_device(torch.from_numpy(latents), self._device)))


def _net(model: Model) -> Any:
    settings = dict(model.card.settings)
    groups = settings.get("groups", ())
    sides = [settings["N"], settings["M"], *groups]
    if len(groups) > _MOST_GROUPS or any(type(side) is not int for side in sides):
        raise ValueError(f"settings {settings}")
    if not 0 < min(sides) <= max(sides) <= MOST_CHANNELS:
        raise ValueError(f"channels of {min(sides)} to {max(sides)}, expected 1 to {MOST_CHANNELS}")
    if len(model.card.steps) != 1:
        raise ValueError(f"{len(model.card.steps)} steps, expected 1")
    net = _CLASSES[model.card.architecture](**settings)
    state = as_torch(model)
    lacking = [name for name in net.state_dict() if name not in state and not is_encoder(name)]
    if lacking:
        raise ValueError(f"no tensor {lacking[0]}")
    own = {name: tensor for name, tensor in net.state_dict().items() if name not in state}
    net.load_state_dict(state | own)
    return net


def _latent_codec(net: Any) -> Any:
    """Return everything between the transforms as the same kind of object for each architecture."""
    if isinstance(net, Elic2022Chandelier):
        return net.latent_codec
    scale_only = not isinstance(net, MeanScaleHyperprior)
    side = nn.Sequential(_Magnitude(), net.h_a) if scale_only else net.h_a
    return HyperpriorLatentCodec(
        {
            "y": GaussianConditionalLatentCodec(
                gaussian_conditional=net.gaussian_conditional,
                chunks=("scales",) if scale_only else ("scales", "means"),
            ),
            "hyper": HyperLatentCodec(entropy_bottleneck=net.entropy_bottleneck, h_a=side, h_s=net.h_s),
        }
    )


class _Magnitude(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values.abs()


class _OnDevice(nn.Module):
    """A part of the encoder that runs on the encoder's device."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        super().__init__()
        self._module, self._device = module, device

    def forward(self, values: Tensor) -> Tensor:
        return cast(Tensor, self._module(on_device(values, self._device)))
