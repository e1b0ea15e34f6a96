"""Make whole-slide images smaller, keep their tissue, and check every tile.

`convert`, `verify`, `restore`, `segment`, `compare` and `view` do what the commands of their names do;
`open_slide` reads the results as OpenSlide does. `ConversionConfig.of` and `ConversionConfig.preset` make the
options. `compress_volume`, `restore_volume`, `verify_volume` and `open_volume` are for volumes of radiology.

What is public is loaded when it is first asked for: a command can answer a signal from its first moment on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsicomp.version import __version__

if TYPE_CHECKING:
    from wsicomp.api import compare, convert, restore, segment, verify
    from wsicomp.comparison import Comparison, ComparisonOptions
    from wsicomp.config import ConversionConfig
    from wsicomp.conversion.convert import convert_slide, plan_slide
    from wsicomp.conversion.report import ConversionReport
    from wsicomp.conversion.restore import RestoreReport, restore_slide
    from wsicomp.errors import (
        CodecUnavailableError,
        ConfigError,
        DamagedTileError,
        KeptError,
        LedgerError,
        LossNotAskedError,
        MaskError,
        MissingExtraError,
        NothingGainedError,
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
        UnsupportedVolumeError,
        VerificationError,
        VolumeReadError,
        WeightsError,
        WsicompError,
    )
    from wsicomp.formats.original_files import open_original
    from wsicomp.mount.mounting import mount_archive, unmount_archive
    from wsicomp.mount.options import MountOptions, TreeOptions
    from wsicomp.mount.web.server import ArchiveServer
    from wsicomp.openslide_api import open_slide
    from wsicomp.openslide_api.cache import TileCache
    from wsicomp.openslide_api.errors import (
        SlideAccessError,
        SlideArgumentError,
        SlideClosedError,
        SlideFormatError,
        SlideIsADirectoryError,
        SlideNotADirectoryError,
        SlideNotFoundError,
        SlidePermissionError,
        SlideUnsupportedError,
    )
    from wsicomp.openslide_api.slide import WsicompSlide
    from wsicomp.verification.problems import Problem
    from wsicomp.verification.verify import Verification
    from wsicomp.viewer.notebook import NotebookView, view
    from wsicomp.volumes.api import open_volume
    from wsicomp.volumes.compress import VolumeReport, compress_volume
    from wsicomp.volumes.config import VolumeConfig
    from wsicomp.volumes.restore import RestoredVolume, restore_volume
    from wsicomp.volumes.verify import VolumeVerification, verify_volume
    from wsicomp.volumes.volume_array import VolumeArray

__all__ = [
    "ArchiveServer",
    "CodecUnavailableError",
    "Comparison",
    "ComparisonOptions",
    "ConfigError",
    "ConversionConfig",
    "ConversionReport",
    "DamagedTileError",
    "KeptError",
    "LedgerError",
    "LossNotAskedError",
    "MaskError",
    "MissingExtraError",
    "MountOptions",
    "NotebookView",
    "NothingGainedError",
    "OtherSlideError",
    "Problem",
    "RestoreReport",
    "RestoredVolume",
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
    "TreeOptions",
    "UnknownCodecError",
    "UnknownModelError",
    "UnsupportedSlideError",
    "UnsupportedVolumeError",
    "Verification",
    "VerificationError",
    "VolumeArray",
    "VolumeConfig",
    "VolumeReadError",
    "VolumeReport",
    "VolumeVerification",
    "WeightsError",
    "WsicompError",
    "WsicompSlide",
    "__version__",
    "compare",
    "compress_volume",
    "convert",
    "convert_slide",
    "mount_archive",
    "open_original",
    "open_slide",
    "open_volume",
    "plan_slide",
    "restore",
    "restore_slide",
    "restore_volume",
    "segment",
    "unmount_archive",
    "verify",
    "verify_volume",
    "view",
]

_HOMES = {
    "ArchiveServer": "wsicomp.mount.web.server",
    "Comparison": "wsicomp.comparison",
    "ComparisonOptions": "wsicomp.comparison",
    "ConversionConfig": "wsicomp.config",
    "ConversionReport": "wsicomp.conversion.report",
    "MountOptions": "wsicomp.mount.options",
    "NotebookView": "wsicomp.viewer.notebook",
    "Problem": "wsicomp.verification.problems",
    "RestoreReport": "wsicomp.conversion.restore",
    "RestoredVolume": "wsicomp.volumes.restore",
    "TileCache": "wsicomp.openslide_api.cache",
    "TreeOptions": "wsicomp.mount.options",
    "Verification": "wsicomp.verification.verify",
    "VolumeArray": "wsicomp.volumes.volume_array",
    "VolumeConfig": "wsicomp.volumes.config",
    "VolumeReport": "wsicomp.volumes.compress",
    "VolumeVerification": "wsicomp.volumes.verify",
    "WsicompSlide": "wsicomp.openslide_api.slide",
    "compare": "wsicomp.api",
    "compress_volume": "wsicomp.volumes.compress",
    "convert": "wsicomp.api",
    "convert_slide": "wsicomp.conversion.convert",
    "mount_archive": "wsicomp.mount.mounting",
    "open_original": "wsicomp.formats.original_files",
    "open_slide": "wsicomp.openslide_api",
    "open_volume": "wsicomp.volumes.api",
    "plan_slide": "wsicomp.conversion.convert",
    "restore": "wsicomp.api",
    "restore_slide": "wsicomp.conversion.restore",
    "restore_volume": "wsicomp.volumes.restore",
    "segment": "wsicomp.api",
    "unmount_archive": "wsicomp.mount.mounting",
    "verify": "wsicomp.api",
    "verify_volume": "wsicomp.volumes.verify",
    "view": "wsicomp.viewer.notebook",
}
"""Where public names are at home that are no errors."""


def __getattr__(name: str) -> Any:
    """A public name, from the module where it is at home."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    errors = import_module("wsicomp.errors")
    home = _HOMES.get(name, "wsicomp.errors" if hasattr(errors, name) else "wsicomp.openslide_api.errors")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return __all__
