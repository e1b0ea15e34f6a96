"""The command line that makes what a row of a comparison has: one slide by `convert`, several by `batch`."""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from wsicomp.config import ConversionConfig, all_options
from wsicomp.options import Value

_SMALL = "-small"


def shared_options(base: ConversionConfig) -> dict[str, Value]:
    """Return the options that shape a file and are no defaults, of a config that all rows share."""
    plain, known = ConversionConfig().flat(), all_options()
    return {
        name: value
        for name, value in base.flat().items()
        if known[name].shapes_file and name != "glass" and value != plain.get(name)
    }


def convert_command(
    sources: Sequence[str],
    is_folder: bool,
    container: str,
    options: Mapping[str, Value],
    excluded: Sequence[str] = (),
    preset: str = "",
) -> str:
    """Return the command line that converts the sources of a comparison by these options.

    `sources` are paths; with `is_folder` a tree of slides. `container` is that of one slide's target. Of
    several slides those with `excluded` suffixes are left out. `options` go before those of `preset`.

    >>> convert_command(["my slide.svs"], False, "svs", {"codec": "copy", "glass": "keep"})
    "wsicomp convert 'my slide.svs' 'my slide-small.svs' --codec copy --glass keep"
    """
    if is_folder:
        folder = Path(sources[0])
        words = ["batch", *_trees(folder)]
        for suffix in excluded:
            words += ["--exclude", f"*{glob.escape(suffix)}"]
    elif len(sources) == 1:
        path = Path(sources[0])
        words = ["convert", _argument(path), _argument(Path(f"{path.stem}{_SMALL}.{container}"))]
    else:
        folder, names = _common(sources)
        words = ["batch", *_trees(folder)]
        for name in (name for name in names if Path(name).suffix not in excluded):
            words += ["--include", glob.escape(name)]
    words += ["--preset", preset] if preset else []
    return shlex.join(["wsicomp", *words, *_flags(options)])


def suffixes_apart(left: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the suffixes that only slides to leave out have, of all slides' names.

    >>> suffixes_apart(["a.dcm", "b.svs"], ["a.dcm", "b.svs", "c.svs"])
    ['.dcm']
    """
    others = {Path(name).suffix for name in names if name not in left}
    return sorted({Path(name).suffix for name in left} - others - {""})


def command_lines(command: str, width: int) -> list[str]:
    r"""Return a command in lines of at most so many characters that a shell takes for one, where it breaks.

    It breaks between words, and keeps an option and its value together.

    >>> command_lines("wsicomp convert a.svs b.svs --codec jpeg --lossless", 40)
    ['wsicomp convert a.svs b.svs \\', '  --codec jpeg --lossless']
    """
    program, name, *words = [shlex.quote(word) for word in shlex.split(command)]
    parts = [f"{program} {name}"]
    for word in words:
        if parts[-1].startswith("--") and " " not in parts[-1] and not word.startswith("--"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f" {part}"
        else:
            lines[-1] += " \\"
            lines.append(f"  {part}")
    return lines


def _trees(folder: Path) -> list[str]:
    """Return a tree of slides, and beside it the tree for their conversions."""
    name = folder.name if folder.name not in ("", "..") else folder.resolve().name
    parent = folder.parent if folder.name not in ("", "..") else Path("..") / folder
    return [_argument(folder), _argument(parent / f"{name}{_SMALL}")]


def _common(sources: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the folder that holds all the slides, and their paths in it."""
    paths = [Path(source) for source in sources]
    if len({path.is_absolute() for path in paths}) > 1:
        paths = [path.absolute() for path in paths]
    folder = Path(os.path.commonpath([path.parent for path in paths]) or ".")
    return folder, [str(path.relative_to(folder)) for path in paths]


def _argument(path: Path) -> str:
    """Return a path as an argument that is not taken for an option."""
    text = str(path)
    return f"./{text}" if text.startswith("-") else text


def _flags(options: Mapping[str, Value]) -> list[str]:
    known, words = all_options(), []
    for name, value in options.items():
        flag = known[name].flag
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            words += [flag, f"{value:.12g}" if isinstance(value, float) else str(value)]
    return words
