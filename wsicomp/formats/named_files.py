"""The files that a slide's index names, and of those the ones that are not there.

MRXS names its data files in `Slidedat.ini`, VMS and VMU name theirs in the file that opens the slide. A slide
that lacks one is kept as it is; but whoever has it should look for the rest before the slide is taken away.

Source: OpenSlide's `openslide-vendor-mirax.c` and `openslide-vendor-hamamatsu.c`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from wsicomp.files.inputs import reading
from wsicomp.formats.slide_files import LISTS, index_values, name_key, own_folder

_SETTINGS = "Slidedat.ini"
_MIRAX_KEY = re.compile(r"INDEXFILE|FILE_\d+")
_HAMAMATSU_KEY = re.compile(r"(ImageFile|MapFile|MacroImage)(\(.*\))?")
_NAMED = 3


def missing_files(path: Path) -> tuple[str, ...]:
    """Return the files that the slide names and that are not there, as paths in the slide's folder, sorted.

    Upper and lower case count as one, and so do the ways to encode a name. A slide that `path` opens alone
    names none. The optimisation file of VMS is none of them, for OpenSlide does without it.

    Raises:
        SlideReadError: its files cannot be listed or read.
    """
    with reading(path):
        suffix, folder = path.suffix.lower(), own_folder(path)
        if suffix == ".mrxs" and folder is not None:
            return tuple(
                f"{folder.name}/{name}" for name in _missing(folder, [_SETTINGS, *_of_mirax(folder)])
            )
        return tuple(_missing(path.parent, list(_values(path, _HAMAMATSU_KEY)))) if suffix in LISTS else ()


def missing_text(names: tuple[str, ...]) -> str:
    """Return the words for a slide's missing files; "" for none.

    >>> missing_text(("m/Data0003.dat",))
    'named by the slide and not there: m/Data0003.dat'
    """
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return f"named by the slide and not there: {', '.join([*names[:_NAMED], *more])}" if names else ""


def _of_mirax(folder: Path) -> Iterator[str]:
    for file in folder.iterdir() if folder.is_dir() else ():
        if name_key(file.name) == name_key(_SETTINGS):
            yield from _values(file, _MIRAX_KEY)


def _values(index: Path, key: re.Pattern[str]) -> Iterator[str]:
    """Yield the names of files that lines `key=name` of an index have."""
    for found, name in index_values(index):
        if name and "/" not in name and key.fullmatch(found):
            yield name


def _missing(folder: Path, names: list[str]) -> list[str]:
    """Return the names, each once and sorted, that nothing in a folder has."""
    there = {name_key(file.name) for file in folder.iterdir()} if folder.is_dir() else set()
    return sorted({name for name in names if name_key(name) not in there})
