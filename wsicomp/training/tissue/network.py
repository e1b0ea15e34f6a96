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

    The channels of its output are glass and tissue. Rows and columns are multiples of 2 to the number of
    blocks.
    """
    inputs = keras.Input((None, None, 3), name="rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    if settings.halved:
        x = layers.Conv2D(settings.filters[0], 4, strides=2, padding="same")(x)
    norm = settings.norm_momentum
    across = []
    for filters in settings.filters:
        x = _block(x, filters, norm)
        across.append(x)
        x = layers.MaxPooling2D()(x)
    x = _block(x, settings.bottom, norm)
    for height, filters in reversed(tuple(enumerate(settings.filters))):
        x = layers.Concatenate()([layers.UpSampling2D()(x), across[height]])
        x = _block(x, filters, norm if height < settings.normalised_expanding else None)
    x = layers.Conv2D(2, 1)(x)
    if settings.halved:
        x = layers.UpSampling2D(interpolation="bilinear")(x)
    return keras.Model(inputs, layers.Softmax(name="glass_tissue", dtype="float32")(x), name="tissue_unet")


def _block(x: Any, filters: int, norm_momentum: float | None) -> Any:
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same")(x)
        if norm_momentum is not None:
            x = layers.BatchNormalization(momentum=norm_momentum)(x)
        x = layers.ReLU()(x)
    return x


def dice_loss(target: Any, predicted: Any) -> Any:
    """Return 1 - Dice of tissue over the batch. Pixels that do not score are left out.

    `target` is (batch, rows, columns) of `labels.targets`; `predicted` is the network's output.
    """
    scored = ops.cast(target != UNSCORED_TARGET, "float32")
    tissue = ops.cast(target == 1, "float32")
    found = predicted[..., 1] * scored
    both = ops.sum(found * tissue)
    return 1 - (2 * both + 1) / (ops.sum(found) + ops.sum(tissue) + 1)


def dice_crossentropy_loss(target: Any, predicted: Any) -> Any:
    """Return the Dice loss plus the mean cross-entropy, which has a gradient on glass alone too."""
    scored = ops.cast(target != UNSCORED_TARGET, "float32")
    probability = ops.where(ops.equal(target, 1), predicted[..., 1], predicted[..., 0])
    surprise = -ops.log(ops.clip(probability, 1e-6, 1.0)) * scored
    return dice_loss(target, predicted) + ops.sum(surprise) / (ops.sum(scored) + 1)


def loss_named(name: str) -> Any:
    """Return the loss function that a setting names."""
    return {"dice": dice_loss, "dice+crossentropy": dice_crossentropy_loss}[name]
