"""The transforms of a factorised prior in LiteRT, on the CPU: a tile at a time, in any number of threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.neural.graph import Graph, Value, Weights
from wsicomp.codecs.neural.layers import ANALYSIS, KERNEL_PX, SAMPLES, SYNTHESIS, Layer, read_layers
from wsicomp.codecs.neural.model import Model
from wsicomp.codecs.neural.networks import Latents, Transforms
from wsicomp.concurrency.forks import ForkLock
from wsicomp.concurrency.interpreters import start_interpreter
from wsicomp.slide import Pixels

_MOST_KEPT_PX = 512 * 512
"""The largest picture whose interpreters are kept for the next one: each holds 120 MB then."""
_MOST_KEPT_SHAPES = 4
_LATENT_PX = 16

Shape = tuple[int, ...]


def litert_transforms(model: Model) -> Transforms:
    """Return the transforms of a factorised prior, ready to run.

    Raises:
        ValueError: the tensors do not fit each other or the card.
        LookupError: a tensor or a setting is missing.
    """
    decoder = read_layers(model, SYNTHESIS)
    synthesis = _Interpreters(lambda shape: synthesis_graph(decoder, shape), _MOST_KEPT_PX // _LATENT_PX**2)

    def synthesise(latents: Latents) -> Pixels:
        return np.stack([synthesis.run(item) for item in latents.transpose(0, 2, 3, 1)])

    if not model.can_encode:
        return Transforms(None, synthesise)
    encoder = read_layers(model, ANALYSIS)
    analysis = _Interpreters(lambda shape: analysis_graph(encoder, shape), _MOST_KEPT_PX)

    def analyse(pictures: Pixels) -> Latents:
        found: Latents = np.stack([analysis.run(item) for item in pictures]).transpose(0, 3, 1, 2)
        return found

    return Transforms(analyse, synthesise)


def analysis_graph(layers: Sequence[Layer], shape: Shape) -> bytes:
    """Return the graph from a picture of (rows, columns, 3) to its latents."""
    graph = Graph()
    values = graph.pictures((1, *shape))
    for layer in layers:
        weights = layer.weight.transpose(0, 2, 3, 1)
        padded = graph.padded(values, KERNEL_PX // 2, KERNEL_PX // 2 - 1)
        values = graph.convolved(padded, weights, layer.bias, stride=2, is_padded=False)
        values = _followed(graph, values, layer, "DIV")
    return graph.to_bytes(values)


def synthesis_graph(layers: Sequence[Layer], shape: Shape) -> bytes:
    """Return the graph from latents of (rows, columns, channels) to their picture."""
    graph = Graph()
    values = graph.values((1, *shape))
    for layer in layers:
        enlarge = _enlarged_at_once if len(layer.weight) == SAMPLES else _enlarged
        values = _followed(graph, enlarge(graph, values, layer), layer, "MUL")
    return graph.to_bytes(graph.as_levels(values))


def _followed(graph: Graph, values: Value, layer: Layer, change: str) -> Value:
    """Return values after what follows the layer's convolution."""
    if layer.norm is None:
        return graph.each("RELU", values) if layer.kind == "relu" else values
    is_squared = layer.kind == "gdn"
    sizes = graph.each("MUL", values, values) if is_squared else graph.each("ABS", values)
    norms = graph.convolved(sizes, layer.norm.gamma[:, None, None, :], layer.norm.beta)
    return graph.each(change, values, graph.each("SQRT", norms) if is_squared else norms)


def _enlarged(graph: Graph, values: Value, layer: Layer) -> Value:
    """Return a transposed convolution with stride 2.

    Each of the four pixels that become of one is a convolution of its own, with those weights of the 25 that
    reach it: LiteRT's own takes five times as long.
    """
    kernels = _kernels(layer)
    lines = [
        graph.joined(
            [
                graph.convolved(values, kernels[row, column, :, row:, column:], layer.bias)
                for column in (0, 1)
            ],
            axis=3,
        )
        for row in (0, 1)
    ]
    items, rows, columns, _ = values.shape
    return graph.reshaped(graph.joined(lines, axis=2), (items, 2 * rows, 2 * columns, len(layer.weight)))


def _enlarged_at_once(graph: Graph, values: Value, layer: Layer) -> Value:
    """Return a transposed convolution with stride 2 that has few outputs: four convolutions in one."""
    kernels = _kernels(layer)
    weights = kernels.reshape(-1, *kernels.shape[3:])
    return graph.spread(graph.convolved(values, weights, np.tile(layer.bias, 4)))


def _kernels(layer: Layer) -> Weights:
    """Return the 3 x 3 kernels of each of four pixels: (2, 2, outputs, 3, 3, inputs).

    Those of lower pixels have only zeros in their first row, those of right ones in their first column.
    """
    outputs, inputs = layer.weight.shape[:2]
    found = np.zeros((2, 2, outputs, 3, 3, inputs), np.float32)
    for row, column, down, right in itertools.product((0, 1), (0, 1), (-1, 0, 1), (-1, 0, 1)):
        y, x = row + 2 - 2 * down, column + 2 - 2 * right
        if y < KERNEL_PX and x < KERNEL_PX:
            found[row, column, :, down + 1, right + 1] = layer.weight[:, :, y, x]
    return found


class _Interpreters:
    """Interpreters of one transform, for every shape of its input as many as threads need at a time.

    `graph` returns the model for a shape. Inputs of more than `most_kept` places share none: their
    interpreters would hold too much memory.
    """

    def __init__(self, graph: Callable[[Shape], bytes], most_kept: int) -> None:
        self._graph, self._most_kept = graph, most_kept
        self._idle: dict[Shape, list[_Interpreter]] = {}
        self._lock = ForkLock(self)

    def renew(self) -> None:
        """Forget the interpreters of the parent process."""
        self._idle = {}

    def run(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what becomes of (rows, columns, channels).

        Raises:
            RuntimeError: LiteRT cannot run the model.
        """
        with self._lock:
            idle = self._idle.get(values.shape)
            found = idle.pop() if idle else None
        found = found or _Interpreter(self._graph(values.shape))
        result = found.run(values)
        if values.shape[0] * values.shape[1] <= self._most_kept:
            self._keep(values.shape, found)
        return result

    def _keep(self, shape: Shape, found: _Interpreter) -> None:
        with self._lock:
            kept = [found, *self._idle.pop(shape, [])]
            self._idle = dict(itertools.islice(self._idle.items(), 0, _MOST_KEPT_SHAPES - 1))
            self._idle = {shape: kept, **self._idle}


class _Interpreter:
    def __init__(self, model: bytes) -> None:
        try:
            self._interpreter = start_interpreter(model, 1)
        except ValueError as exc:
            raise RuntimeError(str(exc)) from exc
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def run(self, values: NDArray[Any]) -> NDArray[Any]:
        self._interpreter.set_tensor(self._input, values[None])
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output)[0])
