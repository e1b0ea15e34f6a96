"""The U-Net and its losses in Keras, on any backend.

Source: the study whose method this follows; U-Net: Ronneberger et al., MICCAI 2015.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from wsicomp.training.data.labels import UNSCORED_TARGET
from wsicomp.training.tissue.settings import NetworkSettings


def build_unet(settings: NetworkSettings) -> keras.Model:
    """Build a network from (batch, rows, columns, 3) RGB, 0 to 255, to (batch, rows, columns, 2) softmax.

    The channels of its output are glass and tissue; its rows and columns are those of the input by
    `mask_stride`. Rows and columns of the input are multiples of 2 to the number of halvings and blocks.
    """
    inputs = keras.Input((None, None, 3), name="rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    norm = settings.norm_momentum
    for left in reversed(range(settings.halvings)):
        x = layers.Conv2D(settings.filters[0] >> left, 4, strides=2, padding="same")(x)
        if settings.normalised_stem:
            x = _activated(x, norm)
    across = []
    for filters in settings.filters:
        x = _block(x, filters, norm, 2)
        across.append(x)
        x = layers.MaxPooling2D()(x)
    x = _block(x, settings.bottom, norm, 2)
    for height, filters in reversed(tuple(enumerate(settings.filters))):
        x = layers.Concatenate()([layers.UpSampling2D()(x), across[height]])
        is_normalised = height < settings.normalised_expanding
        x = _block(x, filters, norm if is_normalised else None, settings.expanding_depth)
    x = layers.Conv2D(2, 1)(x)
    if settings.stride > settings.mask_stride:
        x = layers.UpSampling2D(settings.stride // settings.mask_stride, interpolation="bilinear")(x)
    return keras.Model(inputs, layers.Softmax(name="glass_tissue", dtype="float32")(x), name="tissue_unet")


def _block(x: Any, filters: int, norm_momentum: float | None, depth: int) -> Any:
    for _ in range(depth):
        x = _activated(layers.Conv2D(filters, 3, padding="same")(x), norm_momentum)
    return x


def _activated(x: Any, norm_momentum: float | None) -> Any:
    if norm_momentum is not None:
        x = layers.BatchNormalization(momentum=norm_momentum)(x)
    return layers.ReLU()(x)


def dice_loss(target: Any, predicted: Any) -> Any:
    """Return 1 - Dice of tissue over the batch. Pixels that do not score are left out.

    `target` is (batch, rows, columns) of `labels.targets`; `predicted` is the network's output.
    """
    scored, tissue = _scored(target)
    found = predicted[..., 1] * scored
    both = ops.sum(found * tissue)
    return 1 - (2 * both + 1) / (ops.sum(found) + ops.sum(tissue) + 1)


def dice_crossentropy_loss(target: Any, predicted: Any) -> Any:
    """Return the Dice loss plus the mean cross-entropy, which has a gradient on glass alone too."""
    scored, tissue = _scored(target)
    logs = ops.log(ops.clip(predicted, 1e-6, 1.0))
    surprise = -(tissue * logs[..., 1] + (1 - tissue) * logs[..., 0]) * scored
    return dice_loss(target, predicted) + ops.sum(surprise) / (ops.sum(scored) + 1)


def _scored(target: Any) -> tuple[Any, Any]:
    """Return 1 where a target scores, else 0, and the share of tissue, 0 where it does not score."""
    scored = ops.cast(target < UNSCORED_TARGET, "float32")
    return scored, ops.cast(target, "float32") * scored


def loss_named(name: str) -> Any:
    """Return the loss function that a setting names."""
    return {"dice": dice_loss, "dice+crossentropy": dice_crossentropy_loss}[name]
