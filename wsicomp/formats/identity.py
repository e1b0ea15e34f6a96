"""The identity of a slide: name, size and SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from wsicomp.files.attributes import Attributes
from wsicomp.files.inputs import check_file, reading
from wsicomp.formats.base import Slide
from wsicomp.formats.slide_files import slide_parts
from wsicomp.plan.conversion_plan import MOST_TIME_NS, SourceIdentity
from wsicomp.progress import StageProgress, no_progress

_BLOCK_BYTES = 1 << 20


def identify(slide: Slide, progress: StageProgress = no_progress, *, with_name: bool) -> SourceIdentity:
    """Return name, size in bytes, SHA-256 and time of a source.

    For a source that is a conversion itself, it also has the SHA-256 of that conversion's source. A name may
    be a patient's, a time that of a visit; the identity has None in their place if `with_name` is False.

    Raises:
        SlideReadError: a file of the slide cannot be read.
    """
    path, origin = slide.info.path, None
    if slide.provenance is not None:
        behind = slide.provenance.plan.source
        origin = behind.origin_sha256 or behind.sha256
    size, sha256 = slide_identity(path, progress)
    if not with_name:
        return SourceIdentity(None, size, sha256, origin)
    mtime_ns = Attributes.of(path, with_time=True).mtime_ns or 0
    is_stated = abs(mtime_ns) < MOST_TIME_NS
    return SourceIdentity(path.name, size, sha256, origin, mtime_ns if is_stated else None)


def slide_identity(path: Path, progress: StageProgress = no_progress) -> tuple[int, str]:
    """Return (size in bytes, SHA-256) of a slide.

    The SHA-256 of a slide of many files is over the digests of its files, in the order of their names.

    >>> slide_identity(Path("slide.svs"))  # doctest: +SKIP
    (1938955, '8c1b...')

    Raises:
        SlideReadError: a file of the slide cannot be read.
    """
    parts = slide_parts(path)
    digests, total = [], sum(map(_size, parts))
    done = 0

    def further(read: int, _: int) -> None:
        progress(done + read, total)

    for part in parts:
        digests.append(file_sha256(part, further))
        done += _size(part)
    return total, joined_sha256(digests)


def joined_sha256(digests: Sequence[str]) -> str:
    """Return the SHA-256 of a slide from those of its files in the order of their paths.

    >>> joined_sha256(["8c1b"])
    '8c1b'
    """
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()


def slide_bytes(path: Path) -> int:
    """Return the bytes of all files of a slide.

    Raises:
        SlideReadError: a file of the slide cannot be read.
    """
    return sum(map(_size, slide_parts(path)))


def _size(path: Path) -> int:
    with reading(path):
        return path.stat().st_size


def file_sha256(path: Path, progress: StageProgress = no_progress) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        SlideReadError: the file cannot be read.
    """
    check_file(path, may_be_empty=True)
    digest = hashlib.sha256()
    with reading(path), path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            progress(file.tell(), total)
    return digest.hexdigest()
