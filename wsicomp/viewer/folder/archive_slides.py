"""Slides of an archive that are open in a viewer: each beside its source, and few at a time."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from wsicomp.batch.ledger_checks import path_flaw
from wsicomp.batch.quarantine_clock import DELETED, QUARANTINED
from wsicomp.errors import SlideReadError
from wsicomp.files.folders import is_own
from wsicomp.files.inputs import is_file
from wsicomp.formats.discovery import QUARANTINE
from wsicomp.formats.slide_files import stamp_of
from wsicomp.text.paths import as_path
from wsicomp.viewer.folder.archive import ArchiveEntry, ArchiveList, source_sentence
from wsicomp.viewer.pictures.shown_slide import ShownSlide, open_shown
from wsicomp.viewer.pictures.tile_pictures import TilePicture, thumbnail_of
from wsicomp.viewer.session import Session
from wsicomp.viewer.viewed_slide import ViewedSlide

_MOST_OPEN = 8
"""The most slides of the archive that stay open; each has a source and a conversion."""
_THUMBNAIL_PX = 320
_MOST_PX = 64_000_000
"""The most pixels that are read for a thumbnail."""


@dataclass(frozen=True)
class OpenEntry:
    """A slide of the archive with what is open of it."""

    entry: ArchiveEntry
    """What the list says of it."""
    slides: tuple[ViewedSlide, ...]
    """The source, where it can be read, then the conversion, where there is one."""
    sentences: tuple[str, ...]
    """What a person should know: where its source is, what cannot be opened and why."""


class ArchiveSlides:
    """Opens slides of an archive for a session, and closes those that were not asked for longest.

    A file has the same number whenever it is opened, until it changes. A slide that is closed stays readable
    for whoever reads from it at that moment.
    """

    def __init__(self, session: Session, archive: ArchiveList) -> None:
        self.archive = archive
        self._session = session
        self._lock = threading.Lock()
        self._open: OrderedDict[int, OpenEntry] = OrderedDict()
        self._numbers: dict[tuple[int, Path, str], int] = {}
        self._entries: dict[int, int] = {}

    def opened(self, number: int) -> OpenEntry:
        """Return a slide of the archive, opened.

        Raises:
            LookupError: there is none of this number.
            LedgerError: the archive's ledger cannot be read any more.
        """
        entry = self.archive.entry(number)
        with self._lock:
            found = self._open.get(number)
            if found is None or found.entry != entry:
                self._forget(number)
                found = self._open[number] = self._opened(entry)
            self._open.move_to_end(number)
            while len(self._open) > _MOST_OPEN:
                self._forget(next(iter(self._open)))
        return found

    def slide(self, number: int) -> ViewedSlide:
        """Return the slide of a session's number, opened again if it had to make room.

        Raises:
            LookupError: there is none, or its file is another now.
        """
        slides = {each.number: each for each in self.opened(self._entries[number]).slides}
        return slides[number]

    def thumbnail(self, entry: ArchiveEntry) -> TilePicture:
        """Return a small picture of a slide: of its conversion, else of its source.

        Raises:
            SlideReadError: neither can be read, or a picture of it would take long.
        """
        failure = SlideReadError("it has no file any more")
        for path in (self._target(entry), self._source(entry)):
            if path is None:
                continue
            try:
                with closing(open_shown(path)) as shown:
                    return _thumbnail(shown)
            except SlideReadError as exc:
                failure = exc
        raise failure

    def _opened(self, entry: ArchiveEntry) -> OpenEntry:
        said = [source_sentence(entry), f"It was not converted: {entry.error}." if entry.error else ""]
        source, conversion = self._source(entry), self._target(entry)
        second = None if conversion is None else self._shown(conversion, "conversion", said)
        if entry.target and conversion is None:
            said.append("Its conversion is not in the folder any more.")
        if source is None and entry.state and entry.removal != DELETED:
            said.append("Its source is not where the batch found it.")
        if source is None and conversion is not None and second is not None:
            source = _source_beside(conversion, second)
        plane = second.info.z if second is not None and second.slide.provenance is not None else None
        first = None if source is None else self._shown(source, "source", said, plane)
        one = None if first is None else self._viewed(entry, first)
        other = None if second is None else self._viewed(entry, second, one)
        slides = tuple(each for each in (one, other) if each is not None)
        return OpenEntry(entry, slides, tuple(filter(None, dict.fromkeys(said))))

    def _shown(self, path: Path, which: str, said: list[str], plane: int | None = None) -> ShownSlide | None:
        try:
            return open_shown(path, plane)
        except SlideReadError as exc:
            if not any(exc.message in each for each in said):
                said.append(f"The {which} cannot be opened: {exc.message}.")
            return None

    def _viewed(
        self, entry: ArchiveEntry, shown: ShownSlide, source: ViewedSlide | None = None
    ) -> ViewedSlide:
        # A request may still read from a slide that made room: its file is closed with the last of them.
        weakref.finalize(shown, shown.slide.close)
        path, stamp = shown.info.path, ""
        with suppress(SlideReadError):
            stamp = stamp_of(path)
        key = entry.number, path, stamp
        viewed = self._session.add(shown, source, self._numbers.get(key))
        self._numbers[key] = viewed.number
        self._entries[viewed.number] = entry.number
        return viewed

    def _forget(self, number: int) -> None:
        found = self._open.pop(number, None)
        for viewed in () if found is None else found.slides:
            self._session.slides.pop(viewed.number, None)
            viewed.release()

    def _source(self, entry: ArchiveEntry) -> Path | None:
        """Return the path of a slide's source, in its tree or in quarantine; None where it is not there."""
        tree = self.archive.listing().source
        if tree is None or entry.removal == DELETED:
            return None
        if path_flaw(entry.name):
            return None
        path = (tree / QUARANTINE if entry.removal == QUARANTINED else tree) / as_path(entry.name)
        return path if os.path.lexists(path) else None

    def _target(self, entry: ArchiveEntry) -> Path | None:
        """Return the path of what the folder holds of a slide; None where it is not there, or a link."""
        folder = self.archive.folder
        if not self.archive.has_ledger:
            return self.archive.file_of(entry)
        if not entry.target or path_flaw(entry.target):
            return None
        path = folder / as_path(entry.target)
        return path if is_own(path, folder) else None


def show_archive(session: Session, folder: Path) -> None:
    """Have a session show the slides of a folder.

    Raises:
        LedgerError: the folder has a ledger that cannot be read.
    """
    session.archive = ArchiveSlides(session, ArchiveList(folder))


def _source_beside(path: Path, shown: ShownSlide) -> Path | None:
    """Return the file beside a conversion that has its source's name; None where there is none."""
    provenance = shown.slide.provenance
    if provenance is None or not provenance.plan.source.name:
        return None
    found = path.parent / Path(provenance.plan.source.name).name
    return found if found != path and is_file(found) else None


def _thumbnail(shown: ShownSlide) -> TilePicture:
    """Return a small picture of a slide.

    Raises:
        SlideReadError: a tile under it cannot be decoded, or its smallest level is too large.
    """
    smallest = shown.info.levels[-1].size
    if smallest.width * smallest.height > _MOST_PX:
        raise SlideReadError("it has no small level of which a picture is made soon")
    return thumbnail_of(shown, _THUMBNAIL_PX)
