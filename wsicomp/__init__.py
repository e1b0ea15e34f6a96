"""wsicomp makes whole-slide images small without anyone losing a diagnosis."""

from wsicomp.config import ConversionConfig
from wsicomp.convert import convert_slide, plan_slide
from wsicomp.errors import (
    CodecUnavailableError,
    ConfigError,
    MaskError,
    MissingExtraError,
    SlideReadError,
    SlideWriteError,
    TargetExistsError,
    TileReadError,
    TrainingError,
    UnknownCodecError,
    UnsupportedSlideError,
    VerificationError,
    WeightsError,
    WsicompError,
)
from wsicomp.outcome import ConversionReport
from wsicomp.pyramid.verify import Problem
from wsicomp.version import __version__

__all__ = [
    "CodecUnavailableError",
    "ConfigError",
    "ConversionConfig",
    "ConversionReport",
    "MaskError",
    "MissingExtraError",
    "Problem",
    "SlideReadError",
    "SlideWriteError",
    "TargetExistsError",
    "TileReadError",
    "TrainingError",
    "UnknownCodecError",
    "UnsupportedSlideError",
    "VerificationError",
    "WeightsError",
    "WsicompError",
    "__version__",
    "convert_slide",
    "plan_slide",
]
