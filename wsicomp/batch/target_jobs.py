"""Jobs on a target that is there already: check it, and draw what was removed from it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import simplejpeg
from PIL import Image

from wsicomp.batch.audit_pictures import draw_removed
from wsicomp.batch.entry import State
from wsicomp.batch.outcomes import JobOutcome, outcome_of_error
from wsicomp.errors import SlideReadError, TargetExistsError
from wsicomp.files.atomic import completed
from wsicomp.files.attributes import Attributes
from wsicomp.files.folders import kind_of, opened_folder, read_own
from wsicomp.formats.identity import file_sha256, slide_identity
from wsicomp.formats.opening import open_source, open_tiff
from wsicomp.formats.packed.container import PackedSlide, is_pack
from wsicomp.formats.tiff.directories import TIFF_MAGIC
from wsicomp.plan.conversion_plan import SourceIdentity
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import Progress, Stages
from wsicomp.tissue.audit import LEGEND_PX

THUMBNAIL_PX = 320

_PICTURE_BYTES = 50_000_000
"""No picture that wsicomp draws is larger than this."""


def check_regular_file(target: Path) -> None:
    """Check that a target is a file, if it is there; what a link leads to is not of this tree.

    Raises:
        TargetExistsError: the target is there and is no regular file.
    """
    kind = kind_of(target)
    if kind:
        raise TargetExistsError(f"is {kind}, which no batch wrote; move it away", target)


@dataclass(frozen=True)
class RecheckJob:
    """Check whether a target is still the file that was written."""

    name: str
    """The slide's source, as text."""
    target: Path
    """The conversion."""
    sha256: str
    """SHA-256 of the file that was written."""
    root: Path | None = None
    """The target tree; None where links need not be refused."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Read the whole file; the outcome is done, or failed with an `error` that says how it differs."""
        try:
            with opened_folder(self.target.parent, self.root) as folder:
                folder.check(self.target.name, is_read=True)
                here = folder.held / self.target.name
                mtime_ns = here.lstat().st_mtime_ns
                with Stages(on_progress).stage("checksum") as progress:
                    same = file_sha256(here, progress) == self.sha256
                error = "" if same else "is not the file that was written"
        except OSError as exc:
            error, mtime_ns = f"cannot be read ({exc.strerror or exc})", 0
        state = State.FAILED if error else State.DONE
        return JobOutcome(state, error=error, target_mtime_ns=mtime_ns)


@dataclass(frozen=True)
class ReturnJob:
    """Find out whether a slide that stands in its place again is the one that was taken away."""

    name: str
    """The slide's source, as text."""
    source: Path
    """The slide's file."""
    sha256: str
    """SHA-256 of the slide that was taken away."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Read all files of the slide; the outcome is done, or failed where it is another one."""
        try:
            with Stages(on_progress).stage("identify") as progress:
                _, sha256 = slide_identity(self.source, progress)
        except Exception as exc:
            return outcome_of_error(exc, self.source)
        return JobOutcome(State.DONE if sha256 == self.sha256 else State.FAILED)


@dataclass(frozen=True)
class PictureJob:
    """Draw the parts of a source that its conversion does not show any more, for a person to look at."""

    name: str
    """The slide's source, as text."""
    source: Path
    """The slide's file."""
    target: Path
    """The conversion."""
    picture: Path
    """Where the large picture goes."""
    audit: Path
    """Where the small picture goes."""
    workers: int
    """How many threads draw."""
    root: Path | None = None
    """The target tree, in which all but the source lie; None where links need not be refused."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Draw both pictures; the outcome is done, or failed with an `error`."""
        try:
            opened = open_source(self.source, self.target)
            with Stages(on_progress).stage("overview"), closing(opened) as source:
                provenance = read_provenance(self.target)
                if provenance is None:
                    raise SlideReadError("does not say what it was made from", self.target)
                draw_removed(source, provenance, self.workers, self.picture, self.root)
            write_thumbnail(self.picture, self.audit, self.root)
        except Exception as exc:  # a picture less, and the night goes on
            return outcome_of_error(exc, self.source)
        return JobOutcome(State.DONE)


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as a TIFF.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return file.read(4) in TIFF_MAGIC


def read_provenance(target: Path) -> Provenance | None:
    """Return the provenance that a file carries; None if it cannot be read."""
    try:
        with closing(open_tiff(target)) as slide:
            return slide.provenance
    except SlideReadError:
        return None


def stated_source(target: Path) -> SourceIdentity | None:
    """Return what a conversion or a packed slide says of its source; None if it cannot be read."""
    if not is_pack(target):
        provenance = read_provenance(target)
        return None if provenance is None else provenance.plan.source
    try:
        with PackedSlide(target) as packed:
            return packed.manifest.source
    except SlideReadError:
        return None


def unscaled_audit_path(audit: Path) -> Path:
    """Return the path of the large picture from which the small one at `audit` is made."""
    return audit.with_suffix(".large.jpg")


def write_thumbnail(picture: Path, thumbnail: Path, root: Path | None) -> None:
    """Write a small picture of a large one, without its legend.

    Both lie in the tree at `root`, below which no folder may be a link; None allows links.

    Raises:
        SlideWriteError: the small picture cannot be written.
    """
    data = read_own(picture, root, _PICTURE_BYTES)
    large = simplejpeg.decode_jpeg(data, "RGB", min_height=THUMBNAIL_PX, min_width=THUMBNAIL_PX, min_factor=1)
    _, width, *_ = large.shape
    header_height, header_width, *_ = simplejpeg.decode_jpeg_header(data)
    rows = max(1, round((header_height - LEGEND_PX) * width / header_width))
    small = Image.fromarray(large[:rows])
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    with completed(thumbnail, overwrite=True, root=root, alike=Attributes.of(picture)) as partial:
        small.save(partial, "JPEG", quality=80)
