"""Networks: from a model's tensors to an object that turns pixels into strings and back.

A `Network` has four parts. `analyse` and `synthesise` are floating-point transforms that run on any device.
`write` and `read` turn latents into strings and back, in integers or exact arithmetic on the CPU, so that a
string written on one machine reads the same on any other.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wsicomp.codecs.neural.model import Model, read_tables
from wsicomp.errors import WeightsError

MOST_CHANNELS = 512
"""The widest layer. With the largest side of a tile it bounds the memory that a model can ask for."""

_SAMPLES, _KERNEL_PX = 3, 5
_STRIP = 1 << 17
"""Numbers in a strip of latents: half a megabyte."""


class Network(Protocol):
    """A model ready to run. Pictures are (items, 3, rows, columns) in [0, 1]."""

    multiple_px: int
    """Sides of pictures must be multiples of this."""

    def analyse(self, pictures: Tensor) -> Tensor:
        """Return the latents of pictures, (items, channels, rows, columns), not yet quantised.

        Raises:
            WeightsError: the model has no encoder.
        """

    def write(self, latents: Tensor, step: int) -> list[tuple[bytes, ...]]:
        """Return the strings of each item, its latents quantised by a step.

        `step` is the index of the step in the model's list, from 0.
        """

    def read(self, strings: list[tuple[bytes, ...]], size: tuple[int, int], step: int) -> Tensor:
        """Return the latents of pictures from their strings; `size` is the pictures' (rows, columns).

        `step` is the index of the step in the model's list, from 0.

        Raises:
            ValueError: the strings are not those of such pictures.
        """

    def synthesise(self, latents: Tensor) -> Tensor:
        """Return the pictures of latents, (items, 3, rows, columns).

        Values may be slightly outside [0, 1].
        """


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


class FactorizedNetwork:
    """The network bmshj2018-factorized: tables by channel and class for each step.

    The card's `settings` has the kind of `nonlinearity`: gdn, gdn1 or relu.

    Raises:
        ValueError: the tensors do not fit each other or the card.
        LookupError: a tensor or a setting is missing.
    """

    multiple_px = 16

    def __init__(self, model: Model, device: torch.device) -> None:
        tensors = as_torch(model)
        kind = model.card.settings["nonlinearity"]
        if kind not in ("gdn", "gdn1", "relu"):
            raise ValueError(f"nonlinearity {kind!r}, expected gdn, gdn1 or relu")
        self._device = device
        # Half precision halves the encoder's time and costs nothing that could be measured: what it finds is
        # rounded anyway, and the guard sees the result.
        self._half = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self._analysis = (
            for_inference(_transform(tensors, "g_a.", kind), device) if model.can_encode else None
        )
        self._synthesis = for_inference(_transform(tensors, "g_s.", kind), device)
        self._steps = model.card.steps
        self._medians = tensors["medians"].double()[None, :, None, None]
        self._tables = [read_tables(model.tensors, step) for step in range(len(self._steps))]
        channels = tensors["g_s.0.weight"].shape[0]
        if self._medians.shape[1] != channels or any(table.channels != channels for table in self._tables):
            raise ValueError(f"tables of other than {channels} channels")

    def analyse(self, pictures: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            return cast(Tensor, require_encoder(self._analysis)(on_device(pictures, self._device)).float())

    def write(self, latents: Tensor, step: int) -> list[tuple[bytes, ...]]:
        values = torch.round((latents.cpu().double() - self._medians) / self._steps[step])
        values = values.clamp(-(1 << 15), (1 << 15) - 1).int()
        return [self._tables[step].encode(item.numpy()) for item in values]

    def read(self, strings: list[tuple[bytes, ...]], size: tuple[int, int], step: int) -> Tensor:
        shape = (size[0] // self.multiple_px, size[1] // self.multiple_px)
        values = [torch.from_numpy(self._tables[step].decode(item, shape)) for item in strings]
        return (torch.stack(values).double() * self._steps[step] + self._medians).float()

    def synthesise(self, latents: Tensor) -> Tensor:
        return cast(Tensor, self._synthesis(on_device(latents, self._device)))


def for_inference(module: nn.Module, device: torch.device) -> nn.Module:
    """Return the module on the device, ready to run, in the memory layout fastest for convolutions."""
    prepared: Any = module.eval().requires_grad_(False)
    return cast(nn.Module, prepared.to(device, memory_format=torch.channels_last))


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device as float32, in the memory layout fastest for convolutions."""
    return tensor.to(device, torch.float32).contiguous(memory_format=torch.channels_last)


def require_encoder(module: nn.Module | None) -> nn.Module:
    """Return the encoder of a model.

    Raises:
        WeightsError: the model has no encoder.
    """
    if module is None:
        raise WeightsError(
            "has no encoder, like the decoders that slides carry; to encode, name the whole model"
        )
    return module
