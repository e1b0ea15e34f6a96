"""wsicomp makes whole-slide images small without anyone losing a diagnosis.

What is public is loaded when it is first asked for: a command can answer a signal from its first moment on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsicomp.version import __version__

if TYPE_CHECKING:
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
        OtherSlideError,
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
    from wsicomp.openslide_api import (
        SlideAccessError,
        SlideArgumentError,
        SlideClosedError,
        SlideFormatError,
        SlideIsADirectoryError,
        SlideNotADirectoryError,
        SlideNotFoundError,
        SlidePermissionError,
        SlideUnsupportedError,
        TileCache,
        WsicompSlide,
        open_slide,
    )
    from wsicomp.outcome import ConversionReport
    from wsicomp.pyramid.problems import Problem
    from wsicomp.restore import RestoreReport, restore_slide

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
    "OtherSlideError",
    "Problem",
    "RestoreReport",
    "SlideAccessError",
    "SlideArgumentError",
    "SlideClosedError",
    "SlideFormatError",
    "SlideIsADirectoryError",
    "SlideNotADirectoryError",
    "SlideNotFoundError",
    "SlidePermissionError",
    "SlideReadError",
    "SlideUnsupportedError",
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

_HOMES = {
    "wsicomp.config": ("ConversionConfig",),
    "wsicomp.convert": (
        "convert_slide",
        "plan_slide",
    ),
    "wsicomp.errors": (
        "CodecUnavailableError",
        "ConfigError",
        "DamagedTileError",
        "KeptError",
        "LedgerError",
        "MaskError",
        "MissingExtraError",
        "OtherSlideError",
        "SlideReadError",
        "SlideWriteError",
        "SourceChangedError",
        "TargetBusyError",
        "TargetExistsError",
        "TileReadError",
        "TrainingError",
        "UnknownCodecError",
        "UnknownModelError",
        "UnsupportedSlideError",
        "VerificationError",
        "WeightsError",
        "WsicompError",
    ),
    "wsicomp.openslide_api": (
        "SlideAccessError",
        "SlideArgumentError",
        "SlideClosedError",
        "SlideFormatError",
        "SlideIsADirectoryError",
        "SlideNotADirectoryError",
        "SlideNotFoundError",
        "SlidePermissionError",
        "SlideUnsupportedError",
        "TileCache",
        "WsicompSlide",
        "open_slide",
    ),
    "wsicomp.outcome": ("ConversionReport",),
    "wsicomp.pyramid.problems": ("Problem",),
    "wsicomp.restore": (
        "RestoreReport",
        "restore_slide",
    ),
}


def __getattr__(name: str) -> Any:
    """A public name, from the module where it is at home."""
    for module, names in _HOMES.items():
        if name in names:
            found = getattr(import_module(module), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """All names, loaded or not."""
    return sorted({*globals(), *__all__})
