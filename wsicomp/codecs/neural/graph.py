"""A graph of convolutions as a LiteRT model, whose bytes are written here.

LiteRT only runs models; what makes them is TensorFlow, which nobody should need to read a slide. Its format
is a FlatBuffer, of which LiteRT brings the schema.

Source: TensorFlow's schema.fbs, version 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

Weights = NDArray[np.float32]

_VERSION, _IDENTIFIER = 3, b"TFL3"
_ROOM_BYTES = 1 << 16
"""Bytes for everything but weights; the builder doubles what it lacks."""
_OLD_CODES = 127
"""Where operators' codes end in the field of old readers."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph."""

    number: int
    """Its place among the graph's tensors."""
    shape: tuple[int, ...]
    """Of pictures and latents: items, rows, columns, channels."""


class Graph:
    """A graph in the making, from one input to one output. Values are float32 between the two."""

    def __init__(self) -> None:
        self._graph: Any = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._buffers: list[Any] = [schema.BufferT()]  # the first is that of tensors without constants
        self._codes: dict[int, int] = {}

    def pictures(self, shape: Sequence[int]) -> Value:
        """Return the graph's input, levels from 0 to 255, as values in [0, 1]."""
        levels = self._levels(shape)
        self._graph.inputs = [levels.number]
        return self._operator("DEQUANTIZE", [levels], levels.shape)

    def values(self, shape: Sequence[int]) -> Value:
        """Return the graph's input of values."""
        found = self._tensor(shape)
        self._graph.inputs = [found.number]
        return found

    def as_levels(self, values: Value) -> Value:
        """Return values as levels: 0 to 255 for [0, 1], rounded and clipped."""
        levels = self._levels(values.shape)
        self._operator("QUANTIZE", [values], values.shape, levels)
        return levels

    def convolved(
        self, values: Value, weights: Weights, bias: Weights, stride: int = 1, is_padded: bool = True
    ) -> Value:
        """Return a convolution; `weights` are (outputs, rows, columns, inputs).

        A padded one with stride 1 is as large as its input: around a kernel with an even side there is one
        place more after it than before.
        """
        items, *sides, _ = values.shape
        lost = (0, 0) if is_padded else (weights.shape[1] - 1, weights.shape[2] - 1)
        rows, columns = (-(-(side - less) // stride) for side, less in zip(sides, lost, strict=True))
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.SAME if is_padded else schema.Padding.VALID
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        parts = [values, self._constant(weights), self._constant(bias)]
        return self._operator("CONV_2D", parts, (items, rows, columns, len(weights)), options=options)

    def padded(self, values: Value, before: int, after: int) -> Value:
        """Return values with so many rows and columns of zeros before and after them."""
        items, rows, columns, channels = values.shape
        sides = self._constant(np.array([[0, 0], [before, after], [before, after], [0, 0]], np.int32))
        more = before + after
        return self._operator("PAD", [values, sides], (items, rows + more, columns + more, channels))

    def each(self, operation: str, *values: Value) -> Value:
        """Return an operation on each element: ABS, DIV, MUL, RELU or SQRT."""
        return self._operator(operation, values, values[0].shape)

    def joined(self, parts: Sequence[Value], axis: int) -> Value:
        """Return values behind each other along an axis."""
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        return self._operator("CONCATENATION", parts, shape, options=options)

    def reshaped(self, values: Value, shape: Sequence[int]) -> Value:
        """Return the same values in another shape."""
        return self._operator("RESHAPE", [values, self._constant(np.array(shape, np.int32))], shape)

    def spread(self, values: Value) -> Value:
        """Return pictures of twice the sides.

        A quarter of the channels each make upper left, upper right, lower left and lower right pixels.
        """
        items, rows, columns, channels = values.shape
        options = schema.DepthToSpaceOptionsT()
        options.blockSize = 2
        shape = (items, 2 * rows, 2 * columns, channels // 4)
        return self._operator("DEPTH_TO_SPACE", [values], shape, options=options)

    def to_bytes(self, output: Value) -> bytes:
        """Return the graph as a model."""
        self._graph.outputs = [output.number]
        model: Any = schema.ModelT()
        model.version, model.subgraphs, model.buffers = _VERSION, [self._graph], self._buffers
        model.operatorCodes = [self._code(code) for code in self._codes]
        room = sum(buffer.data.nbytes for buffer in self._buffers[1:]) + _ROOM_BYTES
        builder = flatbuffers.Builder(room)
        builder.Finish(model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _code(self, code: int) -> Any:
        found: Any = schema.OperatorCodeT()
        found.builtinCode, found.deprecatedBuiltinCode, found.version = code, min(code, _OLD_CODES), 1
        return found

    def _levels(self, shape: Sequence[int]) -> Value:
        found = self._tensor(shape, schema.TensorType.UINT8)
        scale: Any = schema.QuantizationParametersT()
        scale.scale, scale.zeroPoint = np.array([1 / 255], np.float32), np.array([0], np.int64)
        self._graph.tensors[found.number].quantization = scale
        return found

    def _constant(self, data: NDArray[Any]) -> Value:
        kinds = {"f": schema.TensorType.FLOAT32, "i": schema.TensorType.INT32}
        found = self._tensor(data.shape, kinds[data.dtype.kind])
        buffer: Any = schema.BufferT()
        buffer.data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        self._graph.tensors[found.number].buffer = len(self._buffers)
        self._buffers.append(buffer)
        return found

    def _tensor(self, shape: Sequence[int], kind: int = schema.TensorType.FLOAT32) -> Value:
        tensor: Any = schema.TensorT()
        tensor.shape, tensor.type = list(shape), kind
        self._graph.tensors.append(tensor)
        return Value(len(self._graph.tensors) - 1, tuple(shape))

    def _operator(
        self,
        name: str,
        inputs: Sequence[Value],
        shape: Sequence[int],
        output: Value | None = None,
        options: Any = None,
    ) -> Value:
        output = self._tensor(shape) if output is None else output
        operator: Any = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(getattr(schema.BuiltinOperator, name), len(self._codes))
        operator.inputs, operator.outputs = [each.number for each in inputs], [output.number]
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self._graph.operators.append(operator)
        return output
