"""Run models: pixels to latents and back on a device, in batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from wsicomp.codecs.memory import remembered
from wsicomp.codecs.neural import store
from wsicomp.codecs.neural.build import build_network, cannot_run
from wsicomp.codecs.neural.model import Model
from wsicomp.codecs.neural.networks import Network
from wsicomp.codecs.neural.payload import Payload
from wsicomp.concurrency.forks import ForkLock
from wsicomp.concurrency.threads import batched
from wsicomp.errors import ConfigError
from wsicomp.geometry import Size
from wsicomp.slide import Pixels

DEVICES = ("auto", "cpu", "cuda")
_BATCH_PX = {"cpu": 2 * 256 * 256, "cuda": 64 * 256 * 256}
"""Pixels of a batch: on a CPU no more than its cache holds."""

Item = TypeVar("Item")

_networks: dict[tuple[str, str, str], Network] = {}
_lock = ForkLock()


def chosen_device(name: str = "auto") -> str:
    """Return "cpu" or "cuda".

    "auto" is "cuda" if torch finds a GPU, unless the variable WSICOMP_DEVICE says otherwise.

    Raises:
        ConfigError: no such device exists here.
    """
    if name == "auto":
        name = os.environ.get("WSICOMP_DEVICE", "auto")
    if name not in DEVICES:
        raise ConfigError(f"device is {name!r}, expected one of {', '.join(DEVICES)}")
    if name == "auto":
        # A process that was forked while its parent used the GPU cannot use it.
        return "cuda" if torch.cuda.is_available() and not torch.cuda._is_in_bad_fork() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', and torch finds none here; take auto or cpu")
    return name


def network(model: Model, device: str) -> Network:
    """Return the model ready to run on a device, kept for the next tiles.

    Raises:
        WeightsError: the model's tensors are not those of its architecture.
        SlideReadError: there is no memory for the model.
    """
    key = (model.digest, model.encoder_digest, device)
    with _lock:
        if key not in _networks:
            _networks[key] = build_network(model, device)
        return _networks[key]


def in_batches(items: Sequence[Item], size: Size, device: str) -> Iterator[list[Item]]:
    """Yield the items, one for each tile of one size, in batches that suit the device."""
    return batched(items, max(1, _BATCH_PX[device] // (size.width * size.height)))


def pictures(tiles: Sequence[Pixels], multiple_px: int) -> Tensor:
    """Return tiles of one size as (tiles, 3, rows, columns) in [0, 1], edges repeated up to the multiple."""
    stacked = np.stack(tiles)
    rows, columns = padded(stacked.shape[1:3], multiple_px)
    if (rows, columns) != stacked.shape[1:3]:
        padding = ((0, 0), (0, rows - stacked.shape[1]), (0, columns - stacked.shape[2]), (0, 0))
        stacked = np.pad(stacked, padding, mode="edge")
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float().div_(255)


def padded(shape: tuple[int, ...], multiple_px: int) -> tuple[int, int]:
    """Return rows and columns rounded up to the multiple.

    >>> padded((250, 256), 64)
    (256, 256)
    """
    rows, columns = (-(-side // multiple_px) * multiple_px for side in shape)
    return rows, columns


def pixels_of(decoded: Tensor, size: Size) -> list[Pixels]:
    """Return decoded pictures as tiles of this size, (rows, columns, 3) uint8 RGB."""
    levels = decoded.clamp_(0, 1).mul_(255).round_().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [np.ascontiguousarray(tile[: size.height, : size.width]) for tile in levels]


def decode_payloads(payloads: Sequence[Payload], device: str) -> list[Pixels]:
    """Return the pixels of neural tiles, (rows, columns, 3) uint8 RGB each, in the payloads' order.

    Tiles of one model, size and step run as a batch.

    Raises:
        ValueError: a payload's strings are not those of such a tile.
        UnknownModelError: a tile's model is not on this machine.
        WeightsError: a model's tensors are not those of its architecture.
        SlideReadError: the model cannot run here, for example for want of memory; the tile may be sound.
    """
    return remembered(
        payloads, lambda payload: ("pixels", device, payload), lambda left: _decode_payloads(left, device)
    )


def _decode_payloads(payloads: Sequence[Payload], device: str) -> list[Pixels]:
    found: list[Pixels | None] = [None] * len(payloads)
    alike: dict[tuple[bytes, Size, int], list[int]] = {}
    for number, payload in enumerate(payloads):
        alike.setdefault((payload.model, payload.size, payload.step), []).append(number)
    for (key, size, step), numbers in alike.items():
        model = store.model_of(key)
        net, steps = network(model, device), len(model.card.steps)
        if step >= steps:
            raise ValueError(f"quantisation step {step}, expected 0 to {steps - 1} as the model has")
        for batch in in_batches(numbers, size, device):
            tiles = _decoded(net, [payloads[number].strings for number in batch], size, step)
            for number, tile in zip(batch, tiles, strict=True):
                found[number] = tile
    return [tile for tile in found if tile is not None]


def _decoded(net: Network, strings: list[tuple[bytes, ...]], size: Size, step: int) -> list[Pixels]:
    try:
        with torch.inference_mode():
            latents = net.read(strings, padded(size.shape, net.multiple_px), step)
            return pixels_of(net.synthesise(latents), size)
    except (RuntimeError, MemoryError) as exc:
        raise cannot_run(exc) from exc


def _forget_networks() -> None:
    """Forget the networks in a forked process, which has no GPU.

    Nor has it the threads of torch's pool, for which it would wait for ever if it were to use more than one.
    """
    _networks.clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_networks)
