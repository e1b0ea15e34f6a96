"""Networks: from a model's tensors to an object that turns pixels into strings and back.

A `Network` has four parts. `analyse` and `synthesise` are floating-point transforms that run on any device.
`write` and `read` turn latents into strings and back, in integers or exact arithmetic on the CPU, so that a
string written on one machine reads the same on any other. All take and give NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.neural.entropy import Integers
from wsicomp.codecs.neural.model import Model, read_tables
from wsicomp.errors import WeightsError
from wsicomp.slide import Pixels

Latents = NDArray[np.float32]
"""What a picture is to a network, (items, channels, rows, columns)."""

Encoder = TypeVar("Encoder")


class Network(Protocol):
    """A model ready to run. Pictures are (items, rows, columns, 3) uint8 RGB."""

    multiple_px: int
    """Sides of pictures must be multiples of this."""

    def analyse(self, pictures: Pixels) -> Latents:
        """Return the latents of pictures, not yet quantised.

        Raises:
            WeightsError: the model has no encoder.
        """

    def write(self, latents: Latents, step: int) -> list[tuple[bytes, ...]]:
        """Return the strings of each item, its latents quantised by a step.

        `step` is the index of the step in the model's list, from 0.
        """

    def read(self, strings: list[tuple[bytes, ...]], size: tuple[int, int], step: int) -> Latents:
        """Return the latents of pictures from their strings; `size` is the pictures' (rows, columns).

        `step` is the index of the step in the model's list, from 0.

        Raises:
            ValueError: the strings are not those of such pictures.
        """

    def rounded(self, latents: Latents, step: int) -> Latents:
        """Return one picture's latents, (channels, rows, columns), as `read` gives them from its strings."""

    def estimated_bytes(self, latents: Latents, step: int) -> float:
        """Return about how many bytes one picture's latents take, within some per cent; 0 if unknown."""

    def synthesise(self, latents: Latents) -> Pixels:
        """Return the pictures of latents."""


@dataclass(frozen=True)
class Transforms:
    """The floating-point transforms of a factorised prior, ready to run on some device."""

    analyse: Callable[[Pixels], Latents] | None
    """From pictures to latents; None of a model without its encoder."""
    synthesise: Callable[[Latents], Pixels]
    """From latents to pictures."""


class FactorizedNetwork:
    """The network bmshj2018-factorized: tables by channel and class for each step.

    Raises:
        ValueError: the tensors do not fit each other or the card.
        LookupError: a tensor is missing.
    """

    multiple_px = 16

    def __init__(self, model: Model, transforms: Transforms) -> None:
        self._transforms = transforms
        self._steps = model.card.steps
        self._medians = model.tensors["medians"].astype(np.float64)[:, None, None]
        self._tables = [read_tables(model.tensors, step) for step in range(len(self._steps))]
        channels = model.tensors["g_s.0.weight"].shape[0]
        if len(self._medians) != channels or any(table.channels != channels for table in self._tables):
            raise ValueError(f"tables of other than {channels} channels")

    def analyse(self, pictures: Pixels) -> Latents:
        return require_encoder(self._transforms.analyse)(pictures)

    def write(self, latents: Latents, step: int) -> list[tuple[bytes, ...]]:
        return [self._tables[step].encode(self._symbols(item, step)) for item in latents]

    def read(self, strings: list[tuple[bytes, ...]], size: tuple[int, int], step: int) -> Latents:
        shape = (size[0] // self.multiple_px, size[1] // self.multiple_px)
        return np.stack([self._values(self._tables[step].decode(item, shape), step) for item in strings])

    def rounded(self, latents: Latents, step: int) -> Latents:
        return self._values(self._symbols(latents, step), step)

    def estimated_bytes(self, latents: Latents, step: int) -> float:
        return self._tables[step].estimated_bytes(self._symbols(latents, step))

    def _symbols(self, latents: Latents, step: int) -> Integers:
        """Return one picture's latents as whole numbers of steps, as they are stored."""
        values = np.rint((latents.astype(np.float64) - self._medians) / self._steps[step])
        return np.asarray(np.clip(values, -(1 << 15), (1 << 15) - 1), np.int32)

    def _values(self, symbols: Integers, step: int) -> Latents:
        return (symbols.astype(np.float64) * self._steps[step] + self._medians).astype(np.float32)

    def synthesise(self, latents: Latents) -> Pixels:
        return self._transforms.synthesise(latents)


def require_encoder(encoder: Encoder | None) -> Encoder:
    """Return the encoder of a model.

    Raises:
        WeightsError: the model has no encoder.
    """
    if encoder is None:
        raise WeightsError(
            "has no encoder, like the decoders that slides carry; to encode, name the whole model"
        )
    return encoder
