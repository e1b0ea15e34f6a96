"""Run models: pixels to latents and back on a device, in batches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wsicomp.codecs.memory import remembered
from wsicomp.codecs.neural import store
from wsicomp.codecs.neural.build import build_network, cannot_run
from wsicomp.codecs.neural.model import Model
from wsicomp.codecs.neural.networks import Latents, Network
from wsicomp.codecs.neural.payload import Payload
from wsicomp.concurrency.forks import ForkLock
from wsicomp.concurrency.threads import batched, let_idle_threads_sleep
from wsicomp.errors import ConfigError
from wsicomp.geometry import Size
from wsicomp.slide import Pixels

DEVICES = ("auto", "cpu", "cuda")
_BATCH_PX = {"cpu": 2 * 256 * 256, "cuda": 64 * 256 * 256}
"""Pixels of a batch: on a CPU no more than its cache holds."""

_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""What the drivers of NVIDIA, of Windows' Linux and of AMD put there."""

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
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return "cpu"
    if find_spec("torch") is None:
        if name == "auto":
            return "cpu"
        raise ConfigError("device is 'cuda', which needs the extra neural: pip install 'wsicomp[neural]'")
    try:
        gpu = _torch().cuda
    except (ImportError, OSError, RuntimeError) as exc:
        if name == "auto":
            return "cpu"
        reason = " ".join(str(exc).split())[:200]
        raise ConfigError(f"device is 'cuda', and torch does not load here ({reason}); take cpu") from exc
    if name == "auto":
        # A process that was forked while its parent used the GPU cannot use it.
        return "cuda" if gpu.is_available() and not gpu._is_in_bad_fork() else "cpu"
    if not gpu.is_available():
        raise ConfigError("device is 'cuda', and torch finds none here; take auto or cpu")
    return "cuda"


def _may_have_gpu() -> bool:
    """Return whether a driver of GPUs is here, so that it pays to import torch, which takes seconds."""
    return any(Path(each).exists() for each in _DRIVERS)


def _torch() -> Any:
    let_idle_threads_sleep()
    return import_module("torch")


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


def pictures(tiles: Sequence[Pixels], multiple_px: int) -> Pixels:
    """Return tiles of one size as (tiles, rows, columns, 3) uint8, edges repeated up to the multiple."""
    stacked = np.stack(tiles)
    rows, columns = padded(stacked.shape[1:3], multiple_px)
    if (rows, columns) == stacked.shape[1:3]:
        return stacked
    padding = ((0, 0), (0, rows - stacked.shape[1]), (0, columns - stacked.shape[2]), (0, 0))
    return np.pad(stacked, padding, mode="edge")


def padded(shape: tuple[int, ...], multiple_px: int) -> tuple[int, int]:
    """Return rows and columns rounded up to the multiple.

    >>> padded((250, 256), 64)
    (256, 256)
    """
    rows, columns = (-(-side // multiple_px) * multiple_px for side in shape)
    return rows, columns


def cropped(decoded: Pixels, size: Size) -> list[Pixels]:
    """Return decoded pictures as tiles of this size, (rows, columns, 3) uint8 RGB."""
    return [np.ascontiguousarray(tile[: size.height, : size.width]) for tile in decoded]


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
        latents = net.read(strings, padded(size.shape, net.multiple_px), step)
    except (RuntimeError, MemoryError) as exc:
        raise cannot_run(exc) from exc
    return synthesised(net, latents, size)


def synthesised(net: Network, latents: Latents, size: Size) -> list[Pixels]:
    """Return the pixels of latents, (rows, columns, 3) uint8 RGB in this size for each item.

    Raises:
        SlideReadError: the model cannot run here, for example for want of memory.
    """
    try:
        return cropped(net.synthesise(latents), size)
    except (RuntimeError, MemoryError) as exc:
        raise cannot_run(exc) from exc


def _forget_networks() -> None:
    """Forget the networks in a forked process, which has no GPU.

    Nor has it the threads of torch's pool, for which it would wait for ever if it were to use more than one.
    """
    _networks.clear()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_networks)
