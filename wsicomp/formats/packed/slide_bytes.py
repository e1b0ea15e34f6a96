"""The files of a slide, laid end to end and read by position."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from wsicomp.errors import SourceChangedError
from wsicomp.files.inputs import check_file, reading


@dataclass(frozen=True)
class OpenPart:
    """An open file of a slide."""

    path: Path
    """Its path."""
    total_bytes: int
    """Its size when it was opened."""
    start: int
    """The offset of its first byte among those of all files."""
    descriptor: int
    """What it is read by."""

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes of the file from `offset` on, fewer at its end.

        Raises:
            SlideReadError: it cannot be read, or became shorter.
        """
        wanted = max(0, min(count, self.total_bytes - offset))
        with reading(self.path):
            data = os.pread(self.descriptor, wanted, offset) if wanted else b""
            while (
                0 < len(data) < wanted
            ):  # a system may return less than 2 GB at a time, or than a signal lets it
                more = os.pread(self.descriptor, wanted - len(data), offset + len(data))
                if not more:
                    break
                data += more
        if len(data) < wanted:
            raise SourceChangedError(
                "became shorter while it was read; pack it when it is complete", self.path
            )
        return data


@contextmanager
def opened_parts(paths: Sequence[Path]) -> Iterator[list[OpenPart]]:
    """Open the files of a slide for a `with` block.

    Raises:
        SlideReadError: a file is none, or cannot be opened.
    """
    with ExitStack() as stack:
        parts, start = [], 0
        for path in paths:
            check_file(path, may_be_empty=True)
            with reading(path):
                file = stack.enter_context(path.open("rb", buffering=0))
                size = os.fstat(file.fileno()).st_size
            parts.append(OpenPart(path, size, start, file.fileno()))
            start += size
        yield parts
