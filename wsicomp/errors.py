"""The errors that wsicomp raises on purpose, so that one `except WsicompError` catches them all.

    WsicompError
    ├── ConfigError (ValueError)              an option or a preset that cannot be followed
    │   └── LossNotAskedError                 a conversion with loss, where no lossy codec was named
    ├── MaskError (ValueError)                a mask file that does not describe this slide
    ├── SlideReadError (OSError)              a source that cannot be read
    │   ├── UnsupportedSlideError             a readable image that is not 8-bit bright field in tiles
    │   ├── SourceChangedError                a source with a file that changed while it was read
    │   ├── TileReadError                     a tile that cannot be decoded
    │   │   └── DamagedTileError              a tile that decodes only in part
    │   └── SlideAccessError (OpenSlideError) an error of `wsicomp.open_slide`
    │       ├── SlideClosedError              a slide used after it was closed
    │       └── SlideUnsupportedError (OpenSlideUnsupportedFormatError) a path that is no slide
    │           ├── SlideFormatError (UnidentifiedImageError) neither slide nor picture
    │           ├── SlideNotFoundError (FileNotFoundError)
    │           ├── SlideIsADirectoryError (IsADirectoryError)
    │           ├── SlideNotADirectoryError (NotADirectoryError)
    │           └── SlidePermissionError (PermissionError)
    ├── VolumeReadError (OSError)             a volume that cannot be read
    │   └── UnsupportedVolumeError            a readable file that is no volume of one value a voxel
    ├── SlideArgumentError (ArgumentError, TypeError) an argument of the wrong type of `wsicomp.open_slide`
    ├── SlideWriteError (OSError)             a target that cannot be written
    │   └── TargetExistsError                 a target that exists
    │       ├── TargetBusyError               a target that another run is writing
    │       └── OtherSlideError               a target made from another slide, perhaps its only copy
    ├── UnknownCodecError (LookupError)       a codec name that is not in the registry
    ├── CodecUnavailableError (ImportError)   a codec whose library cannot be loaded
    ├── MissingExtraError (ImportError)       a command whose libraries are in an extra not installed
    ├── UnknownModelError (LookupError)       a codec's model that is not on this machine
    ├── WeightsError (ValueError)             a trained network that is not what its manifest says
    ├── LedgerError (OSError)                 a batch's ledger that cannot be read or written
    ├── KeptError                             a source that a batch was to remove, and that stays
    ├── TrainingError (ValueError)            labels or patches that nothing can be trained with
    ├── NothingGainedError                    a conversion that is larger than its source, and not wanted
    └── VerificationError                     a written file that differs from its plan or its source

A message names the file, the place in it, what was found, what was expected and what to do.
"""

from __future__ import annotations

import os
from typing import Any

from wsicomp.text.escaping import printable


class WsicompError(Exception):
    """The root of all errors: a message in one line, with the file and the place in it where known."""

    def __init__(
        self, message: str, path: str | os.PathLike[str] | None = None, place: str | None = None
    ) -> None:
        self.message = message
        self.path = None if path is None else os.fsdecode(path)
        self.place = place
        super().__init__(message)

    def __str__(self) -> str:
        parts = [self.path, *(part and " ".join(part.split()) for part in (self.place, self.message))]
        return ": ".join(printable(part) for part in parts if part)

    def __reduce__(self) -> tuple[type[WsicompError], tuple[str, str | None, str | None]]:
        return type(self), (self.message, self.path, self.place)


class ConfigError(WsicompError, ValueError):
    """An option, or a combination of options, that cannot be followed."""


class LossNotAskedError(ConfigError):
    """A conversion that would lose something of tissue, where nobody has named a codec that does."""


class MaskError(WsicompError, ValueError):
    """A tissue mask that cannot be read or does not describe this slide."""


class SlideReadError(WsicompError, OSError):
    """A slide that cannot be opened or read."""


class UnsupportedSlideError(SlideReadError):
    """A well-formed image that is not an 8-bit bright-field slide in tiles."""

    kind: object = None


class SourceChangedError(SlideReadError):
    """A slide with a file that changed while it was read."""


class TileReadError(SlideReadError):
    """A tile that cannot be decoded; `place` names it."""


class DamagedTileError(TileReadError):
    """A tile that decodes only in part.

    `pixels` holds that part; None in another process.
    """

    pixels: Any = None


class VolumeReadError(WsicompError, OSError):
    """A volume that cannot be opened or read, or whose bytes are not those that were written."""


class UnsupportedVolumeError(VolumeReadError):
    """A well-formed file that is no volume of 3 or 4 dimensions with one value a voxel."""


class SlideWriteError(WsicompError, OSError):
    """A target that cannot be written, or mounted at, or that may not survive a power cut."""


class TargetExistsError(SlideWriteError):
    """A target that exists and was not to be replaced."""


class TargetBusyError(TargetExistsError):
    """A target that another run is writing now."""


class OtherSlideError(TargetExistsError):
    """A target that was made from another slide than the one to convert; it may be that slide's only copy."""


class UnknownCodecError(WsicompError, LookupError):
    """A codec name that the registry does not know; the message has the name that was meant."""


class CodecUnavailableError(WsicompError, ImportError):
    """A known codec whose library is missing or cannot be loaded; the message has the pip command."""


class VerificationError(WsicompError):
    """A converted file that failed its check before it got the target's name."""


class NothingGainedError(WsicompError):
    """A conversion that is larger than its source, where that is to fail; nothing was written."""


class MissingExtraError(WsicompError, ImportError):
    """A command whose libraries are in an extra that is not installed; the message has the pip command."""


class UnknownModelError(WsicompError, LookupError):
    """A codec's model that is not on this machine.

    The message has its name, its hash and the folders that were searched.
    """


class WeightsError(WsicompError, ValueError):
    """Weights that are missing, damaged, tampered with, or made for something else."""


class LedgerError(WsicompError, OSError):
    """A batch's ledger that cannot be read or written, or that another batch holds."""


class KeptError(WsicompError):
    """A source that a batch was to remove, and that stays; the message says why."""


class TrainingError(WsicompError, ValueError):
    """A table, a patch set or an option that nothing can be trained or measured with."""
