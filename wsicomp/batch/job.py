"""What is done to one slide, in a process of its own: a job runs and returns an `Outcome`, whatever happens.

This module alone catches every exception, because a night must survive each of its slides.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import simplejpeg
from PIL import Image

from wsicomp.batch.inventory import Selection
from wsicomp.batch.ledger import State
from wsicomp.batch.pictures import draw_removed
from wsicomp.config import ConversionConfig
from wsicomp.convert import convert_slide
from wsicomp.errors import (
    CodecUnavailableError,
    ConfigError,
    MaskError,
    MissingExtraError,
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
from wsicomp.outcome import ConversionReport, describe_conversion
from wsicomp.outputs import completed
from wsicomp.preparation import expected_digest, file_sha256, kept_model, plan_flaw
from wsicomp.provenance import Provenance
from wsicomp.pyramid.verify import verify_slide
from wsicomp.readers import open_slide, open_source, open_tiff
from wsicomp.readers.converted import ConvertedSlide
from wsicomp.readers.parts import slide_parts
from wsicomp.slide import Slide
from wsicomp.stages import Progress, Stages
from wsicomp.tissue.audit import LEGEND_PX

THUMBNAIL_PX = 320

GONE, CHANGED, UNREACHED = "source gone", "source changed", "source not reached"
DISK_FULL, REFUSED = "disk full", "target not writable"
BUSY, IN_THE_WAY = "target being written", "target exists"
PASSING = (GONE, CHANGED, UNREACHED, DISK_FULL, REFUSED, BUSY, IN_THE_WAY)
"""Causes that say nothing of the slide: the next run tries it again without being told to."""

_CAUSES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((TargetBusyError,), BUSY),
    ((TargetExistsError,), IN_THE_WAY),
    ((SlideWriteError,), REFUSED),
    ((SourceChangedError,), CHANGED),
    ((TileReadError,), "damaged tile"),
    ((SlideReadError,), "unreadable"),
    ((VerificationError,), "failed its check"),
    ((ConfigError, MaskError), "choices do not fit"),
    ((CodecUnavailableError, MissingExtraError, UnknownModelError, WeightsError), "codec or model missing"),
    ((MemoryError,), "out of memory"),
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Outcome:
    """What came of a job: `state`, and why if it is not done; fields as in `Entry`.

    `elapsed_s` is measured by the cell. `report` is the whole `ConversionReport`; `facts` are which files a
    proof was of.
    """

    state: State
    cause: str = ""
    error: str = ""
    trace: str = ""
    target_sha256: str = ""
    target_bytes: int = 0
    target_mtime_ns: int = 0
    adopted: bool = False
    elapsed_s: float = 0.0
    report: Mapping[str, Any] | None = None
    facts: tuple[str, ...] = ()


class Job(Protocol):
    """Work on one slide that can be sent to another process. `name` is the slide's source, as text."""

    @property
    def name(self) -> str:
        """The slide's source."""
        ...

    def run(self, on_progress: Progress) -> Outcome:
        """Do it; never raises but for what ends the process."""
        ...


@dataclass(frozen=True)
class ConversionJob:
    """Convert `source`, one of a `selection`, into `target` in the tree at `root`.

    `ours` are the bytes and the time (ns) of what an earlier run wrote there, which may be replaced; None if
    none did. What stands in its place then goes to `aside` unharmed. `audit` is where a small picture of what
    was removed goes, as JPEG, `look` where the large one stays if a person has to look at it.
    """

    name: str
    source: Path
    target: Path
    root: Path
    selection: Selection
    config: ConversionConfig
    audit: Path
    look: Path
    aside: Path
    ours: tuple[int, int] | None = None

    def run(self, on_progress: Progress) -> Outcome:
        """Convert it, or take on a target that is there already and whole."""
        try:
            return self._run(on_progress)
        except Exception as exc:  # the boundary between a slide and its night
            return failure(exc, self.source)

    def _run(self, on_progress: Progress) -> Outcome:
        suffix = self.source.suffix.lower()
        alike = (part for part in slide_parts(self.source) if part.suffix.lower() == suffix)
        first = next(part for part in alike if part == self.source or self.selection.wants(part))
        if first != self.source:
            return Outcome(State.SKIPPED, "part of another", f"it is a part of the slide {first.name}")
        check_unlinked(self.target.parent, self.root)
        self.target.parent.mkdir(parents=True, exist_ok=True)
        adopted, refused = None, ""
        if os.path.lexists(self.target):
            adopted, refused = self._adopted(on_progress)
        report = adopted or self._converted(on_progress)
        if refused:
            report = replace(report, notes=(*report.notes, refused))
        with Stages(on_progress).stage("checksum") as progress:
            sha256 = file_sha256(self.target, progress)
        status = self.target.stat()
        return Outcome(
            State.DONE,
            target_sha256=sha256,
            target_bytes=status.st_size,
            target_mtime_ns=status.st_mtime_ns,
            adopted=adopted is not None,
            report=report.to_json(),
        )

    def _converted(self, on_progress: Progress) -> ConversionReport:
        config = replace(self.config, overwrite=os.path.lexists(self.target))
        if config.glass == "keep":
            report = convert_slide(self.source, self.target, config, on_progress)
            self._forget_pictures()
            return report
        large = large_audit(self.audit)
        large.parent.mkdir(parents=True, exist_ok=True)
        large.unlink(missing_ok=True)
        try:
            report = convert_slide(self.source, self.target, config, on_progress, large)
            self._forget_pictures()
            with suppress(OSError, ValueError):  # the slide is converted, with or without its picture
                _shrink(large, self.audit)
            if report.look:
                with suppress(OSError):  # the next run draws it
                    large.replace(self.look)
        finally:
            with suppress(OSError):
                large.unlink(missing_ok=True)
        return report

    def _forget_pictures(self) -> None:
        """Those of an earlier conversion: the target is another now."""
        for picture in (self.audit, self.look):
            with suppress(OSError):
                picture.unlink()

    def _adopted(self, on_progress: Progress) -> tuple[ConversionReport | None, str]:
        """The report of the target that a run left which could not tell of it; None if it is to be made anew.

        The text says why, of a target that has the digest of this conversion and is none. Nothing that it
        says is believed: its plan must be the one that would be made here, and its tiles are held against the
        source.

        Raises:
            TargetExistsError: something else stands there.
        """
        refused = ""
        stages = Stages(on_progress)
        with closing(open_slide(self.source, self.config.z)) as source:
            with stages.stage("identify") as progress:
                digest, sha256 = expected_digest(source, self.config, progress)
            provenance = _provenance(self.target)
            is_same = provenance is not None and provenance.plan.digest == digest
            if provenance is not None and is_same:
                refused = plan_flaw(source, sha256, self.config, provenance.plan)
                if not refused:
                    with stages.stage("verify") as progress:
                        found = verify_slide(self.target, source, sha256, self.config.workers, progress)
                    refused = str(found.problems[0]) if found.problems else ""
                if not refused:
                    report = describe_conversion(
                        self.source, self.target, provenance, found, stages, kept_model(self.config)
                    )
                    self._draw_again(source, provenance, bool(report.look))
                    return report, ""
        self._make_way(is_same)
        return (
            None,
            f"what stood in its place was not its conversion and was replaced ({refused})" if refused else "",
        )

    def _draw_again(self, source: Slide, provenance: Provenance, is_to_look: bool) -> None:
        """The large picture of a target that is taken on; one of an earlier conversion is not its."""
        with suppress(OSError, ValueError):  # the next run draws it
            self.look.unlink(missing_ok=True)
            if is_to_look:
                draw_removed(source, provenance, self.config.workers, self.look)
                _shrink(self.look, self.audit)

    def _make_way(self, is_same: bool) -> None:
        """What an earlier run wrote, or this conversion damaged, may be replaced; all else is moved away."""
        status = self.target.lstat()
        if is_same or self.config.overwrite or self.ours == (status.st_size, status.st_mtime_ns):
            return
        if self.ours is None:
            raise TargetExistsError("exists already and is not of this batch; move it away", self.target)
        self.aside.parent.mkdir(parents=True, exist_ok=True)
        place, number = self.aside, 1
        while os.path.lexists(place):
            place, number = self.aside.with_name(f"{self.aside.name}.{number}"), number + 1
        self.target.rename(place)


def check_unlinked(path: Path, root: Path) -> None:
    """Refuse a place in a tree that a link would lead out of it, or elsewhere in it.

    Raises:
        SlideWriteError: so it is, or it cannot be told.
    """
    try:
        is_plain = path.resolve() == root.resolve() / path.relative_to(root)
    except (OSError, RuntimeError) as exc:
        raise SlideWriteError(f"cannot be looked at ({exc})", path) from exc
    if not is_plain:
        raise SlideWriteError("a folder on the way to it is a link; a batch writes into its own tree", path)


@dataclass(frozen=True)
class RecheckJob:
    """Whether a target is still the file that was written."""

    name: str
    target: Path
    sha256: str

    def run(self, on_progress: Progress) -> Outcome:
        """Read it wholly; done, or failed with an `error` that says what it is."""
        try:
            with Stages(on_progress).stage("checksum") as progress:
                same = file_sha256(self.target, progress) == self.sha256
            error = "" if same else "is not the file that was written"
            mtime_ns = self.target.stat().st_mtime_ns
        except OSError as exc:
            error, mtime_ns = f"cannot be read ({exc.strerror or exc})", 0
        state = State.FAILED if error else State.DONE
        return Outcome(state, error=error, target_mtime_ns=mtime_ns)


@dataclass(frozen=True)
class PictureJob:
    """Draw what `target` shows no more of `source`, for a person: into `picture`, and small into `audit`."""

    name: str
    source: Path
    target: Path
    picture: Path
    audit: Path
    workers: int

    def run(self, on_progress: Progress) -> Outcome:
        """Draw it; done, or failed with an `error`."""
        try:
            opened = open_source(self.source, self.target)
            with Stages(on_progress).stage("overview"), closing(opened) as source:
                provenance = _provenance(self.target)
                if provenance is None:
                    raise SlideReadError("does not say what it was made from", self.target)
                draw_removed(source, provenance, self.workers, self.picture)
            _shrink(self.picture, self.audit)
        except Exception as exc:  # a picture less, and the night goes on
            return failure(exc, self.source)
        return Outcome(State.DONE)


def _provenance(target: Path) -> Provenance | None:
    """What a file says of its own making; None if it says nothing that can be read."""
    try:
        with closing(open_tiff(target)) as slide:
            return slide.provenance if isinstance(slide, ConvertedSlide) else None
    except SlideReadError:
        return None


def large_audit(audit: Path) -> Path:
    """Where a small picture's large one stands for a moment."""
    return audit.with_suffix(".large.jpg")


def _shrink(picture: Path, thumbnail: Path) -> None:
    """A small picture of a large one, without its legend.

    Raises:
        SlideWriteError: it cannot be written.
    """
    data = picture.read_bytes()
    large = simplejpeg.decode_jpeg(data, "RGB", min_height=THUMBNAIL_PX, min_width=THUMBNAIL_PX, min_factor=1)
    _, width, *_ = large.shape
    header_height, header_width, *_ = simplejpeg.decode_jpeg_header(data)
    rows = max(1, round((header_height - LEGEND_PX) * width / header_width))
    small = Image.fromarray(large[:rows])
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    with completed(thumbnail) as partial:
        small.save(partial, "JPEG", quality=80)


def failure(exc: BaseException, source: Path) -> Outcome:
    """What an exception says of a slide; one that cannot be converted at all is skipped."""
    text = f"{type(exc).__name__}: {exc}".rstrip(": ")
    if isinstance(exc, WsicompError):
        is_known = exc.path == str(source)
        text = str(type(exc)(exc.message, None, exc.place)) if is_known else str(exc)
    error = " ".join(text.split())
    trace = "".join(traceback.format_exception(exc))
    if isinstance(exc, UnsupportedSlideError):
        return Outcome(State.SKIPPED, "unsupported", error, trace)
    return Outcome(State.FAILED, _cause(exc, source), error, trace)


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
    """What the system said, where it was the system that refused."""
    behind: BaseException | None = exc
    while behind is not None:
        if isinstance(behind, OSError) and behind.errno is not None:
            yield behind.errno
        behind = behind.__cause__
