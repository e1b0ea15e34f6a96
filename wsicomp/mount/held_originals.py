"""The originals that a file of an archive holds, and how they are opened."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from threading import Lock

from wsicomp.batch.conversions import WRITTEN_SUFFIXES
from wsicomp.errors import SlideReadError, UnsupportedSlideError
from wsicomp.formats.converted.reader import NO_SOURCE
from wsicomp.formats.converted.restoration import open_converted_original, stated_original
from wsicomp.formats.originals.reading import OriginalBytes
from wsicomp.formats.originals.unit_cache import UnitCache
from wsicomp.formats.packed.container import PACK_SUFFIX, PackedSlide
from wsicomp.formats.packed.manifest import PackManifest, path_of_name
from wsicomp.mount.byte_sources import ByteSource, OpenedFile, SingleFile
from wsicomp.mount.file_facts import HeldFolder, HeldOriginal, HeldOriginals

_log = logging.getLogger(__name__)

_NOTHING = HeldOriginals()


def held_originals(path: Path) -> HeldOriginals:
    """Return the originals that a file holds; none for one that is shown as it is. Damage is logged.

    Raises:
        SlideReadError: the file system does not let it be read now.
    """
    found, damage = look_for_originals(path)
    if damage is not None:
        _log.warning("shown as it is: %s", damage)
    return found


def look_for_originals(path: Path) -> tuple[HeldOriginals, SlideReadError | None]:
    """Return the originals that a file holds, and what is wrong with a conversion that holds none.

    Raises:
        SlideReadError: the file system does not let it be read now.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        return _NOTHING, None
    try:
        return (_packed(path) if suffix == PACK_SUFFIX else _converted(path)), None
    except SlideReadError as exc:
        if isinstance(exc.__cause__, OSError) and not isinstance(exc.__cause__, SlideReadError):
            raise
        is_older = isinstance(exc, UnsupportedSlideError)
        return HeldOriginals(is_older=is_older), exc if is_older or exc.message != NO_SOURCE else None


def open_held(path: Path, cache: UnitCache) -> OpenedFile:
    """Open a file that holds originals; what is rebuilt of them is kept in `cache`.

    Raises:
        SlideReadError: the file is damaged, or cannot be read.
    """
    if path.suffix.lower() == PACK_SUFFIX:
        return _OpenPack(PackedSlide(path, cache))
    return SingleFile(open_converted_original(path, cache))


class _OpenPack:
    """An open packed slide, whose files have their places in the cache as long as it is open."""

    def __init__(self, slide: PackedSlide) -> None:
        self._slide, self._lock = slide, Lock()
        self._originals: dict[str | None, OriginalBytes] = {}

    def source(self, member: str | None) -> ByteSource:
        """Return the bytes of a file of the slide."""
        with self._lock:
            if member not in self._originals:
                self._originals[member] = self._slide.original(member)
            return self._originals[member]

    def close(self) -> None:
        """Close the slide."""
        with self._lock:
            for original in self._originals.values():
                original.close()
        self._slide.close()


def _converted(path: Path) -> HeldOriginals:
    found = stated_original(path)
    return HeldOriginals((HeldOriginal(found.name, found.bytes, found.mtime_ns, found.sha256),))


def _packed(path: Path) -> HeldOriginals:
    with PackedSlide(path) as slide:
        return _in_manifest(slide.manifest)


def _in_manifest(manifest: PackManifest) -> HeldOriginals:
    files = tuple(
        HeldOriginal(
            os.fspath(path_of_name(file.name)), file.bytes, file.mtime_ns, file.sha256, file.mode, file.name
        )
        for file in manifest.files
    )
    folders = (
        HeldFolder(os.fspath(path_of_name(folder.name)), folder.mtime_ns, folder.mode)
        for folder in manifest.folders
    )
    return HeldOriginals(files, tuple(folders))
