"""The slides that a viewer shows, by number, and what is kept of them in memory."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cachetools import LRUCache

from wsicomp.concurrency.threads import available_cores
from wsicomp.errors import ConfigError, MissingExtraError, SlideReadError
from wsicomp.files.inputs import check_file
from wsicomp.tissue.segmenters.sam.base import check_extra
from wsicomp.viewer.layers.annotations import AnnotationFiles
from wsicomp.viewer.pictures.shown_slide import ShownSlide, open_shown
from wsicomp.viewer.pictures.tile_pictures import TilePicture
from wsicomp.viewer.viewed_slide import ViewedSlide

if TYPE_CHECKING:
    from wsicomp.viewer.folder.archive_slides import ArchiveSlides

_KEPT_BYTES = 48 << 20
"""The bytes of pictures that were made here and are kept."""
_GRACE_S = 0.3
"""How long answers at work may take to end before the slides that they read are left open."""
MOST_SIDE_BY_SIDE = 4
"""The most slides of one view."""


@dataclass(frozen=True)
class ViewOptions:
    """What a viewer shows beside the slides."""

    mask: Path | None = None
    """A file of the tissue mask."""
    annotations: tuple[Path, ...] = ()
    """Files of outlines."""
    show_label: bool = False
    """Whether label and macro are shown, which can name a patient."""

    def check(self) -> None:
        """Refuse a file that is not there.

        Raises:
            ConfigError: one cannot be read, or is empty.
        """
        for path in (self.mask, *self.annotations):
            if path is not None:
                check_file(path, ConfigError)


class Session:
    """The open slides of a viewer, and the pictures that were made of them. Any thread may use it.

    Memory: 48 MB of pictures that are not stored in a file as they are shown.
    """

    def __init__(self, options: ViewOptions | None = None) -> None:
        self.options = options or ViewOptions()
        self.annotations = AnnotationFiles(self.options.annotations)
        self.slides: dict[int, ViewedSlide] = {}
        self.archive: ArchiveSlides | None = None
        self.results: bytes | None = None
        self._last_number = 0
        self.work = threading.BoundedSemaphore(2 * available_cores())
        self.slow_work = threading.Lock()  # for what takes all cores: no tile waits for it
        self._lock = threading.Lock()
        self._users, self._is_closed = 0, False
        self._used = threading.Condition()
        self._pictures: LRUCache[Hashable, TilePicture] = LRUCache(
            _KEPT_BYTES, getsizeof=lambda picture: len(picture.data)
        )

    def add(
        self, shown: ShownSlide, source: ViewedSlide | None = None, number: int | None = None
    ) -> ViewedSlide:
        """Show one more slide, beside its source if there is one; `number` is one that it had before."""
        path = shown.info.path
        size = None
        with suppress(OSError):
            size = path.stat().st_size
        with self._lock:
            if number is None:
                number = self._last_number = self._last_number + 1
            viewed = ViewedSlide(number, shown, path.name, size, source, self.options.mask)
            self.slides[number] = viewed
        return viewed

    def open(self, slide: Path, converted: Sequence[Path] = ()) -> None:
        """Open a slide and its conversions.

        A slide of several focal planes is shown in the plane of the first conversion.

        Raises:
            SlideReadError: a file is not there, is damaged, or nothing here reads it.
        """
        others = [open_shown(path) for path in converted]
        planes = (each.info.z for each in others if each.slide.provenance is not None)
        source = self.add(open_shown(slide, next(planes, None)))
        for each in others:
            self.add(each, source)

    def slide(self, number: int) -> ViewedSlide:
        """Return the slide of a number; one of an archive is opened again where it had to make room.

        Raises:
            LookupError: there is none.
        """
        found = self.slides.get(number)
        if found is None and self.archive is not None:
            return self.archive.slide(number)
        return self.slides[number]

    def kept(self, key: Hashable, make: Callable[[], TilePicture]) -> TilePicture:
        """Return the picture that is kept under `key`, or make it, few at a time."""
        with self._lock:
            found: TilePicture | None = self._pictures.get(key)
        if found is not None:
            return found
        with self.work:
            made = make()
        with self._lock:
            if len(made.data) <= self._pictures.maxsize:
                self._pictures[key] = made
        return made

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep all slides open while the block runs.

        Raises:
            SlideReadError: the session is closed.
        """
        with self._used:
            if self._is_closed:
                raise SlideReadError("the viewer has ended")
            self._users += 1
        try:
            yield
        finally:
            with self._used:
                self._users -= 1
                self._used.notify_all()

    def close(self) -> None:
        """Close all slides, and answer no more.

        Where an answer is still at work after a moment they stay open: to close a slide that a library reads
        can end the process.
        """
        with self._used:
            self._is_closed = True
            is_idle = self._used.wait_for(lambda: not self._users, _GRACE_S)
        for viewed in list(self.slides.values()):
            if is_idle:
                viewed.close()
            else:
                viewed.release()


def described(session: Session, slides: Sequence[ViewedSlide]) -> Mapping[str, object]:
    """Return what the page is told first of a session and of the slides to show, as JSON values."""
    lacking = why_no_outline()
    return {
        "title": slides[0].name if slides else "wsicomp",
        "slides": [_described_slide(each, session.options) for each in slides],
        "mask": session.options.mask is not None,
        "annotations": [
            {"id": number, "name": path.name} for number, path in enumerate(session.options.annotations)
        ],
        "features": {"outline": not lacking, "outline_reason": lacking, "estimate": bool(slides)},
        "folder": False,
    }


def why_no_outline() -> str:
    """Return why no rectangle can be outlined here, and what to install; "" where it can be.

    Nothing is imported to tell.
    """
    try:
        check_extra(None)
    except MissingExtraError as exc:
        return exc.message
    return ""


def _described_slide(viewed: ViewedSlide, options: ViewOptions) -> Mapping[str, object]:
    info, source, provenance = viewed.shown.info, viewed.source, viewed.provenance
    saved = None
    if source is not None and source.bytes and viewed.bytes and not viewed.doubt:
        saved = 1 - viewed.bytes / source.bytes
    first = viewed if source is None else source
    return {
        "id": viewed.number,
        "name": viewed.name,
        "title": viewed.name,
        "bytes": viewed.bytes,
        "saved": saved,
        "doubt": viewed.doubt,
        "role": "conversion" if provenance is not None else "source",
        "source": None if source is None else source.number,
        # Areas are right by the geometric mean; `mpp_across` is what a level scale bar takes.
        "mpp": None if info.mpp is None else math.sqrt(info.mpp.x * info.mpp.y),
        "mpp_across": None if info.mpp is None else info.mpp.x,
        "objective_power": info.objective_power,
        "width": info.size.width,
        "height": info.size.height,
        "scale": first.shown.info.size.width / info.size.width,
        "levels": [
            {
                "width": level.size.width,
                "height": level.size.height,
                "tile_width": level.tile.width,
                "tile_height": level.tile.height,
                "columns": level.grid.columns,
                "rows": level.grid.rows,
                "downsample": level.downsample,
            }
            for level in viewed.shown.levels
        ],
        "icc": viewed.colors is not None,
        "has_outcomes": provenance is not None,
        "has_worst": provenance is not None and source is not None,
        "associated": sorted(info.associated_images) if options.show_label else [],
        "codec": "" if provenance is None else provenance.plan.codec,
    }
