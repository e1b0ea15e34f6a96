"""A small 2.5D U-Net in Keras, on any backend: three neighbouring slices in, classes of the middle one out.

It works at half the size of a slice, behind a convolution of stride 2, and a transposed one brings its result
back to full size: a quarter of the time for nearly the same Dice. Source: U-Net: Ronneberger et al., MICCAI
2015; Dice + cross-entropy as nnU-Net has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

NEIGHBOURS = 3
"""Slices that the network sees at a time."""


def build_slice_unet(filters: Sequence[int], classes: int) -> keras.Model:
    """Build a network from (batch, rows, columns, 3) float32 to (batch, rows, columns, classes) softmax.

    Rows and columns are multiples of 2 to the number of `filters`.
    """
    inputs = keras.Input((None, None, NEIGHBOURS), name="slices")
    x = layers.Conv2D(filters[0], 4, strides=2, padding="same")(inputs)
    across = []
    for count in filters[:-1]:
        x = _block(x, count)
        across.append(x)
        x = layers.MaxPooling2D()(x)
    x = _block(x, filters[-1])
    for count in reversed(filters[:-1]):
        x = layers.Concatenate()([layers.UpSampling2D()(x), across.pop()])
        x = _block(x, count)
    x = layers.Conv2DTranspose(classes, 4, strides=2, padding="same")(x)
    return keras.Model(inputs, layers.Softmax(name="classes")(x), name="slice_unet")


def _block(x: Any, filters: int) -> Any:
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return x


def class_loss(target: Any, predicted: Any) -> Any:
    """Return 1 - the mean Dice of all classes over the batch, plus the mean cross-entropy.

    `target` is (batch, rows, columns) class numbers, `predicted` the network's output.
    """
    truth = ops.one_hot(ops.cast(target, "int32"), predicted.shape[-1], dtype="float32")
    both, either = ops.sum(truth * predicted, (0, 1, 2)), ops.sum(truth + predicted, (0, 1, 2))
    surprise = -ops.sum(truth * ops.log(ops.clip(predicted, 1e-6, 1.0)), -1)
    return 1 - ops.mean((2 * both + 1) / (either + 1)) + ops.mean(surprise)
