"""Digests of conversions: by which a finished one is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import cast

from wsicomp.codecs.base import ModelCodec
from wsicomp.codecs.registry import create_codec
from wsicomp.config import ConversionConfig
from wsicomp.formats.identity import file_sha256, identify
from wsicomp.progress import StageProgress, no_progress
from wsicomp.slide import Slide
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights
from wsicomp.version import SOFTWARE


def expected_digest(
    slide: Slide, config: ConversionConfig, progress: StageProgress = no_progress
) -> tuple[str, str]:
    """The digest that a conversion's plan would have, and the source's SHA-256, before a pixel is read.

    Raises:
        SlideReadError, WeightsError: as `prepare`.
    """
    sha256 = identify(slide, config, progress).sha256
    return digest_by(config, sha256), sha256


def digest_by(config: ConversionConfig, sha256: str) -> str:
    """The digest that a conversion of the source of this SHA-256 has.

    Raises:
        WeightsError: as `prepare`.
    """
    codec = model_codec(config)
    model = None if codec is None else codec.describe()
    return conversion_digest(sha256, config, tissue_sha256(config), model)


def settings_digest(config: ConversionConfig) -> str:
    """SHA-256 over all but the source that a user chose: options, mask or network, model.

    Raises:
        UnknownModelError, CodecUnavailableError, WeightsError: what was chosen is not here.
    """
    codec = model_codec(config)
    model = None if codec is None else codec.describe()
    facts = [tissue_sha256(config), model, config.lasting()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def model_codec(config: ConversionConfig) -> ModelCodec | None:
    """The codec, if it has a model."""
    if not config.codec.needs_model:
        return None
    return cast(ModelCodec, create_codec(config.codec.name, config.codec.options))


def tissue_sha256(config: ConversionConfig) -> str | None:
    """The digest of the file that decides what tissue is: the mask, or the network."""
    if config.tissue.mask is not None:
        return file_sha256(config.tissue.mask)
    if config.glass.fill == "keep" or config.tissue.segmenter != "unet":
        return None
    return load_weights(config.tissue.weights or SHIPPED).sha256


def conversion_digest(
    source_sha256: str,
    config: ConversionConfig,
    tissue_sha256: str | None,
    model: Mapping[str, object] | None = None,
) -> str:
    """SHA-256 over all that shapes the target's bytes: source, choices, software, mask or network, model."""
    facts = [SOFTWARE, source_sha256, tissue_sha256, model, config.lasting()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
