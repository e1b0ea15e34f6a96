"""Find out how a gzip member was made, so that it can be made again, byte for byte.

Nothing in a member says so. What could have made it is run on its contents and compared on the fly: zlib with
its levels, as most libraries use it, then the programs gzip and pigz where this machine has them. Members
of other libraries, such as zlib-ng in newer ITK, are not made again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Annotated, Literal, Protocol

from msgspec import Meta

from wsicomp.volumes.formats.gzip_members import AS_GZIP, GzipMember, gzip_members

_HEADER = 10
"""Bytes of the header that both zlib and the programs write when no name is given."""
_EARLY = 1 << 22
"""After so many bytes of contents only a few recipes stay on trial."""
_MOST_LATE = 3
_OPTIONS = {"gzip": ("-c", "-n"), "pigz": ("-c", "-n", "-p", "2")}
"""Write to a pipe, no name, no time; pigz makes something else with one thread than with any more."""
_LEVELS = (6, 1, 9, 2, 3, 4, 5, 7, 8)
"""In the order in which they are common."""
_OF_PROGRAMS = {2: (9,), 4: (1,)}
"""Levels by the header's XFL byte, as gzip and pigz set it; any other value is for levels between."""
_XFL = 8


@dataclass(frozen=True)
class GzipRecipe:
    """The way a gzip member was made."""

    writer: Literal["zlib", "gzip", "pigz"]
    """zlib, or the program of this name."""
    level: Annotated[int, Meta(ge=1, le=9)]
    """1 is fast, 9 is small."""
    memory: Annotated[int, Meta(ge=8, le=9)] = 8
    """zlib's memLevel; 8 is usual."""

    def __str__(self) -> str:
        return f"{self.writer} with level {self.level}"


class GzipMaker(Protocol):
    """Makes one gzip member, piece by piece."""

    def feed(self, contents: bytes | memoryview) -> bytes:
        """Return what is ready of the member, without its header."""

    def finish(self) -> bytes:
        """Return the rest, with CRC and length."""

    def close(self) -> None:
        """End it, finished or not."""


def gzip_maker(recipe: GzipRecipe) -> GzipMaker | None:
    """Return what makes a member by a recipe; None if this machine lacks the program."""
    if recipe.writer == "zlib":
        return _Zlib(recipe)
    program = shutil.which(recipe.writer)
    return _Program((program, *_OPTIONS[recipe.writer], f"-{recipe.level}")) if program else None


def find_gzip_recipe(descriptor: int, start: int, path: Path) -> GzipRecipe | None:
    """Return the recipe that makes all gzip members from byte `start` on again; None if none does.

    Costs: the contents are compressed once in full where a recipe is found at once; up to three times where
    several make the same of the first 4 MiB.

    Raises:
        VolumeReadError: a member is damaged.
    """
    of_zlib = [GzipRecipe("zlib", level, memory) for memory in (8, 9) for level in _LEVELS]
    found = _first_that_fits(of_zlib, lambda: gzip_members(descriptor, start, path), descriptor)
    if found is not None:
        return found
    first = GzipMember(descriptor, start, path)
    levels = _OF_PROGRAMS.get(first.header[_XFL], (6, 2, 3, 4, 5, 7, 8))
    of_programs = [GzipRecipe(name, level) for level in levels for name in ("gzip", "pigz")]
    return _first_that_fits(of_programs, lambda: _only(gzip_members(descriptor, start, path)), descriptor)


def _only(members: Iterator[GzipMember]) -> Iterator[GzipMember]:
    """Yield the first member, and a second if there is one: programs are started for files of one."""
    yield from (member for _, member in zip(range(2), members, strict=False))


def _first_that_fits(
    recipes: Sequence[GzipRecipe], members: Callable[[], Iterator[GzipMember]], descriptor: int
) -> GzipRecipe | None:
    recipes = [each for each in recipes if each.writer == "zlib" or shutil.which(each.writer)]
    for number, member in enumerate(members()):
        if not recipes or (number and recipes[0].writer != "zlib"):
            return None
        recipes = _fitting(recipes, member, descriptor)
    return recipes[0] if recipes else None


def _fitting(recipes: Iterable[GzipRecipe], member: GzipMember, descriptor: int) -> list[GzipRecipe]:
    """Return the recipes that make this very member."""
    with ExitStack() as stack:
        trials = [
            _Trial(each, stack.enter_context(closing(maker)), member, descriptor)
            for each in recipes
            if (maker := gzip_maker(each)) is not None
        ]
        seen = 0
        for piece in member.contents():
            seen += len(piece)
            trials = [trial for trial in trials if trial.agrees(piece)]
            if seen > _EARLY:
                trials = trials[:_MOST_LATE]
            if not trials:
                return []
        return [trial.recipe for trial in trials if trial.agrees_at_end()]


class _Trial:
    """A recipe on trial: its output is compared with a member on the fly."""

    def __init__(self, recipe: GzipRecipe, maker: GzipMaker, member: GzipMember, descriptor: int) -> None:
        self.recipe = recipe
        self._maker = maker
        self._member = member
        self._descriptor = descriptor
        self._place = member.start + len(member.header)

    def agrees(self, piece: bytes) -> bool:
        return self._is_next(self._maker.feed(piece))

    def agrees_at_end(self) -> bool:
        return self._is_next(self._maker.finish()) and self._place == self._member.end

    def _is_next(self, made: bytes) -> bool:
        there = os.pread(self._descriptor, len(made), self._place)
        self._place += len(made)
        return made == there


class _Zlib:
    """Makes a member with zlib."""

    def __init__(self, recipe: GzipRecipe) -> None:
        self._compressing = zlib.compressobj(recipe.level, zlib.DEFLATED, AS_GZIP, recipe.memory)
        self._without_header = _WithoutHeader()

    def feed(self, contents: bytes | memoryview) -> bytes:
        return self._without_header(self._compressing.compress(contents))

    def finish(self) -> bytes:
        return self._without_header(self._compressing.flush())

    def close(self) -> None:
        """Nothing is open."""


class _Program:
    """Makes a member with a program that reads its contents from a pipe."""

    def __init__(self, command: Sequence[str]) -> None:
        settings = {name: value for name, value in os.environ.items() if name not in ("GZIP", "PIGZ")}
        self._running = subprocess.Popen(  # noqa: S603 - a name of ours, found on the path, and a number
            command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._ready: SimpleQueue[bytes] = SimpleQueue()
        self._reading = Thread(target=self._read, daemon=True)
        self._reading.start()
        self._without_header = _WithoutHeader()

    def _read(self) -> None:
        assert self._running.stdout is not None
        while data := os.read(self._running.stdout.fileno(), 1 << 16):
            self._ready.put(data)

    def feed(self, contents: bytes | memoryview) -> bytes:
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(contents)
        except BrokenPipeError:  # it has ended: what it made is short, and does not fit
            return b""
        return self._without_header(self._made())

    def finish(self) -> bytes:
        assert self._running.stdin is not None
        try:
            self._running.stdin.close()
        except BrokenPipeError:
            return b""
        self._reading.join()
        return self._without_header(self._made())

    def close(self) -> None:
        self._running.kill()
        self._running.wait()
        self._reading.join()
        for pipe in (self._running.stdin, self._running.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue

    def _made(self) -> bytes:
        pieces = []
        while True:
            try:
                pieces.append(self._ready.get_nowait())
            except Empty:
                return b"".join(pieces)


class _WithoutHeader:
    """Drops the first 10 bytes of what comes in pieces."""

    def __init__(self) -> None:
        self._left = _HEADER

    def __call__(self, data: bytes) -> bytes:
        rest = data[self._left :]
        self._left -= min(self._left, len(data))
        return rest
