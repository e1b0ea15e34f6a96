"""What an archive's tree shows: files, folders and links, each with its name and its attributes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from wsicomp.mount.file_facts import FileFacts, FileIdentity, HeldFolder, HeldOriginal

_INODE_BYTES = 7
"""Bytes of a number of an inode: 56 bits, which every program can hold."""


@dataclass(frozen=True)
class ShownFile:
    """A file: an original, or a file of the archive as it is."""

    facts: FileFacts
    """The file of the archive behind it."""
    original: HeldOriginal | None = None
    """The original in that file; None where it is shown as it is."""
    reach: int = 0o777
    """The permission bits that the folders of that file leave, where it is shown outside of them."""

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.facts.status.st_size if self.original is None else self.original.bytes

    @property
    def mtime_ns(self) -> int:
        """The time of its last change in ns since 1970."""
        stated = None if self.original is None else self.original.mtime_ns
        return self.facts.status.st_mtime_ns if stated is None else stated

    @property
    def mode(self) -> int:
        """Its permission bits. Nobody may read an original who may not read the file behind it."""
        own = self.facts.status.st_mode & 0o777
        stated = None if self.original is None else self.original.mode
        return (own if stated is None else stated & (own | 0o333)) & self.reach

    def current(self) -> ShownFile | None:
        """Return it as it is now, or as it was if its file is removed; None if that is another by now.

        A file that is shown as it is may have been written to.

        Raises:
            OSError: the file system does not say.
        """
        try:
            now = os.lstat(self.facts.path)
        except (FileNotFoundError, NotADirectoryError):
            return self
        before = self.facts.status
        if self.original is not None:
            return self if FileIdentity.of(now) == self.facts.identity else None
        is_same = (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino)
        return replace(self, facts=replace(self.facts, status=now)) if is_same else None

    @property
    def version(self) -> tuple[FileIdentity, str | None]:
        """What changes when other bytes stand behind its name."""
        return self.facts.identity, None if self.original is None else self.original.member


@dataclass(frozen=True)
class ShownLink:
    """A symbolic link, which whoever opens it follows, and nobody here."""

    path: Path
    """Where it is in the archive."""
    status: os.stat_result = field(repr=False)
    """Its own status."""
    text: str
    """Where it leads."""


@dataclass(frozen=True)
class ShownFolder:
    """A folder."""

    path: Path | None
    """The folder of the archive behind it; None where originals alone make it one."""
    status: os.stat_result = field(repr=False)
    """Its status, or that of the file or folder that it comes from."""
    given: Mapping[str, Shown] = field(default_factory=dict, repr=False)
    """What else it shows: originals of files that lie elsewhere."""
    held: HeldFolder | None = None
    """What a file that holds it says of it; None where none does."""
    reach: int = 0o777
    """The permission bits that are left, where originals from closed folders are in it."""


Shown: TypeAlias = "ShownFile | ShownLink | ShownFolder"


def inode_of(path: str, shown: Shown) -> int:
    """Return a number for what is shown at a path, 2 or more; another once its file is replaced."""
    version = shown.version if isinstance(shown, ShownFile) else ""
    text = f"{path}\0{version}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=_INODE_BYTES).digest(), "little") | 2


def joined_path(folder: str, name: str) -> str:
    """Return the path of what a folder of the tree holds; "" is the root."""
    return f"{folder}/{name}" if folder else name
