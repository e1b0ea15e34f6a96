"""Networks whose results are equal to the bit on every machine, for everything that entropy decoding uses.

A sum of floating-point numbers depends on their order, and the order on threads, batch, library and device.
These layers never round a sum. Weights and inputs are first rounded to multiples of powers of two, so coarse
that every product and partial sum is itself such a multiple, below 2^53 of them. A float64 holds all of these
exactly, so every order of addition gives the same number.

They run on the CPU in float64, whatever the settings for float32 matrix products are. Operations between them
(ReLU, sums of two) round each element by itself, as IEEE 754 prescribes, and the next layer rounds the result
to its grid again.

CompressAI compares floats to choose a symbol's table; its issues 279, 320 and 340 report what that does on
other machines.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from torch import Tensor, nn
from torch.nn import functional

from wsicomp.codecs.neural.entropy import SymbolTables

_INPUT_BITS = 12
"""Inputs are multiples of 2^-12."""
_INPUT_LIMIT = 4096.0
_SUM_BITS = 53
_MOST_WEIGHT_BITS = 24
_LEAST_WEIGHT_BITS = 8
_MEAN_BITS, _MEAN_LIMIT = 8, 16384.0
"""Means are multiples of 2^-8, and so small that latents with them are exact in float32, too."""


def on_grid(values: Tensor, bits: int) -> Tensor:
    """Return values in float64, rounded to multiples of 2^-bits."""
    scale = float(1 << bits)
    return torch.round(values.double() * scale) / scale


class ExactConv(nn.Module):
    """A convolution, or transposed convolution, with equal results everywhere.

    Raises:
        ValueError: the weights are not finite, or too large for exact sums.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self._transposed = isinstance(conv, nn.ConvTranspose2d)
        self._stride: Any = conv.stride
        self._padding: Any = conv.padding
        self._output_padding: Any = conv.output_padding
        weight = conv.weight.detach().double().cpu()
        mask = getattr(conv, "mask", None)  # of a checkerboard convolution
        weight = weight if mask is None else weight * mask.double().cpu()
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().cpu()
        summed = weight.abs().sum((0, 2, 3) if self._transposed else (1, 2, 3)) + 1
        bound = float((summed * _INPUT_LIMIT + bias.double().abs()).max()) * 2
        if not math.isfinite(bound):
            raise ValueError("weights that are not finite")
        bits = min(_MOST_WEIGHT_BITS, _SUM_BITS - _INPUT_BITS - math.ceil(math.log2(bound)))
        if bits < _LEAST_WEIGHT_BITS:
            raise ValueError(f"weights that add up to {float(summed.max()):.3g}: too large for exact sums")
        self.register_buffer("weight", on_grid(weight, bits), persistent=False)
        self.register_buffer("bias", on_grid(bias, bits), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the convolution of the inputs, (items, channels, rows, columns) float64.

        Inputs are first clipped to their limit and rounded to their grid.
        """
        values = on_grid(inputs.cpu().clamp(-_INPUT_LIMIT, _INPUT_LIMIT), _INPUT_BITS)
        if self._transposed:
            return functional.conv_transpose2d(
                values, self.weight, self.bias, self._stride, self._padding, self._output_padding
            )
        return functional.conv2d(values, self.weight, self.bias, self._stride, self._padding)

    def _apply(self, fn: object, recurse: bool = True) -> ExactConv:  # noqa: ARG002
        """Do nothing: stay in float64 on the CPU, whatever the network around moves to."""
        return self


class ExactBottleneck(nn.Module):
    """CompressAI's `EntropyBottleneck` with its stored tables and our coder: one table for each channel.

    Raises:
        ValueError: the tables are not sound, or not one for each channel.
    """

    def __init__(self, bottleneck: EntropyBottleneck) -> None:
        super().__init__()
        self._tables = _tables(bottleneck)
        self._medians = bottleneck.quantiles[:, 0, 1].detach().cpu().double()[None, :, None, None]
        if self._medians.shape[1] != len(self._tables):
            raise ValueError(f"{len(self._tables)} tables for {self._medians.shape[1]} channels")

    def compress(self, values: Tensor) -> list[bytes]:
        """Return an entropy-coded string for each item of a batch.

        `values` are latents, (items, channels, rows, columns).
        """
        steps = torch.round(values.cpu().double() - self._medians)
        indexes = torch.arange(values.shape[1], dtype=torch.int32)[:, None, None].expand(values.shape[1:])
        return [self._tables.encode(item.int().numpy(), indexes.numpy()) for item in steps]

    def decompress(self, strings: list[bytes], size: tuple[int, int]) -> Tensor:
        """Return the values, (items, channels, rows, columns) float64; `size` is (rows, columns).

        Raises:
            ValueError: a string was not encoded with these tables from as many values.
        """
        shape = (self._medians.shape[1], *size)
        indexes = torch.arange(shape[0], dtype=torch.int32)[:, None, None].expand(shape).numpy()
        decoded = [torch.from_numpy(self._tables.decode(string, indexes)) for string in strings]
        found: Tensor = torch.stack(decoded).double() + self._medians
        return found


class ExactGaussian(nn.Module):
    """CompressAI's `GaussianConditional` with its stored tables and our coder; its inputs must be exact.

    Raises:
        ValueError: the tables are not sound, or not one for each scale.
    """

    def __init__(self, conditional: GaussianConditional) -> None:
        super().__init__()
        self._tables = _tables(conditional)
        self._scales = conditional.scale_table.detach().cpu().double()
        if len(self._scales) != len(self._tables):
            raise ValueError(f"{len(self._scales)} scales for {len(self._tables)} tables")

    def build_indexes(self, scales: Tensor) -> Tensor:
        """Return the number of each symbol's table: the table of the next larger scale."""
        return torch.bucketize(scales.contiguous(), self._scales[:-1]).int()

    def compress(self, values: Tensor, indexes: Tensor, means: Tensor | None = None) -> list[bytes]:
        """Return an entropy-coded string for each item of a batch.

        `values` are latents, (items, channels, rows, columns). `indexes`, of the same shape, has the table of
        each value. `means` are subtracted first.
        """
        steps = torch.round(values.cpu().double() - _rounded_means(means))
        return [
            self._tables.encode(item.int().numpy(), index.numpy())
            for item, index in zip(steps, indexes, strict=True)
        ]

    def decompress(self, strings: list[bytes], indexes: Tensor, means: Tensor | None = None) -> Tensor:
        """Return the latents of strings from `compress`, float64 in the shape of `indexes`.

        Raises:
            ValueError: a string was not encoded with these tables from as many values.
        """
        decoded = [
            torch.from_numpy(self._tables.decode(string, index.numpy()))
            for string, index in zip(strings, indexes, strict=True)
        ]
        return torch.stack(decoded).double() + _rounded_means(means)


def _rounded_means(means: Tensor | None) -> Tensor:
    if means is None:
        return torch.zeros(1, dtype=torch.float64)
    return on_grid(means.clamp(-_MEAN_LIMIT, _MEAN_LIMIT), _MEAN_BITS)


def _tables(model: EntropyBottleneck | GaussianConditional) -> SymbolTables:
    parts = (model._quantized_cdf, model._cdf_length, model._offset)
    return SymbolTables.from_cdf(*(part.cpu().int().numpy() for part in parts))


def make_exact(module: nn.Module) -> nn.Module:
    """Return the module with its convolutions and entropy models replaced by exact ones.

    Raises:
        ValueError: weights are too large for exact sums, or tables are not sound.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return ExactConv(module)
    if isinstance(module, EntropyBottleneck):
        return ExactBottleneck(module)
    if isinstance(module, GaussianConditional):
        return ExactGaussian(module)
    for name, child in module.named_children():
        setattr(module, name, make_exact(child))
    return module
