"""Prove that a conversion replaces its source, from both files as they are now."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.batch.companions import file_fingerprint, find_companions
from wsicomp.batch.entry import State
from wsicomp.batch.jobs import find_review_reason
from wsicomp.batch.outcomes import Companions, JobOutcome, outcome_of_error
from wsicomp.batch.packs import compare_pack
from wsicomp.config import ConversionConfig
from wsicomp.conversion.prepare import plan_flaw
from wsicomp.conversion.review import review_reason
from wsicomp.conversion.settings import config_then, has_digest
from wsicomp.errors import KeptError
from wsicomp.formats.base import Slide
from wsicomp.formats.identity import file_sha256, slide_identity
from wsicomp.formats.named_files import missing_files, missing_text
from wsicomp.formats.opening import open_chosen, open_source, open_tiff
from wsicomp.formats.packed.container import is_pack
from wsicomp.formats.slide_files import slide_parts
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import Progress, Stages
from wsicomp.text.figures import counted
from wsicomp.verification.verify import Verification, verify_slide


class _UnseenError(KeptError):
    """A source stays because nobody has looked at its conversion; the message says why somebody has to."""


@dataclass(frozen=True)
class ProofJob:
    """Prove that a conversion replaces its source.

    The outcome is done, with the fingerprints of both files as its `facts`; or skipped, with an `error`; or
    `LOOK`, with an `error`, where a person has to look first.
    """

    name: str
    """The slide's source, as text."""
    source: Path
    """The slide's file, in its tree or in quarantine."""
    target: Path
    """The conversion."""
    source_sha256: str
    """SHA-256 of the source by the ledger."""
    target_sha256: str
    """SHA-256 of the conversion by the ledger."""
    even_if_lossy: bool
    """Whether a source may go that its conversion cannot restore."""
    config: ConversionConfig
    """The conversion that this run would make."""
    released: bool = False
    """Whether a person has looked at the conversion."""
    may_lack: bool = False
    """Whether files of the source may be missing, which an earlier run has begun to delete."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Read both files completely once more."""
        try:
            companions = find_companions(self.source) if is_pack(self.target) else Companions()
            facts = self._proved(Stages(on_progress), companions)
            return JobOutcome(State.DONE, facts=facts, companions=companions)
        except _UnseenError as exc:
            return JobOutcome(State.LOOK, error=exc.message)
        except Exception as exc:
            return replace(outcome_of_error(exc, self.source), state=State.SKIPPED)

    def _proved(self, stages: Stages, companions: Companions) -> tuple[str, str]:
        before = file_fingerprint(self.source), file_fingerprint(self.target)
        if before[0] == before[1]:
            raise KeptError("source and target are the same file")
        packed = is_pack(self.target)
        if not packed and len(slide_parts(self.source)) > 1:
            raise KeptError("the slide consists of several files, which are kept together")
        with stages.stage("checksum") as progress:
            if file_sha256(self.target, progress) != self.target_sha256:
                raise KeptError("the target is not the file that was written")
        if packed:
            self._verify_pack(stages)
            self._check_named()
        else:
            with stages.stage("identify") as progress:
                _, sha256 = slide_identity(self.source, progress)
            if sha256 != self.source_sha256:
                raise KeptError("the source is not the file that was converted")
            self._verify(stages)
        if packed and companions != find_companions(self.source):
            raise KeptError("a file of the slide changed while it was compared")
        if before != (file_fingerprint(self.source), file_fingerprint(self.target)):
            raise KeptError("source or target changed while they were compared")
        return before

    def _check_named(self) -> None:
        """Check that all files are there that the slide names, if no run has begun to delete them.

        Raises:
            KeptError: one is not, and may still be found.
        """
        if not self.may_lack and (missing := missing_text(missing_files(self.source))):
            raise KeptError(f"{missing}; put it there, and run again")

    def _verify_pack(self, stages: Stages) -> None:
        """Rebuild every file of a packed slide and compare it with the source's.

        Raises:
            KeptError: the source has a file more, less or other, or the packed slide is damaged.
        """
        found = compare_pack(self.target, self.source, self.config.run.workers, stages, self.may_lack)
        if found.flaw:
            raise KeptError(f"its packed slide is not all of it: {found.flaw}")
        if found.stated_sha256 != self.source_sha256:
            raise KeptError("the source is not the slide that was packed")

    def _verify(self, stages: Stages) -> None:
        """Decode every tile of the target and compare it with the source.

        Raises:
            KeptError: the target does not replace the source, or nobody has looked at it.
        """
        provenance = self._provenance()
        restorable = provenance.restoration is not None
        is_seen = self.released or restorable
        if not is_seen and (unseen := review_reason(provenance)):
            raise _UnseenError(unseen)
        if not restorable and not self.even_if_lossy:
            raise KeptError("the target cannot restore it, and `even_if_lossy` was not given")
        with closing(open_source(self.source, self.target)) as source:
            if not restorable:
                self._check_plan(source, provenance.plan)
            found = self._compared(source, stages)
            then = config_then(provenance.plan, self.config) if not is_seen else self.config
            unseen = "" if is_seen else find_review_reason(source, then, found.removed_area, stages)
        if unseen:
            raise _UnseenError(unseen)
        if (found.flawed or found.lost) and not restorable:
            raise KeptError(f"{counted(len(found.flawed) + len(found.lost), 'damaged tile')} in it: keep it")

    def _provenance(self) -> Provenance:
        with closing(open_tiff(self.target)) as converted:
            provenance = converted.provenance
        if provenance is None:
            raise KeptError("the target does not say what it was made from")
        if provenance.plan.source.sha256 != self.source_sha256:
            raise KeptError("the target was made from another file")
        return provenance

    def _check_plan(self, source: Slide, plan: ConversionPlan) -> None:
        """Check that this run's options would have made this plan, now or by its version's defaults.

        Raises:
            KeptError: they would have made another plan, or the source has several focal planes.
        """
        if source.info.planes:
            raise KeptError(f"one of its {len(source.info.planes)} focal planes alone was converted")
        with closing(open_chosen(self.source, self.config.output)) as chosen:  # not as the target states
            flaw = plan_flaw(chosen, self.source_sha256, self.config, plan)
        if flaw or not has_digest(plan, self.source_sha256, self.config):
            found = flaw or "it has the digest of another conversion conversion"
            raise KeptError(f"the options of this run would make another conversion ({found})")

    def _compared(self, source: Slide, stages: Stages) -> Verification:
        is_fresh, thorough = False, True
        with stages.stage("verify") as progress:
            checked = (self.source_sha256, self.config.run.workers, progress, is_fresh, thorough)
            found = verify_slide(self.target, source, *checked)
        if found.problems:
            raise KeptError(f"the target failed its check: {found.problems[0]}")
        return found
