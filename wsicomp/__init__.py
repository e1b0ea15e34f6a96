"""wsicomp makes whole-slide images small without anyone losing a diagnosis."""

from wsicomp.config import ConversionConfig
from wsicomp.convert import convert_slide, plan_slide
from wsicomp.errors import (
    CodecUnavailableError,
    ConfigError,
    DamagedTileError,
    KeptError,
    LedgerError,
    MaskError,
    MissingExtraError,
    SlideReadError,
    SlideWriteError,
    SourceChangedError,
    TargetBusyError,
    TargetExistsError,
    TileReadError,
    TrainingError,
    UnknownCodecError,
    UnknownModelError,
    UnsupportedSlideError,
    VerificationError,
    WeightsError,
    WsicompError,
)
from wsicomp.openslide_api import SlideAccessError, TileCache, WsicompSlide, open_slide
from wsicomp.outcome import ConversionReport
from wsicomp.pyramid.problems import Problem
from wsicomp.restore import RestoreReport, restore_slide
from wsicomp.version import __version__

__all__ = [
    "CodecUnavailableError",
    "ConfigError",
    "ConversionConfig",
    "ConversionReport",
    "DamagedTileError",
    "KeptError",
    "LedgerError",
    "MaskError",
    "MissingExtraError",
    "Problem",
    "RestoreReport",
    "SlideAccessError",
    "SlideReadError",
    "SlideWriteError",
    "SourceChangedError",
    "TargetBusyError",
    "TargetExistsError",
    "TileCache",
    "TileReadError",
    "TrainingError",
    "UnknownCodecError",
    "UnknownModelError",
    "UnsupportedSlideError",
    "VerificationError",
    "WeightsError",
    "WsicompError",
    "WsicompSlide",
    "__version__",
    "convert_slide",
    "open_slide",
    "plan_slide",
    "restore_slide",
]
