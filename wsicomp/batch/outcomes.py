"""Outcomes of jobs, and the outcome that an exception stands for."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wsicomp.batch.carried import Carried
from wsicomp.batch.entry import State
from wsicomp.conversion.settings import Settings
from wsicomp.errors import (
    CodecUnavailableError,
    ConfigError,
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
    UnknownModelError,
    UnsupportedSlideError,
    VerificationError,
    WeightsError,
    WsicompError,
)
from wsicomp.progress import Progress
from wsicomp.verification.verify import Verification

GONE, CHANGED, UNREACHED = "source gone", "source changed", "source not reached"

PART = "part of another"
"""The cause of a skip: the file belongs to a slide that another file opens."""

DISK_FULL, REFUSED = "disk full", "target not writable"

BUSY, IN_THE_WAY = "target being written", "target exists"

OTHER_SLIDE, FORGED = "target of another slide", "target is none of ours"

TEMPORARY_CAUSES = (GONE, CHANGED, UNREACHED, DISK_FULL, REFUSED, BUSY, IN_THE_WAY, OTHER_SLIDE)
"""Causes that lie outside of the slide: the next run tries it again without being asked to."""

_CAUSES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((TargetBusyError,), BUSY),
    ((OtherSlideError,), OTHER_SLIDE),
    ((TargetExistsError,), IN_THE_WAY),
    ((SlideWriteError,), REFUSED),
    ((SourceChangedError,), CHANGED),
    ((TileReadError,), "damaged tile"),
    ((SlideReadError,), "unreadable"),
    ((VerificationError,), "failed its check"),
    ((LossNotAskedError,), "would lose pixels of tissue"),
    ((ConfigError, MaskError), "choices do not fit"),
    ((CodecUnavailableError, MissingExtraError, UnknownModelError, WeightsError), "codec or model missing"),
    ((MemoryError,), "out of memory"),
)

_REFUSALS = (
    *(ConfigError, MaskError, UnsupportedSlideError, TargetExistsError),
    *(CodecUnavailableError, MissingExtraError, UnknownModelError),
)
"""Errors that are foreseen. Their line says all there is to know, so that no trace is kept."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Companions:
    """The files of a slide beside the one that opens it, as a proof found them."""

    files: tuple[tuple[str, str], ...] = ()
    """The path of each in the slide's folder, as text, and its `file_fingerprint`."""
    folders: tuple[str, ...] = ()
    """The paths of the folders that are the slide's alone, the outer ones first."""

    @property
    def bytes(self) -> int:
        """Their size."""
        return sum(int(fingerprint.split()[1]) for _, fingerprint in self.files)


@dataclass(frozen=True)
class JobOutcome:
    """The outcome of one job on one slide. Fields of the same name as in `Entry` have the same meaning."""

    state: State
    """What became of the slide."""
    cause: str = ""
    """Why it is not done: one of the fixed words by which failures are grouped."""
    error: str = ""
    """Why it is not done, in one line."""
    trace: str = ""
    """Where an unforeseen error arose."""
    target_sha256: str = ""
    """SHA-256 of the file that was written."""
    target_bytes: int = 0
    """Bytes of the file that was written."""
    target_mtime_ns: int = 0
    """Modification time of the file that was written, in ns."""
    adopted: bool = False
    """Whether the target was there already and was taken on."""
    elapsed_s: float = 0.0
    """Seconds that the worker process took."""
    report: Mapping[str, Any] | None = None
    """The whole `ConversionReport` as JSON values; None if nothing was converted."""
    facts: tuple[str, ...] = ()
    """Of a proof: the `file_fingerprint` of source and target."""
    aside: str = ""
    """What else stood in the target's place, and where it was moved to; "" where nothing did."""
    stale: tuple[str, ...] = ()
    """Those lines of `ConversionJob.stale` whose conversions were made from this very slide."""
    settings: Settings | None = None
    """The settings by which an adopted target was made; None for a target that was made now."""
    carried: Carried | None = None
    """Of a file that was carried as it is: its record for the ledger."""
    target: str = ""
    """The path in its tree of the conversion that is there, as text; a job may choose another one."""
    companions: Companions = Companions()
    """Of a proof: the other files of the source."""
    verification: Verification | None = None
    """What a check of a file alone found; None for every other job."""


class Job(Protocol):
    """Work on one slide that can be sent to another process."""

    @property
    def name(self) -> str:
        """The slide's source, as text."""
        ...

    def run(self, on_progress: Progress) -> JobOutcome:
        """Do the work and return its outcome; only exceptions that end the process are raised."""
        ...


def outcome_of_error(exc: BaseException, source: Path) -> JobOutcome:
    """Return the outcome of a job that raised `exc`; a slide that cannot be converted is skipped."""
    text = f"{type(exc).__name__}: {exc}".rstrip(": ")
    if isinstance(exc, WsicompError):
        is_known = exc.path == str(source)
        text = str(type(exc)(exc.message, None, exc.place)) if is_known else str(exc)
    error = " ".join(text.split())
    trace = "" if isinstance(exc, _REFUSALS) else "".join(traceback.format_exception(exc))
    if isinstance(exc, NothingGainedError):
        return JobOutcome(State.SKIPPED, "nothing gained", error)
    if isinstance(exc, UnsupportedSlideError):
        return JobOutcome(State.SKIPPED, "unsupported", error, trace)
    return JobOutcome(State.FAILED, _cause(exc, source), error, trace)


def _cause(exc: BaseException, source: Path) -> str:
    numbers = list(_system_errors(exc))
    if any(number in _FULL for number in numbers):
        return DISK_FULL
    if isinstance(exc, OSError) and not isinstance(exc, SlideWriteError):
        if not os.path.exists(source):  # noqa: PTH110 - raises nowhere, as over a network that is away
            return GONE
        if isinstance(exc, SlideReadError) and numbers:
            return UNREACHED
    for kinds, cause in _CAUSES:
        if isinstance(exc, kinds):
            return cause
    return REFUSED if isinstance(exc, OSError) else "internal error"


def _system_errors(exc: BaseException) -> Iterator[int]:
    """Yield the error numbers of the system that an exception and its causes have."""
    behind: BaseException | None = exc
    while behind is not None:
        if isinstance(behind, OSError) and behind.errno is not None:
            yield behind.errno
        behind = behind.__cause__
