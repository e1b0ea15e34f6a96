"""The file of a packed slide, and how any byte of its files is read from it.

It is a ZIP with a few stored entries: a text that says what it is, the pieces, the index, and the manifest.
So any program for ZIP lists, checks and takes it apart, in any year, and the standard library reads and
writes it beyond 4 GiB. The pieces share one entry: a directory of 100,000 entries takes a ZIP a second
and 60 MB to open, our index some milliseconds.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from wsicomp.errors import SlideReadError
from wsicomp.files.inputs import check_file, reading
from wsicomp.files.limits import budget_bytes
from wsicomp.formats.originals.forms import STORED, ZSTD
from wsicomp.formats.originals.index import RebuildIndex
from wsicomp.formats.originals.reading import OriginalBytes, OriginalIdentity
from wsicomp.formats.originals.unit_cache import UnitCache
from wsicomp.formats.packed.manifest import PackedFile, PackManifest, path_of_name
from wsicomp.formats.tiff.directories import TiffFile
from wsicomp.text.figures import as_bytes

PACK_SUFFIX = ".wsipack"
"""The suffix of packed slides."""
GREETING, DATA, INDEX, MANIFEST = "about-this-pack.txt", "pieces.bin", "index.bin", "wsicomp.json"
"""The names of the entries."""

_NOT_JPEG = frozenset({ZSTD.kind, STORED.kind})
_LOCAL = struct.Struct("<4s22xHH")
"""A local header: its magic number, and the lengths of the name and of the extra field behind it."""
_MAGIC = b"PK\x03\x04"
_END = struct.Struct("<4s8xI4xH")
"""The end of the directory: its magic number, the directory's bytes, and those of a comment behind it."""
_END_MAGIC, _LOCATOR_MAGIC = b"PK\x05\x06", b"PK\x06\x07"
_LOCATOR_BYTES, _END64_BYTES = 20, 56
_MOST_DIRECTORY_BYTES = 1 << 12
_MOST_MANIFEST_BYTES = 1 << 26
_DAMAGED = (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, EOFError, LookupError)


@dataclass(frozen=True)
class _Entry:
    name: str
    start: int
    bytes: int
    crc: int


class _Pieces:
    """The entry of the pieces, as the file that the index describes."""

    def __init__(self, file: TiffFile, entry: _Entry, is_shared: bool = True) -> None:
        self.path = file.path
        self._file, self._entry, self._is_shared = file, entry, is_shared

    def read(self, offset: int, count: int, place: object) -> bytes:
        if offset + count > self._entry.bytes:
            raise SlideReadError(f"ends at byte {offset + count} of its pieces", self.path, str(place))
        return self._file.read(self._entry.start + offset, count, place)

    def close(self) -> None:
        """Close the file, unless other files of the slide may be in use."""
        if not self._is_shared:
            self._file.close()


class PackedSlide:
    """An open packed slide: its manifest, and its files as originals. Any thread may read.

    Memory: 128 bytes for each piece, and what the cache keeps.

    Raises:
        SlideReadError: the file is no packed slide, is damaged, or states more than it can hold.
    """

    def __init__(self, path: Path, cache: UnitCache | None = None) -> None:
        check_file(path)
        self.path = path
        self._cache = cache or UnitCache()
        with reading(path), path.open("rb") as file, _naming(path):
            entries = _entries(file)
            self.manifest = PackManifest.from_bytes(_content(file, entries[MANIFEST], _MOST_MANIFEST_BYTES))
            index = _content(file, entries[INDEX], budget_bytes())
            self.index = RebuildIndex.from_bytes(index, entries[DATA].bytes)
            if self.index.total_bytes != self.manifest.total_bytes:
                found = f"pieces of {self.index.total_bytes} bytes, expected {self.manifest.total_bytes}"
                raise ValueError(found)
        self._file = TiffFile(path)
        self._entry = entries[DATA]
        self._starts = self.manifest.starts()
        self._files = {file.name: file for file in self.manifest.files}

    @property
    def jpeg_bytes(self) -> int:
        """The bytes of its files that were JPEG and are JPEG XL."""
        units = self.index.units
        is_jpeg = np.array([form.kind not in _NOT_JPEG for form in self.index.forms], np.bool_)
        return int(units.lengths[is_jpeg[units.forms]].sum())

    @property
    def doubt(self) -> str:
        """Why its files are far larger than its bytes make of real ones, in words; "" if they are not."""
        if self.index.is_plausible:
            return ""
        made, packed = as_bytes(self.manifest.total_bytes), as_bytes(self._entry.bytes)
        return f"it holds files of {made} in {packed}, far more than real ones are to their packed bytes"

    def original(self, name: str | None = None, is_shared: bool = True) -> OriginalBytes:
        """Return the bytes of a file of the slide; by default of the one that opens it.

        Closing it leaves the packed slide open, unless `is_shared` is False.

        Raises:
            SlideReadError: the slide has no such file.
        """
        file = self._named(name)
        identity = OriginalIdentity(str(path_of_name(file.name)), file.bytes, file.sha256, file.mtime_ns)
        start = self._starts[file.name]
        pieces = _Pieces(self._file, self._entry, is_shared)
        return OriginalBytes(pieces, self.index, identity, self._cache, start)

    def _named(self, name: str | None) -> PackedFile:
        found = self._files.get(self.manifest.opens if name is None else name)
        if found is None:
            names = ", ".join(list(self._files)[:5]) + ", ..." * (len(self._files) > 5)
            raise SlideReadError(f"holds no file {name}; it holds {names}", self.path)
        return found

    def close(self) -> None:
        """Close the file; its originals cannot be read any more."""
        self._file.close()

    def __enter__(self) -> PackedSlide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_pack(path: Path) -> bool:
    """Return whether a file is a packed slide, by its first bytes; False for what cannot be read."""
    name = GREETING.encode()
    try:
        check_file(path)
        with path.open("rb") as file:
            head = file.read(_LOCAL.size + len(name))
    except OSError:
        return False
    return head.startswith(_MAGIC) and head.endswith(name) and len(head) == _LOCAL.size + len(name)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as exc:
        raise SlideReadError(f"is no packed slide, or is damaged ({exc}); take it from a copy", path) from exc


def _entries(file: BinaryIO) -> dict[str, _Entry]:
    """Return where the entries' bytes are, by their names.

    Raises:
        ValueError: an entry is missing, compressed or encrypted, or leads out of the file.
    """
    size = os.fstat(file.fileno()).st_size
    _check_end(file, size)
    with zipfile.ZipFile(file) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    found = {}
    for name in (DATA, INDEX, MANIFEST):
        if name not in infos:
            raise ValueError(f"it has no entry {name}")
        info = infos[name]
        file.seek(info.header_offset)
        magic, name_bytes, extra_bytes = _LOCAL.unpack(file.read(_LOCAL.size))
        start = info.header_offset + _LOCAL.size + name_bytes + extra_bytes
        is_plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        if magic != _MAGIC or not is_plain or info.file_size != info.compress_size:
            raise ValueError(f"its entry {name} is not stored as it is")
        if start + info.file_size > size:
            raise ValueError(f"its entry {name} ends behind the file")
        found[name] = _Entry(name, start, info.file_size, info.CRC)
    return found


def _check_end(file: BinaryIO, size: int) -> None:
    """Refuse a directory of more than a few entries, before the library takes memory for it.

    Raises:
        ValueError: the directory is larger, or is not at the file's end.
    """
    tail_bytes = _END.size + _LOCATOR_BYTES + _END64_BYTES
    file.seek(max(0, size - tail_bytes))
    tail = file.read(tail_bytes)
    if len(tail) < tail_bytes:
        raise ValueError(f"a file of {size} bytes")
    magic, directory_bytes, comment_bytes = _END.unpack(tail[-_END.size :])
    if magic != _END_MAGIC or comment_bytes:
        raise ValueError("its end is missing, or is not as it was written")
    if tail[_END64_BYTES : _END64_BYTES + 4] == _LOCATOR_MAGIC:
        directory_bytes = int.from_bytes(tail[40:48], "little")
    if directory_bytes > _MOST_DIRECTORY_BYTES:
        raise ValueError(f"a directory of {directory_bytes} bytes, expected at most {_MOST_DIRECTORY_BYTES}")


def _content(file: BinaryIO, entry: _Entry, most_bytes: int) -> bytes:
    if entry.bytes > most_bytes:
        raise ValueError(f"an entry {entry.name} of {entry.bytes} bytes, expected at most {most_bytes}")
    file.seek(entry.start)
    data = file.read(entry.bytes)
    if zlib.crc32(data) != entry.crc:
        raise ValueError(f"its entry {entry.name} has another CRC-32 than its directory states")
    return data
