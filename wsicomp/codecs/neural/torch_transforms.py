"""The transforms of a factorised prior in torch, for a GPU; what torch's networks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wsicomp.codecs.neural.layers import ANALYSIS, KERNEL_PX, SYNTHESIS, Layer, Normalisation, read_layers
from wsicomp.codecs.neural.model import Model
from wsicomp.codecs.neural.networks import Latents, Transforms
from wsicomp.slide import Pixels


def torch_transforms(model: Model, device: torch.device) -> Transforms:
    """Return the transforms of a factorised prior on a device.

    Raises:
        ValueError: the tensors do not fit each other or the card.
        LookupError: a tensor or a setting is missing.
        MemoryError: the device has no memory for the model.
    """
    synthesis = for_inference(_network(read_layers(model, SYNTHESIS), is_inverse=True), device)

    @torch.inference_mode()
    def synthesise(latents: Latents) -> Pixels:
        return pixels_of(synthesis(on_device(torch.from_numpy(latents), device)))

    if not model.can_encode:
        return Transforms(None, synthesise)
    analysis = for_inference(_network(read_layers(model, ANALYSIS), is_inverse=False), device)

    @torch.inference_mode()
    def analyse(pictures: Pixels) -> Latents:
        # Half precision halves the encoder's time and costs nothing that could be measured: what it finds is
        # rounded anyway, and the guard sees the result.
        with torch.autocast(device.type, torch.bfloat16):
            return as_latents(analysis(tensor_of(pictures, device)))

    return Transforms(analyse, synthesise)


def _network(layers: Sequence[Layer], is_inverse: bool) -> nn.Sequential:
    parts: list[nn.Module] = []
    for layer in layers:
        parts.append(_convolution(layer, is_inverse))
        if layer.kind == "relu":
            parts.append(nn.ReLU(inplace=True))
        elif layer.norm is not None:
            parts.append(_Gdn(layer.norm, layer.kind, is_inverse))
    return nn.Sequential(*parts)


def _convolution(layer: Layer, is_transposed: bool) -> nn.Module:
    outputs, inputs = layer.weight.shape[:2]
    sizes = (inputs, outputs, KERNEL_PX, 2, KERNEL_PX // 2)
    weight = layer.weight.swapaxes(0, 1) if is_transposed else layer.weight
    found = nn.ConvTranspose2d(*sizes, output_padding=1) if is_transposed else nn.Conv2d(*sizes)
    found.load_state_dict({"weight": _tensor(weight), "bias": _tensor(layer.bias)})
    return found


class _Gdn(nn.Module):
    """What `Normalisation` describes, in place."""

    beta: Tensor
    gamma: Tensor

    def __init__(self, norm: Normalisation, kind: str, is_inverse: bool) -> None:
        super().__init__()
        self.register_buffer("beta", _tensor(norm.beta))
        self.register_buffer("gamma", _tensor(norm.gamma[:, :, None, None]))
        self._is_squared, self._is_inverse = kind == "gdn", is_inverse

    def forward(self, values: Tensor) -> Tensor:
        """Return the values, normalised."""
        if self._is_squared:
            norms = functional.conv2d(values * values, self.gamma, self.beta).sqrt_()
        else:
            norms = functional.conv2d(values.abs(), self.gamma, self.beta)
        return values.mul_(norms) if self._is_inverse else values.div_(norms)


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def as_torch(model: Model) -> dict[str, Tensor]:
    """Return the tensors for torch; half precision becomes float32."""
    found = {name: _tensor(tensor) for name, tensor in model.tensors.items()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}


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
