"""The compressed volume's file: a ZIP whose entries other programs open, and a manifest.

Entries are stored as they are; the manifest alone is deflated. It knows nothing of voxels. Every entry is
checked against its SHA-256 whenever it is read.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from wsicomp.errors import VerificationError, VolumeReadError
from wsicomp.files.inputs import check_file, reading
from wsicomp.text.figures import as_bytes

MANIFEST = "wsicomp.json"
"""The entry that says what the others are; the last one of the file."""
SUFFIX = ".wsiv"
"""What names of compressed volumes end with."""

_MANIFEST_BYTES, _MANIFEST_BYTES_AN_ENTRY, _MOST_MANIFEST_BYTES = 4 << 20, 4 << 10, 64 << 20
"""What the manifest may have: tables of values and of gzip members, and what a slab of 16 slices needs."""
_ZIP_ERRORS = (
    BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What `zipfile` raises for damaged files."""
_DAY_ONE = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: the same volume becomes the same bytes, and says nothing of when."""


class ContainerWriter:
    """Adds entries to a file that is open for writing; the `with` block's end writes the directory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = ZipFile(file, "w", ZIP_STORED)
        self.digests: dict[str, str] = {}
        """SHA-256 of every entry so far, in hexadecimal digits."""

    def add(self, name: str, data: bytes) -> None:
        """Write an entry."""
        self.digests[name] = hashlib.sha256(data).hexdigest()
        self._zip.writestr(ZipInfo(name, _DAY_ONE), data)

    def finish(self, manifest: bytes) -> None:
        """Write the manifest, the last entry.

        Raises:
            VerificationError: it is longer than readers take.
        """
        if len(manifest) > _manifest_limit(len(self.digests)):
            raise VerificationError(f"its manifest has {as_bytes(len(manifest))}, more than readers take")
        self._zip.writestr(ZipInfo(MANIFEST, _DAY_ONE), manifest, ZIP_DEFLATED)

    def __enter__(self) -> ContainerWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


class ContainerReader:
    """Reads the entries of a file; safe to use from several threads.

    Raises:
        VolumeReadError: the file cannot be read, or is no container.
    """

    def __init__(self, path: Path) -> None:
        check_file(path, VolumeReadError)
        self.path = path
        self._bytes = path.stat().st_size
        with reading(path, VolumeReadError), path.open("rb") as file:
            if not is_container(file.read(4)):
                raise VolumeReadError("is no compressed volume, which begins as a ZIP; check the path", path)
        try:
            with reading(path, VolumeReadError):
                self._zip = ZipFile(path)
        except _ZIP_ERRORS as exc:
            raise self._damaged(f"its directory is damaged ({exc})") from exc
        self._entries = {entry.filename: entry for entry in self._zip.infolist()}
        self.digests: Mapping[str, str] = {}
        """SHA-256 that every entry must have; the manifest tells them."""
        self.names_read: set[str] = set()
        """Entries that were read so far, damaged ones too."""

    def manifest(self) -> bytes:
        """Return the manifest.

        Raises:
            VolumeReadError: it is missing or damaged.
        """
        entry = self._entry(MANIFEST)
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise self._damaged("it is neither stored nor deflated", MANIFEST)
        limit = _manifest_limit(len(self._entries))
        if entry.file_size > limit:
            raise self._damaged(f"it has more than {as_bytes(limit)}", MANIFEST)
        with self._translated(MANIFEST), self._zip.open(entry) as file:
            return file.read(limit)  # zipfile gives no more than the directory states

    def read(self, name: str) -> bytes:
        """Return an entry, checked against its SHA-256.

        Raises:
            VolumeReadError: it is missing or damaged.
        """
        self.names_read.add(name)
        entry = self._entry(name)
        if entry.compress_type != ZIP_STORED or entry.file_size != entry.compress_size:
            raise self._damaged("it is not stored as it is", name)
        if entry.file_size > self._bytes:
            raise self._damaged(f"it states {entry.file_size} bytes, more than the file has", name)
        with self._translated(name):
            data = self._zip.read(entry)
        if hashlib.sha256(data).hexdigest() != self.digests.get(name):
            raise self._damaged("its SHA-256 is not the one that the manifest states", name)
        return data

    def strangers(self) -> list[str]:
        """Return the names of entries that the manifest does not state, and of those that are there twice."""
        known, found = {*self.digests, MANIFEST}, []
        for entry in self._zip.infolist():
            if entry.filename not in known:
                found.append(entry.filename)
            known.discard(entry.filename)
        return found

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _entry(self, name: str) -> ZipInfo:
        entry = self._entries.get(name)
        if entry is None:
            raise self._damaged("it is missing", name)
        return entry

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Name the entry in whatever `zipfile` finds wrong with it."""
        try:
            with reading(self.path, VolumeReadError):
                yield
        except _ZIP_ERRORS as exc:
            raise self._damaged(str(exc), name) from exc

    def _damaged(self, what: str, entry: str | None = None) -> VolumeReadError:
        place = None if entry is None else f"entry {entry}"
        return VolumeReadError(f"{what}; take the file from a copy", self.path, place)


def _manifest_limit(entries: int) -> int:
    return min(_MANIFEST_BYTES + _MANIFEST_BYTES_AN_ENTRY * entries, _MOST_MANIFEST_BYTES)


def is_container(head: bytes) -> bool:
    """Return whether a file that begins so may be one of ours: a ZIP. Only reading tells whether it is."""
    return head.startswith(b"PK\x03\x04")
