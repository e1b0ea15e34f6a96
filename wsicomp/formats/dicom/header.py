"""The header of a DICOM file by pydicom, without what stands behind the wanted elements."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_DEFERRED_BYTES = 1 << 20


@contextmanager
def opened_header(path: Path, names: Sequence[str], behind: int | None = None) -> Iterator[tuple[Any, int]]:
    """Yield what `parsed_header` does of a file.

    Raises:
        ValueError: the file is damaged, lacks an element, or the block cannot read one.
        OSError: it cannot be read.
    """
    with path.open("rb") as file, parsed_header(file, names, behind) as found:
        yield found


@contextmanager
def parsed_header(
    file: BinaryIO, names: Sequence[str], behind: int | None = None
) -> Iterator[tuple[Any, int]]:
    """Yield a file's elements of these names, and the byte behind the last one that was looked at.

    pydicom decodes an element when it is asked for, which therefore belongs into the block. Nothing from the
    tag `behind` on is looked at, or behind the last of the names: a slide may have 100,000 items there.

    Raises:
        ValueError: the file is damaged, lacks an element, or the block cannot read one.
        OSError: it cannot be read.
    """
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 - slow to load, and few slides are DICOM
    from pydicom.errors import BytesLengthException, InvalidDicomError  # noqa: PLC0415
    from pydicom.filereader import read_partial  # noqa: PLC0415

    tags = [tag for name in names if (tag := tag_for_keyword(name)) is not None]
    end = max(tags) + 1 if behind is None else behind
    damaged = (InvalidDicomError, BytesLengthException, struct.error, zlib.error, EOFError, RecursionError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = read_partial(file, lambda tag, *_: tag >= end, _DEFERRED_BYTES, specific_tags=[*tags])
            yield header, file.tell()
    except (*damaged, AttributeError, TypeError, LookupError, OverflowError, NotImplementedError) as exc:
        raise ValueError(f"a damaged header, {type(exc).__name__}") from exc
