"""A codec in training: CompressAI's architecture, its rate, and its distortion."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from compressai.layers import GDN, GDN1
from compressai.models import Elic2022Chandelier, FactorizedPrior, MeanScaleHyperprior, ScaleHyperprior
from compressai.models.utils import conv, deconv
from pytorch_msssim import ms_ssim
from torch import Tensor, nn
from torch.nn import functional

from wsicomp.training.codec.settings import CodecNetwork, Distortion

_SAMPLES = 3
_WINDOW_PX, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_COLOR_BLOCK_PX = 16
_LEAST_LIKELY = 1e-9


class Passed(NamedTuple):
    """Pictures that went through the network, and the bits per pixel of each."""

    pictures: Tensor
    bits: Tensor


def build(settings: CodecNetwork) -> Any:
    """Build the untrained network."""
    size = (settings.channels, settings.latents)
    if settings.architecture == "bmshj2018-factorized":
        net = FactorizedPrior(*size)
        net.g_a, net.g_s = _transforms(settings)
        return net
    if settings.architecture == "elic2022-chandelier":
        return Elic2022Chandelier(*size, groups=list(settings.groups) if sum(settings.groups) else None)
    kinds = {"bmshj2018-hyperprior": ScaleHyperprior, "mbt2018-mean": MeanScaleHyperprior}
    return kinds[settings.architecture](*size)


def _transforms(settings: CodecNetwork) -> tuple[nn.Sequential, nn.Sequential]:
    """Build the encoder and decoder of a factorised prior, with one width for each scale."""
    widths = (_SAMPLES, *settings.hidden, settings.latents)
    analysis: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        analysis += [conv(inputs, outputs), _nonlinearity(settings.nonlinearity, outputs, inverse=False)]
    synthesis: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[::-1]):
        synthesis += [deconv(inputs, outputs), _nonlinearity(settings.nonlinearity, outputs, inverse=True)]
    return nn.Sequential(*analysis[:-1]), nn.Sequential(*synthesis[:-1])


def _nonlinearity(kind: str, channels: int, inverse: bool) -> nn.Module:
    if kind == "relu":
        return nn.ReLU(inplace=True)
    gdn: type[nn.Module] = GDN1 if kind == "gdn1" else GDN
    return gdn(channels, inverse=inverse)


def forward(net: Any, pictures: Tensor, steps: Tensor | None, half: bool) -> Passed:
    """Send pictures (items, 3, rows, columns) through the network.

    The pictures are in [0, 1]. `steps` has the quantisation step of each item, (items,); None for a network
    without steps. With `half`, convolutions work in bfloat16.
    """
    area = pictures.shape[2] * pictures.shape[3]
    kind = pictures.device.type
    if steps is None:
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            found = net(pictures)
        parts = found["likelihoods"].values()
        bits = torch.stack([-torch.log2(part.float()).flatten(1).sum(1) for part in parts])
        return Passed(found["x_hat"].float(), bits.sum(0) / area)
    with torch.autocast(kind, torch.bfloat16, enabled=half):
        latents = net.g_a(pictures)
    latents = latents.float()
    noise = torch.rand_like(latents) - 0.5 if net.training else 0.0
    steps = steps[:, None, None, None]
    medians = net.entropy_bottleneck._get_medians()[None]
    if net.training:
        latents = latents + noise * steps
    else:
        latents = torch.round((latents - medians) / steps) * steps + medians
    likely = likelihood(net.entropy_bottleneck, latents, steps)
    with torch.autocast(kind, torch.bfloat16, enabled=half):
        decoded = net.g_s(latents.contiguous(memory_format=torch.channels_last))
    return Passed(decoded.float(), -torch.log2(likely).flatten(1).sum(1) / area)


def likelihood(bottleneck: Any, latents: Tensor, steps: Tensor) -> Tensor:
    """Return the likelihood of each latent, in [0, 1] and in the shape of `latents`.

    It is that of an interval around the latent, as wide as its step.
    """
    values = latents.permute(1, 2, 3, 0).contiguous()
    half = (steps / 2).permute(1, 2, 3, 0)
    shape = values.shape
    ends = [
        bottleneck._logits_cumulative(end.reshape(shape[0], 1, -1), stop_gradient=False)
        for end in (values - half, values + half)
    ]
    between = torch.sigmoid(ends[1]) - torch.sigmoid(ends[0])
    return between.clamp_min(_LEAST_LIKELY).reshape(shape).permute(3, 0, 1, 2)


def distortion(found: Tensor, pictures: Tensor, weights: Distortion) -> Tensor:
    """Return the weighted distortion of each item, (items,)."""
    error = found - pictures
    total = weights.mse * 255**2 * error.square().mean((1, 2, 3))
    if weights.ssim:
        total = total + weights.ssim * (1 - tensor_ssim(found, pictures))
    if weights.ms_ssim:
        total = total + weights.ms_ssim * (1 - ms_ssim(found, pictures, 1.0, size_average=False))
    if weights.color:
        means = functional.avg_pool2d(error, _COLOR_BLOCK_PX)
        total = total + weights.color * 255**2 * means.square().mean((1, 2, 3))
    return total


def tensor_ssim(first: Tensor, second: Tensor) -> Tensor:
    """Return each item's SSIM, (items,), as `wsicomp.codecs.quality` defines it, by fast matrix products."""
    rows, columns = (_windows(side, first) for side in first.shape[2:])
    parts = torch.stack([first, second, first * second, first * first + second * second])
    mean_1, mean_2, product, squares = rows @ (parts @ columns.mT)
    both = mean_1 * mean_2
    each = mean_1 * mean_1 + mean_2 * mean_2
    contrast = (2 * (product - both) + _C2) / (squares - each + _C2)
    whole: Tensor = contrast * (2 * both + _C1) / (each + _C1)
    return whole.mean((1, 2, 3))


def _windows(side: int, like: Tensor) -> Tensor:
    """Return (positions, side): the Gaussian window at each position where it lies inside."""
    offsets = torch.arange(_WINDOW_PX, device=like.device) - _WINDOW_PX // 2
    window = torch.exp(-(offsets**2) / (2 * _SIGMA**2)).to(like.dtype)
    window = window / window.sum()
    positions = side - _WINDOW_PX + 1
    matrix = torch.zeros(positions, side, device=like.device, dtype=like.dtype)
    for position in range(positions):
        matrix[position, position : position + _WINDOW_PX] = window
    return matrix


def decibels(mse: float) -> float:
    """Return the PSNR in dB of a mean squared error of values from 0 to 1."""
    return -10 * math.log10(max(mse, 1e-12))
