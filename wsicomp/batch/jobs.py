"""Convert one slide in a worker process, or take on a target that is there already.

Like every job, it returns a `JobOutcome` and never raises, because a batch has to go on after a slide failed.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wsicomp.batch.audit_pictures import draw_removed
from wsicomp.batch.entry import State
from wsicomp.batch.outcomes import PART, JobOutcome, outcome_of_error
from wsicomp.batch.packs import compare_pack, describe_adopted
from wsicomp.batch.target_jobs import (
    check_regular_file,
    read_provenance,
    stated_source,
    unscaled_audit_path,
    write_thumbnail,
)
from wsicomp.batch.target_names import packed_target, safe_name_note
from wsicomp.config import ConversionConfig
from wsicomp.conversion.archive_form import becomes_pack
from wsicomp.conversion.convert import convert_slide
from wsicomp.conversion.larger import batch_config
from wsicomp.conversion.plan_checks import check_loss
from wsicomp.conversion.prepare import kept_model, plan_flaw
from wsicomp.conversion.report import ConversionReport, describe_conversion
from wsicomp.conversion.review import review_note, review_reason_by
from wsicomp.conversion.settings import Settings, config_then, has_digest
from wsicomp.errors import (
    ConfigError,
    OtherSlideError,
    SlideReadError,
    TargetExistsError,
    UnknownModelError,
    UnsupportedSlideError,
)
from wsicomp.files.alike import folders_to, make_alike, move_aside
from wsicomp.files.folders import move_own, opened_folder, remove_own
from wsicomp.formats.base import Slide
from wsicomp.formats.discovery import Selection
from wsicomp.formats.identity import file_sha256, slide_identity
from wsicomp.formats.opening import open_chosen, open_tiff
from wsicomp.formats.packed.container import PACK_SUFFIX, is_pack
from wsicomp.formats.slide_files import leading_first, opening_suffix, slide_parts
from wsicomp.formats.tiff.directories import TIFF_MAGIC
from wsicomp.plan.conversion_plan import ConversionPlan, SourceIdentity
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import Progress, Stages
from wsicomp.text.paths import as_path, as_text
from wsicomp.tissue.findings import inspect_overview
from wsicomp.verification.verify import verify_slide
from wsicomp.version import SOFTWARE

_MARKS = (b"urn:wsicomp:", b"</wsicomp:provenance>")
"""Bytes that stand before and behind the provenance in every file that wsicomp wrote."""

_LONGEST_MARK = max(map(len, _MARKS))

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Adopted:
    """A target that is taken on, and the settings by which it was made."""

    report: ConversionReport
    settings: Settings


@dataclass(frozen=True)
class _Moved:
    """The file that stood in a target's place."""

    path: Path
    """Where it was moved to."""
    what: str
    """What it is, in words."""


@dataclass(frozen=True)
class ConversionJob:
    """Convert one slide into its target, or take on a target that is there already and complete."""

    name: str
    """The slide's source, as text."""
    source: Path
    """The slide's file."""
    target: Path
    """The file to write."""
    root: Path
    """The target tree."""
    selection: Selection
    """Which files of the source tree are slides of the batch."""
    config: ConversionConfig
    """How to convert."""
    audit: Path
    """Where the small picture of what was removed goes, a JPEG."""
    look: Path
    """Where the large picture stays if a person has to look at the slide."""
    aside: Path
    """Where something else that stands in the target's place is moved, unharmed."""
    ours: tuple[int, int] | None = None
    """Bytes and time (ns) of the file that an earlier run wrote there and that may be replaced; else None."""
    earlier_sha256: str = ""
    """SHA-256 of the source of that earlier file by the ledger; "" where the ledger does not say."""
    stale: tuple[str, ...] = ()
    """Earlier conversions under other names, as `Entry.stale_target` has them."""
    redo_outdated: bool = False
    """Whether a target is made anew if it was made with other defaults or an older version."""
    reconvert: bool = False
    """Whether a target of this slide that other options made is replaced, where the ledger was made anew."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Convert the slide, or take on a target that is there already and complete."""
        try:
            return self._run(on_progress)
        except Exception as exc:  # the boundary between a slide and its night
            return outcome_of_error(exc, self.source)

    def _run(self, on_progress: Progress) -> JobOutcome:
        suffix = opening_suffix(self.source)
        parts = sorted(slide_parts(self.source), key=leading_first)
        alike = (part for part in parts if opening_suffix(part) == suffix)
        first = next(part for part in alike if part == self.source or self.selection.wants(part))
        if first != self.source:
            return JobOutcome(State.SKIPPED, PART, f"it is a file of the slide {first.name}")
        packs = not self._is_pack and becomes_pack(self.source, self.target, self.config)
        return (self._packing() if packs else self)._written(on_progress)

    @property
    def _is_pack(self) -> bool:
        return self.target.suffix == PACK_SUFFIX

    def _packing(self) -> ConversionJob:
        """Return the job that packs the slide; what an earlier run wrote by the other name is stale then."""
        name = as_text(self.target.relative_to(self.root))
        target = self.root / as_path(packed_target(name, self.name))
        stale = () if self.ours is None else (f"{self.ours[0]} {self.ours[1]} {name}",)
        aside = self.aside.with_name(target.name)
        return replace(
            self, target=target, aside=aside, ours=None, earlier_sha256="", stale=(*self.stale, *stale)
        )

    def _written(self, on_progress: Progress) -> JobOutcome:
        self._make_folders()
        with opened_folder(self.target.parent, self.root) as folder:
            check_regular_file(self.target)
            adopted, moved, refused = None, None, ""
            if os.path.lexists(self.target):
                adopted, moved, refused = self._adopted(on_progress)
            try:
                report = self._converted(on_progress) if adopted is None else adopted.report
            except BaseException:
                self._put_back(moved)
                raise
            notes = (refused, safe_name_note(self.name, as_text(self.target.relative_to(self.root))))
            report = replace(report, notes=(*report.notes, *filter(None, notes)))
            written = folder.held / self.target.name
            status = written.lstat()  # before it is read: what is written into it meanwhile shows
            with Stages(on_progress).stage("checksum") as progress:
                sha256 = file_sha256(written, progress)
        return JobOutcome(
            State.DONE,
            target=as_text(self.target.relative_to(self.root)),
            target_sha256=sha256,
            target_bytes=status.st_size,
            target_mtime_ns=status.st_mtime_ns,
            adopted=adopted is not None,
            report=report.to_json(),
            aside="" if moved is None else f"{moved.what} stood in its place, and is now {moved.path}",
            stale=tuple(line for line in self.stale if self._is_of(line, report.source_sha256)),
            settings=None if adopted is None else adopted.settings,
        )

    def _make_folders(self) -> None:
        """Make the target's folders, open to no more people than those of the source."""
        make_alike(self.target.parent, self.root, self._folders)

    @property
    def _folders(self) -> list[Path]:
        return folders_to(self.source, as_path(self.name))

    def _put_back(self, moved: _Moved | None) -> None:
        """Give what stood in the target's place its name again."""
        if moved is not None and not os.path.lexists(self.target):
            with suppress(OSError):
                move_own(moved.path, self.target, self.root)

    def _is_of(self, line: str, sha256: str) -> bool:
        """Return whether an earlier conversion under another name was made from the slide of this SHA-256."""
        stated = stated_source(self.root / as_path(line.split(" ", 2)[2]))
        return stated is not None and stated.sha256 == sha256

    def _converted(self, on_progress: Progress) -> ConversionReport:
        config = batch_config(self.config.changed(overwrite=os.path.lexists(self.target)))
        convert = partial(
            convert_slide, self.source, self.target, config, on_progress, check_plan=check_loss(config)
        )
        if config.glass.fill == "keep":
            report = convert(root=self.root)
            self._forget_pictures()
            return report
        large = unscaled_audit_path(self.audit)
        with opened_folder(large.parent, self.root, make=True) as folder:
            folder.remove(large.name)
        try:
            report = convert(audit=large, root=self.root)
            self._forget_pictures()
            with suppress(OSError, ValueError):  # the slide is converted, with or without its picture
                write_thumbnail(large, self.audit, self.root)
            if report.look:
                with suppress(OSError):  # the next run draws it
                    move_own(large, self.look, self.root, overwrite=True)
        finally:
            with suppress(OSError):
                remove_own(large, self.root)
        return report

    def _forget_pictures(self) -> None:
        """Delete the pictures of an earlier conversion."""
        for picture in (self.audit, self.look):
            with suppress(OSError):
                remove_own(picture, self.root)

    def _adopted(self, on_progress: Progress) -> tuple[_Adopted | None, _Moved | None, str]:
        """Find a complete target of this very conversion that no ledger knows of.

        Nothing that the target says is believed. Its plan must be the one that would be made here, and its
        tiles are compared with the source.

        Returns the target or None, what was moved out of its place or None, and why a target with this
        conversion's digest was not taken on.

        Raises:
            OtherSlideError: the conversion of another slide stands there.
            TargetExistsError: something that is no conversion stands there.
        """
        refused = ""
        stages = Stages(on_progress)
        if self._is_pack:
            return self._adopted_pack(stages)
        with closing(open_chosen(self.source, self.config.output)) as source:
            with stages.stage("identify") as progress:
                _, sha256 = slide_identity(self.source, progress)
            provenance = read_provenance(self.target)
            is_same = provenance is not None and has_digest(provenance.plan, sha256, self.config)
            if provenance is not None and is_same and not self._is_outdated(provenance.plan):
                refused = plan_flaw(source, sha256, self.config, provenance.plan)
                if not refused:
                    with stages.stage("verify") as progress:
                        found = verify_slide(self.target, source, sha256, self.config.run.workers, progress)
                    refused = str(found.problems[0]) if found.problems else ""
                if not refused:
                    then = config_then(provenance.plan, self.config)
                    report = describe_conversion(
                        self.source, self.target, provenance, found, stages, kept_model(then)
                    )
                    seen = find_review_reason(source, then, found.removed_area, stages)
                    if seen and not report.look:
                        report = replace(report, look=seen, notes=(*report.notes, review_note(seen)))
                    self._draw_again(source, provenance, bool(report.look))
                    return _Adopted(report, Settings.of_plan(provenance.plan, then)), None, ""
        moved = self._make_way(None if provenance is None else provenance.plan.source, sha256, is_same)
        return None, moved, "" if moved is not None else _replaced_note(refused)

    def _adopted_pack(self, stages: Stages) -> tuple[_Adopted | None, _Moved | None, str]:
        """Find out, as `_adopted` does, whether what stands there is a packed slide of this very source."""
        found = compare_pack(self.target, self.source, self.config.run.workers, stages)
        stated, is_same = stated_source(self.target), found.stated_sha256 == found.source_sha256
        is_outdated = self.redo_outdated and found.software != SOFTWARE
        if is_same and not found.flaw and not is_outdated:
            report = describe_adopted(self.source, self.target, self.config, stages)
            return _Adopted(report, Settings.of(self.config)), None, ""
        moved = self._make_way(stated, found.source_sha256, is_same)
        return None, moved, "" if moved is not None else _replaced_note(found.flaw)

    def _is_outdated(self, plan: ConversionPlan) -> bool:
        """Return whether a target that could be taken on is to be made anew all the same."""
        if not self.redo_outdated:
            return False
        try:
            then = Settings.of_plan(plan, config_then(plan, self.config))
        except (ConfigError, UnknownModelError):
            return True
        return then.is_outdated(Settings.of(self.config))

    def _draw_again(self, source: Slide, provenance: Provenance, is_to_look: bool) -> None:
        """Draw the large picture of a target that is taken on; an earlier one may show another conversion."""
        with suppress(OSError, ValueError):  # the next run draws it
            remove_own(self.look, self.root)
            if is_to_look:
                draw_removed(source, provenance, self.config.run.workers, self.look, self.root)
                write_thumbnail(self.look, self.audit, self.root)

    def _make_way(self, stated: SourceIdentity | None, sha256: str, is_same: bool) -> _Moved | None:
        """Clear the target's place of everything that may not be replaced; return what was moved.

        `stated` is what the target says of its source, None where it says nothing.

        What an earlier run wrote of the slide of this SHA-256 may be replaced, and so may this very
        conversion if it is damaged. The conversion of another slide is never replaced, whatever ledger and
        config say: it may be all that is left of that slide.

        Raises:
            OtherSlideError: the conversion of another slide stands there.
            TargetExistsError: something that is no conversion stands there, or a conversion of this slide
                that other options made and no ledger knows.
        """
        status = self.target.lstat()
        is_ours = self.ours == (status.st_size, status.st_mtime_ns)
        if stated is None and status.st_nlink == 1 and file_sha256(self.target) == sha256:
            return None  # the source's own file, as an earlier run put it there
        if stated is None:
            is_of_another = self._is_of_nobody_knows() and not (is_ours and self.earlier_sha256 == sha256)
        else:
            is_of_another = stated.sha256 != sha256
        may_replace = is_same or self.config.run.overwrite or self.reconvert
        if is_ours and not is_of_another and not may_replace and not self.earlier_sha256:
            message = "is a conversion of this slide by other options; `reconvert=True` replaces it"
            raise TargetExistsError(message, self.target)
        if not is_of_another and (may_replace or is_ours):
            return None
        if self.ours is None or (is_of_another and not self.earlier_sha256):
            if is_of_another:
                raise OtherSlideError(_of_another(stated), self.target)
            raise TargetExistsError("exists already and is not of this batch; move it away", self.target)
        place = move_aside(self.target, self.aside, self.root, self._folders)
        return _Moved(place, self._what_stood(stated, sha256, is_ours))

    def _what_stood(self, stated: SourceIdentity | None, sha256: str, is_ours: bool) -> str:
        """Return in words what stands in the target's place that no earlier run wrote there of this slide."""
        made_from = None if stated is None else stated.sha256
        if is_ours or (made_from is not None and made_from == self.earlier_sha256 != sha256):
            return "the conversion of an earlier slide by this name"
        if made_from == sha256:
            return "another conversion of this slide"
        if stated is not None:
            return f"a conversion of another slide ({_named(stated)})"
        return "a file that was not written there by this batch"

    def _is_of_nobody_knows(self) -> bool:
        """Return whether the file there may be a conversion whose source cannot be read from it any more."""
        if is_pack(self.target):
            return True
        try:
            with closing(open_tiff(self.target)):
                is_damaged = False
        except SlideReadError as exc:
            is_damaged = not isinstance(exc, UnsupportedSlideError)
        with suppress(OSError), self.target.open("rb") as file:
            before = file.read(4)
            if before in TIFF_MAGIC and is_damaged:
                return True
            while block := file.read(_BLOCK_BYTES):
                if any(mark in before + block for mark in _MARKS):
                    return True
                before = block[-_LONGEST_MARK:]
        return False


def find_review_reason(source: Slide, config: ConversionConfig, removed: float | None, stages: Stages) -> str:
    """Return why a person should look at a conversion, by the source's own tissue; "" if nobody has to.

    Tissue is looked for again, because a file is not believed about its own mask. `removed` is the part of
    level 0 that was found blank, in [0, 1]; None where glass was kept.
    """
    if config.glass.fill == "keep":
        return ""
    tissue = inspect_overview(source, config, stages)[0]
    return review_reason_by(tissue.tissue_fraction, removed)


def _replaced_note(refused: str) -> str:
    """Return the note on what was replaced although it said to be this conversion; "" without a reason."""
    return refused and f"what stood in its place was not its conversion and was replaced ({refused})"


def _of_another(stated: SourceIdentity | None) -> str:
    """Return the message about a target that was made from another slide, with what to do."""
    found = "is a damaged conversion, and what it was made from cannot be read"
    if stated is not None:
        found = f"was made from another slide ({_named(stated)})"
    return (
        f"{found}, and may be all that is left of it: nothing replaces it, not even with `overwrite=True`; "
        "give this slide another name, or move that file to a tree of its own, and run again"
    )


def _named(source: SourceIdentity) -> str:
    """Return the slide that a conversion was made from: its name as stated, and its SHA-256."""
    return f"{source.name}, SHA-256 {source.sha256[:16]}" if source.name else f"SHA-256 {source.sha256[:16]}"
