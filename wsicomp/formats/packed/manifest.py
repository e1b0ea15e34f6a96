"""What a packed slide states of its files: names, sizes, times, modes and digests; read without trust."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Annotated, TypeAlias

from msgspec import Meta

from wsicomp.files.json_values import Offset, Sha256, parsed_bytes, plain_bytes
from wsicomp.plan.conversion_plan import MOST_TIME_NS, SourceIdentity
from wsicomp.text.paths import as_path, as_text

VERSION = 1
_MOST_FILES, _MOST_DEPTH, _LONGEST_NAME = 100_000, 32, 255

_Mode: TypeAlias = Annotated[int, Meta(ge=0, le=0o777)]
_Time: TypeAlias = Annotated[int, Meta(gt=-MOST_TIME_NS, lt=MOST_TIME_NS)]
_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1 << 14)]


@dataclass(frozen=True)
class PackedFile:
    """A file of a packed slide."""

    name: _Name
    """Its path in the folder of the slide, with slashes, as `as_text` writes it."""
    bytes: Offset
    """Its size."""
    sha256: Sha256
    """Its SHA-256."""
    mtime_ns: _Time | None
    """The time of its last change in ns since 1970; None where that was beyond 2116."""
    mode: _Mode
    """Its permission bits."""


@dataclass(frozen=True)
class PackedFolder:
    """A folder of a packed slide."""

    name: _Name
    """Its path in the folder of the slide, with slashes, as `as_text` writes it."""
    mtime_ns: _Time | None
    """The time of its last change in ns since 1970; None where that was beyond 2116."""
    mode: _Mode
    """Its permission bits."""


@dataclass(frozen=True)
class PackManifest:
    """What a packed slide is made of."""

    version: int
    """The version of the format, 1."""
    software: Annotated[str, Meta(max_length=1 << 10)]
    """Name and version of the program that packed it."""
    source: SourceIdentity
    """The identity of the slide."""
    opens: _Name
    """The name of the file by which programs open the slide."""
    files: Annotated[tuple[PackedFile, ...], Meta(min_length=1, max_length=_MOST_FILES)]
    """All its files, sorted by path: their bytes are indexed in this order."""
    folders: Annotated[tuple[PackedFolder, ...], Meta(max_length=_MOST_FILES)] = ()
    """The folders that they and nothing else are in, the outer ones first."""

    @property
    def total_bytes(self) -> int:
        """The bytes of all files."""
        return sum(file.bytes for file in self.files)

    def starts(self) -> dict[str, int]:
        """Return the offset of each file's first byte among those of all files, by its name."""
        starts = accumulate((file.bytes for file in self.files), initial=0)
        return {file.name: start for file, start in zip(self.files, starts, strict=False)}

    def to_bytes(self) -> bytes:
        """Return the manifest as JSON."""
        return plain_bytes(self)

    @classmethod
    def from_bytes(cls, text: bytes) -> PackManifest:
        """Return the manifest that `to_bytes` wrote.

        Raises:
            ValueError: it is damaged, of a later version, or names files that no folder may get.
        """
        found = parsed_bytes(text, cls)
        if found.version != VERSION:
            raise ValueError(f"a pack of version {found.version}, expected {VERSION}; update wsicomp")
        check_names([file.name for file in found.files], [folder.name for folder in found.folders])
        if found.opens not in {file.name for file in found.files}:
            raise ValueError(f"it says that {found.opens} opens the slide, and holds no such file")
        if found.total_bytes != found.source.bytes:
            raise ValueError(f"files of {found.total_bytes} bytes, expected the slide's {found.source.bytes}")
        return found


def text_of_name(path: Path) -> str:
    """Return a file's path in the slide's folder as its name in a manifest."""
    return as_text(PurePosixPath(*path.parts))


def path_of_name(name: str) -> Path:
    """Return the path in the slide's folder that a name in a manifest stands for."""
    return as_path(name)


def check_names(files: Sequence[str], folders: Sequence[str] = ()) -> None:
    """Refuse names that lead out of a folder, or that two files share on any file system.

    Raises:
        ValueError: a name is absolute, has `..` in it, is too long, or is another's but for upper case.
    """
    plain, taken = set(files), dict[str, str]()
    for name in (*files, *folders):
        _check_name(name)
        if (other := taken.setdefault(_key(name), name)) != name:
            raise ValueError(f"two files {other!r} and {name!r}, which some systems hold for one")
    if len(taken) < len(files) + len(folders):
        raise ValueError("a file's name that comes twice")
    above = {parent for name in taken for parent in PurePosixPath(name).parents}
    if clash := [name for name in plain if PurePosixPath(_key(name)) in above]:
        raise ValueError(f"a file {clash[0]!r} that is a folder, too")


def _check_name(name: str) -> None:
    path = as_path(name)
    parts = str(path).split("/")
    is_plain = text_of_name(path) == name and not path.is_absolute() and "\0" not in str(path)
    is_short = len(parts) <= _MOST_DEPTH and max(
        len(part.encode("utf-8", "surrogateescape")) for part in parts
    ) <= (_LONGEST_NAME)
    if not is_plain or not is_short or {"", ".", ".."} & set(parts):
        raise ValueError(f"a file named {name!r}, expected a path inside the slide's folder")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
