"""Opens the original behind a file of ours, whatever container holds it."""

from __future__ import annotations

import io
import os

from wsicomp.errors import SlideReadError
from wsicomp.files.inputs import given_path
from wsicomp.formats.converted.restoration import open_converted_original
from wsicomp.formats.originals.reading import OriginalFile
from wsicomp.formats.packed.container import PackedSlide, is_pack

_BUFFER_BYTES = 1 << 18


def open_original(path: str | os.PathLike[str], member: str | None = None) -> io.BufferedReader:
    """Open the source of a restorable conversion, or a file of a packed slide, rebuilt only where it is read.

    It is read-only and seekable, and gives the source's very bytes: tifffile, pydicom, tiffslide, fsspec and
    `shutil.copyfileobj` take it. Its `raw.original.read(start, count)` may be called by any thread at once.

    `member` is the name of a file in a packed slide; by default it is the one that opens the slide.

    Memory: the index, about a hundred bytes for each tile, and 64 MiB of rebuilt tiles.

    Examples:
        >>> with wsicomp.open_original("kept.tiff") as file:  # doctest: +SKIP
        ...     file.seek(-1000, 2)
        ...     end = file.read()

    Raises:
        SlideReadError: The file is no restorable conversion and no packed slide, is damaged, or has no such
            `member`. While it is read: a tile is damaged, which the error names.
        UnsupportedSlideError: The file is one of wsicomp 0.7 or before, whose source is read in order alone.
    """
    path = given_path(path)
    if is_pack(path):
        original = PackedSlide(path).original(member, is_shared=False)
    elif member is not None:
        raise SlideReadError("is no packed slide, of which a member could be opened; name none", path)
    else:
        original = open_converted_original(path)
    return io.BufferedReader(OriginalFile(original), _BUFFER_BYTES)
