"""Write a file again from its frame and its voxels, and say whether it is the source, byte for byte."""

from __future__ import annotations

import bz2
import hashlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from wsicomp.errors import SlideWriteError, TargetExistsError, VolumeReadError
from wsicomp.files.atomic import completed_file
from wsicomp.files.json_values import parsed
from wsicomp.volumes.formats.contents import ByteStream
from wsicomp.volumes.formats.gzip_members import AS_GZIP
from wsicomp.volumes.formats.gzip_recipes import GzipRecipe, gzip_maker
from wsicomp.volumes.formats.number_texts import numbers_text
from wsicomp.volumes.formats.stored_frame import (
    AFTER,
    BEFORE,
    FILE_START,
    GZIP_HEADERS,
    HEADER_FILE,
    MOST_HEADER_BYTES,
    StoredFrame,
)
from wsicomp.volumes.volume import Rebuilt, VolumeFrame, VoxelSlice

_DEFAULT = GzipRecipe("zlib", 6)


def write_stored(
    frame: VolumeFrame,
    slices: Iterable[VoxelSlice],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    target: Path,
    overwrite: bool = False,
) -> Rebuilt:
    """Write a volume's file again; where its header is in a file of its own, both.

    Raises:
        VolumeReadError: the frame is damaged.
        SlideWriteError: the slices are not those of the frame's header, or the target cannot be written.
        TargetExistsError: a target exists, and `overwrite` is False.
    """
    stored = _parsed(frame, target)
    if (shape, dtype) != (stored.shape, np.dtype(stored.dtype).newbyteorder("=")):
        found = f"{_words(shape, dtype)} do not fit the header of {_words(stored.shape, stored.dtype)}"
        raise SlideWriteError(f"{found}; restore it without the header of its source", target)
    with ExitStack() as stack:
        header = frame.parts.get(HEADER_FILE, b"")
        if stored.data_name:
            stack.enter_context(completed_file(target, overwrite)).write(header)
        path = target.with_name(stored.data_name) if stored.data_name else target
        with completed_file(path, overwrite) as file:
            return _written(stored, frame, slices, file, target)


def _words(shape: tuple[int, ...], dtype: object) -> str:
    return f"{' x '.join(map(str, shape))} voxels of {np.dtype(dtype).name}"  # type: ignore[call-overload]


def stored_outputs(frame: VolumeFrame, target: Path, overwrite: bool = False) -> tuple[Path, ...]:
    """Return the paths that `write_stored` would write: the target, and the voxels beside a header .nhdr.

    Raises:
        VolumeReadError: the frame is damaged.
        SlideWriteError: the frame has a file beside its header, and the target is no .nhdr.
        TargetExistsError: that file exists, and is not the one that the target's header names.
    """
    name = _parsed(frame, target).data_name
    if not name:
        return (target,)
    beside = target.with_name(name)
    if os.path.lexists(beside) and not (overwrite and _names(_begin_of(target), name)):
        found = f"exists already, and the voxels of {target.name} would be written there"
        raise TargetExistsError(f"{found}; name a target in another folder", beside)
    return target, beside


def _begin_of(target: Path) -> bytes:
    """Return a header that exists, b"" where there is none."""
    if not target.is_file():
        return b""
    with target.open("rb") as file:
        return file.read(MOST_HEADER_BYTES)


def _names(header: bytes, name: str) -> bool:
    """Return whether an NRRD header says that its voxels are in the file `name`, in its own folder."""
    line = rb"^data ?file:[ \t]*(\./)?" + re.escape(name.encode()) + rb"[ \t\r]*$"
    return header.startswith(b"NRRD") and bool(re.search(line, header, re.MULTILINE | re.IGNORECASE))


def _parsed(frame: VolumeFrame, target: Path) -> StoredFrame:
    try:
        found = parsed(frame.values, StoredFrame)
    except ValueError as exc:
        raise VolumeReadError(f"the frame cannot be read ({exc})", target) from exc
    name = found.data_name
    if not name:
        return found
    is_plain = name.isascii() and name.isprintable() and not name.startswith(".") and not {*"/\\"} & {*name}
    if not is_plain or frame.format != "NRRD" or not _names(frame.parts.get(HEADER_FILE, b""), name):
        raise VolumeReadError(f"the frame has its voxels in {name!r:.40}, which no NRRD header names", target)
    if target.suffix.lower() != ".nhdr" or name == target.name:
        holds = "holds a header with its voxels in another file, not of this name"
        raise SlideWriteError(f"{holds}; name a target that ends in .nhdr", target)
    return found


class _Digested:
    """Notes the SHA-256 of what passes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._digest.update(piece)
            yield piece

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _written(
    stored: StoredFrame, frame: VolumeFrame, slices: Iterable[VoxelSlice], file: BinaryIO, target: Path
) -> Rebuilt:
    parts = frame.parts
    voxels = _voxels(stored, slices, target)
    contents = _Digested(chain([parts.get(BEFORE, b"")], voxels, [parts.get(AFTER, b"")]))
    packed = _packed(stored, contents, parts.get(GZIP_HEADERS, b""))
    made = _Digested(chain([parts.get(FILE_START, b"")], packed))
    file.writelines(made)
    if made.sha256 == stored.file_sha256:
        return Rebuilt(exact=True)
    if contents.sha256 != stored.content_sha256:
        return Rebuilt(exact=False, note="The voxels are not those of the source.")
    return Rebuilt(exact=False, note=f"Header and voxels are exact; {_why(stored)}.")


def _why(stored: StoredFrame) -> str:
    if stored.packing == "text":
        return "the numbers of the text are spelled in another way than they were"
    if stored.packing == "gzip" and stored.recipe is None:
        return "no program known here makes the gzip data of the source, so they were made anew"
    made_by = stored.recipe or stored.packing
    return f"the source was packed by {made_by}, which is not here or in another version"


def _voxels(stored: StoredFrame, slices: Iterable[VoxelSlice], target: Path) -> Iterator[bytes]:
    """Yield the bytes of every slice as the file has them."""
    columns, rows = stored.shape[:2]
    expected = int(np.prod(stored.shape[2:], dtype=object))
    count = 0
    for number, each in enumerate(slices):
        count = number + 1
        if each.shape != (rows, columns) or count > expected:
            break
        yield each.astype(np.dtype(stored.dtype), copy=False).tobytes()
    else:
        if count == expected:
            return
    raise SlideWriteError(f"got {count} slices, expected {expected} of {rows} x {columns}", target)


def _packed(stored: StoredFrame, contents: Iterable[bytes], gzip_headers: bytes) -> Iterator[bytes]:
    if stored.packing == "gzip":
        yield from _gzipped(stored, contents, gzip_headers)
        yield bytes(stored.padding)
    elif stored.packing == "bzip2":
        compressing = bz2.BZ2Compressor(stored.level or 9)
        yield from (compressing.compress(piece) for piece in contents)
        yield compressing.flush()
    elif stored.packing == "text":
        for piece in filter(None, contents):
            values = np.frombuffer(piece, np.dtype(stored.dtype)).reshape(-1, stored.shape[0])
            yield numbers_text(values, bool(stored.level))
    else:
        yield from contents


def _gzipped(stored: StoredFrame, contents: Iterable[bytes], headers: bytes) -> Iterator[bytes]:
    """Yield gzip members; the last takes all contents that are left."""
    members = list(stored.members) or [(0, 0)]
    left, kept = ByteStream(contents), memoryview(headers)
    recipe = stored.recipe or _DEFAULT
    for number, (header_bytes, content_bytes) in enumerate(members):
        header, kept = kept[:header_bytes], kept[header_bytes:]
        is_last = number == len(members) - 1
        yield bytes(header) or _plain_header()
        maker = gzip_maker(recipe) or gzip_maker(_DEFAULT)
        assert maker is not None
        with closing(maker):
            for piece in left.take(None if is_last else content_bytes):
                yield maker.feed(piece)
            yield maker.finish()


def _plain_header() -> bytes:
    return zlib.compress(b"", wbits=AS_GZIP)[:10]
