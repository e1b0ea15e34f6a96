"""The transforms of a factorised prior in torch, for a GPU; what torch's networks share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wsicomp.codecs.neural.model import Model
from wsicomp.codecs.neural.networks import MOST_CHANNELS, Latents, Transforms
from wsicomp.slide import Pixels

_SAMPLES, _KERNEL_PX = 3, 5
_STRIP = 1 << 17
"""Numbers in a strip of latents: half a megabyte."""


class _Gdn(nn.Module):
    """Generalised divisive normalisation, its inverse, or the cheaper variant of Johnston et al. 2019.

    Source: Balle et al. 2016; CompressAI's `GDN` and `GDN1`, whose stored parameters these are.
    """

    beta: Tensor
    gamma: Tensor

    def __init__(self, beta: Tensor, gamma: Tensor, kind: str, inverse: bool) -> None:
        super().__init__()
        pedestal = 2.0**-36
        floor = (1e-6 + pedestal) ** 0.5
        self.register_buffer("beta", beta.clamp(min=floor) ** 2 - pedestal)
        gamma = gamma.clamp(min=pedestal**0.5) ** 2 - pedestal
        self.register_buffer("gamma", gamma[:, :, None, None].contiguous())
        self._kind, self._inverse = kind, inverse

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise in place, in strips that stay in a core's cache.

        A third of the time of doing it at once.
        """
        strips = torch.split(inputs, max(1, _STRIP // (inputs.shape[1] * inputs.shape[3])), 2)
        for strip in strips if inputs.device.type == "cpu" else (inputs,):
            self._normalise(strip)
        return inputs

    def _normalise(self, values: Tensor) -> None:
        if self._kind == "gdn1":
            norm = functional.conv2d(values.abs(), self.gamma, self.beta)
        else:
            norm = functional.conv2d(values * values, self.gamma, self.beta).sqrt_()
        if self._inverse:
            values.mul_(norm)
        else:
            values.div_(norm)


class _Enlarge(nn.Module):
    """A transposed 5 x 5 convolution of stride 2, as a 3 x 3 convolution that makes four pixels of one.

    The sums are the same in another order. With few output channels it takes half the time.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        inputs, outputs = weight.shape[:2]
        turned = torch.zeros(outputs, 2, 2, inputs, 3, 3)
        for row, column, down, right in itertools.product((0, 1), (0, 1), (-1, 0, 1), (-1, 0, 1)):
            y, x = row + 2 - 2 * down, column + 2 - 2 * right
            if y < _KERNEL_PX and x < _KERNEL_PX:
                turned[:, row, column, :, down + 1, right + 1] = weight[:, :, y, x].T
        self._conv = nn.Conv2d(inputs, outputs * 4, 3, padding=1)
        self._conv.load_state_dict(
            {"weight": turned.reshape(outputs * 4, inputs, 3, 3), "bias": bias.repeat_interleave(4)}
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.pixel_shuffle(self._conv(inputs), 2)


def _transform(tensors: Mapping[str, Tensor], prefix: str, kind: str) -> nn.Sequential:
    """Return the encoder or decoder of a factorised prior, as wide as its tensors say.

    Raises:
        ValueError: the tensors do not fit each other.
        LookupError: a tensor is missing.
    """
    inverse = prefix == "g_s."
    layers: list[nn.Module] = []
    channels = tensors[f"{prefix}0.weight"].shape[0] if inverse else _SAMPLES
    if channels > MOST_CHANNELS:
        raise ValueError(f"{channels} channels of latents, expected at most {MOST_CHANNELS}")
    for number in range(0, 7, 2):
        weight, bias = (tensors[f"{prefix}{number}.{name}"] for name in ("weight", "bias"))
        if number:
            layers.append(_nonlinearity(tensors, f"{prefix}{number - 1}.", kind, inverse))
        inputs, outputs = weight.shape[:2] if inverse else weight.shape[1::-1]
        if inputs != channels or outputs > MOST_CHANNELS or weight.shape[2:] != (_KERNEL_PX, _KERNEL_PX):
            raise ValueError(f"{prefix}{number}.weight of {tuple(weight.shape)}")
        if inverse and outputs == _SAMPLES:
            layers.append(_Enlarge(weight, bias))
        else:
            sizes = (inputs, outputs, _KERNEL_PX, 2, _KERNEL_PX // 2)
            conv = nn.ConvTranspose2d(*sizes, output_padding=1) if inverse else nn.Conv2d(*sizes)
            conv.load_state_dict({"weight": weight, "bias": bias})
            layers.append(conv)
        channels = outputs
    if inverse and channels != _SAMPLES:
        raise ValueError(f"pictures of {channels} samples, expected {_SAMPLES}")
    return nn.Sequential(*layers)


def _nonlinearity(tensors: Mapping[str, Tensor], prefix: str, kind: str, inverse: bool) -> nn.Module:
    if kind == "relu":
        return nn.ReLU(inplace=True)
    beta, gamma = tensors[f"{prefix}beta"], tensors[f"{prefix}gamma"]
    if gamma.shape != (len(beta), len(beta)):
        raise ValueError(f"{prefix}gamma of {tuple(gamma.shape)}")
    return _Gdn(beta, gamma, kind, inverse)


def as_torch(model: Model) -> dict[str, Tensor]:
    """Return the tensors for torch; half precision becomes float32."""
    tensors = {}
    for name, tensor in model.tensors.items():
        found = torch.from_numpy(np.ascontiguousarray(tensor))
        tensors[name] = found.float() if found.is_floating_point() else found
    return tensors


def torch_transforms(model: Model, device: torch.device) -> Transforms:
    """Return the transforms of a factorised prior on a device.

    The card's `settings` has the kind of `nonlinearity`: gdn, gdn1 or relu.

    Raises:
        ValueError: the tensors do not fit each other or the card.
        LookupError: a tensor or a setting is missing.
    """
    tensors = as_torch(model)
    kind = model.card.settings["nonlinearity"]
    if kind not in ("gdn", "gdn1", "relu"):
        raise ValueError(f"nonlinearity {kind!r}, expected gdn, gdn1 or relu")
    # Half precision halves the encoder's time and costs nothing that could be measured: what it finds is
    # rounded anyway, and the guard sees the result.
    half = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    synthesis = for_inference(_transform(tensors, "g_s.", kind), device)
    analysis = for_inference(_transform(tensors, "g_a.", kind), device) if model.can_encode else None

    @torch.inference_mode()
    def analyse(pictures: Pixels) -> Latents:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            return as_latents(cast(nn.Module, analysis)(tensor_of(pictures, device)))

    @torch.inference_mode()
    def synthesise(latents: Latents) -> Pixels:
        return pixels_of(synthesis(on_device(torch.from_numpy(latents), device)))

    return Transforms(analyse if analysis is not None else None, synthesise)


def tensor_of(pictures: Pixels, device: torch.device) -> Tensor:
    """Return pictures, (items, rows, columns, 3) uint8, as (items, 3, rows, columns) in [0, 1]."""
    found = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().div_(255)
    return on_device(found, device)


def as_latents(values: Tensor) -> Latents:
    """Return latents as float32 on the CPU."""
    return cast(Latents, values.float().cpu().contiguous().numpy())


def pixels_of(decoded: Tensor) -> Pixels:
    """Return decoded pictures, (items, 3, rows, columns), as (items, rows, columns, 3) uint8 RGB."""
    levels = decoded.clamp_(0, 1).mul_(255).round_().byte().permute(0, 2, 3, 1)
    return cast(Pixels, levels.cpu().contiguous().numpy())


def for_inference(module: nn.Module, device: torch.device) -> nn.Module:
    """Return the module on the device, ready to run, in the memory layout fastest for convolutions.

    Raises:
        MemoryError: the device has no memory for it.
    """
    prepared: Any = module.eval().requires_grad_(False)
    try:
        return cast(nn.Module, prepared.to(device, memory_format=torch.channels_last))
    except torch.OutOfMemoryError as exc:
        raise MemoryError(str(exc)) from exc


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device as float32, in the memory layout fastest for convolutions."""
    return tensor.to(device, torch.float32).contiguous(memory_format=torch.channels_last)
