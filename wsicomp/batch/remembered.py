"""The options that a target tree remembers: `wsicomp.toml`, which a run without options takes.

It is a preset like any other, written by the first run and by each one whose options differ. People may edit
it. It holds what makes the batch: how slides are converted, and which. Another preset on the command line
replaces how they are converted; the options in `REMEMBERED` stay until they are given themselves. How a
single run goes (`jobs`, `until`) and what takes sources away (`delete_source`) has to be said each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsicomp.batch.options import REMEMBERED, BatchOptions
from wsicomp.config import ConversionConfig, all_options, load_preset, preset_names
from wsicomp.errors import ConfigError
from wsicomp.files.atomic import make_folder
from wsicomp.files.folders import opened_folder
from wsicomp.files.inputs import reading
from wsicomp.files.tables import write_text
from wsicomp.options import options_of

FILE = "wsicomp.toml"
"""The name of the file in a target tree."""

_HEAD = """\
# The options of this tree: what a run is not given it takes from here, and what it is given is written here.
# Edit them if you like; a line taken out has its default.
"""
_OF_A_RUN = {"mask", "device", "overwrite", "workers", "min_free"}
"""Options of a conversion that are of one slide, one machine or one run."""

Values = Mapping[str, Any]


def remembered_path(target: Path) -> Path | None:
    """Return the path of a target tree's options; None where the tree has none.

    Raises:
        ConfigError: the name belongs to a link or to something else that is no file.
    """
    path = target / FILE
    if not os.path.lexists(path):
        return None
    with reading(path, ConfigError), opened_folder(target) as folder:
        folder.check(FILE, is_read=True)
    return path


def read_remembered(target: Path) -> Values:
    """Return the options that a target tree remembers, by their names; none where it has no such file.

    Raises:
        ConfigError: the file cannot be read, or an option in it is unknown or out of range.
    """
    path = remembered_path(target)
    return {} if path is None else load_preset(path, _of_batch())


def remembered_options(target: Path) -> tuple[ConversionConfig, BatchOptions]:
    """Return the options that a target tree remembers, and the defaults of all others.

    Raises:
        ConfigError: the file cannot be read, or its options cannot be followed.
    """
    values = dict(read_remembered(target))
    own = {name: values.pop(name) for name in REMEMBERED if name in values}
    return ConversionConfig.of(**values), BatchOptions(**own)


def chosen_options(config: ConversionConfig, options: BatchOptions) -> Values:
    """Return the options of a batch that differ from their defaults, as far as a tree remembers them."""
    names = all_options().keys() - _OF_A_RUN
    default, given = ConversionConfig().flat(), with_absolute_files(config).flat()
    chosen = {name: given[name] for name in all_options() if name in names & given.keys()}
    chosen = {name: value for name, value in chosen.items() if value != default.get(name)}
    chosen |= {"roi": config.regions.word} if config.regions.word else {}
    declared = _of_batch()
    batch = {name: getattr(options, name) for name in REMEMBERED}
    chosen |= {name: value for name, value in batch.items() if value != declared[name].default}
    return {name: _plain(value) for name, value in chosen.items()}


def with_absolute_files(config: ConversionConfig) -> ConversionConfig:
    """Return the config with absolute paths, which another folder of work does not change."""
    files = {
        "weights": config.tissue.weights,
        "model": config.codec.options.get("model"),
        "roi": None if config.regions.word else config.regions.roi,
        "roi_classes": config.regions.roi_classes,
    }
    absolute = {
        name: type(file)(Path(file).absolute())
        for name, file in files.items()
        if file is not None and Path(file).exists()
    }
    return config.changed(**absolute)


def remember_options(target: Path, config: ConversionConfig, options: BatchOptions) -> None:
    """Write the options of a batch into its target tree, unless they stand there already.

    Raises:
        ConfigError: the file that stands there cannot be read, or a value is no Unicode.
        SlideWriteError: the file cannot be written.
    """
    values = chosen_options(config, options)
    if remembered_path(target) is not None and _plain_values(read_remembered(target)) == values:
        return
    lines = [f"{name} = {_toml(name, value)}\n" for name, value in values.items()]
    preset = preset_of(values)
    said = f"# These are those of the preset {preset}, and others.\n" if preset else ""
    write_text(make_folder(target) / FILE, "".join([_HEAD, said, *lines]), overwrite=True, root=target)


def preset_of(values: Values) -> str:
    """Return the shipped preset with most options, all of which are among `values`; "" for none."""
    every = {**_defaults(), **values}
    presets = {name: load_preset(name, _of_batch()) for name in preset_names()}
    fitting = {name: len(preset) for name, preset in presets.items() if preset.items() <= every.items()}
    return max(fitting, key=lambda name: fitting[name], default="")


def options_text(values: Values) -> str:
    """Return options in one line: the preset that they follow, then the others."""
    preset = preset_of(values)
    of_preset = load_preset(preset, _of_batch()) if preset else {}
    others = {name: value for name, value in values.items() if name not in of_preset}
    said = [f"preset {preset}"] if preset else []
    said += [values_text(others)] if others else []
    return ", ".join(said) or "the defaults"


def values_text(values: Values) -> str:
    """Return options with their values in one line."""
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def changes_text(before: Values, now: Values) -> str:
    """Return which options differ from those `before`, in one line; "" where none does."""
    now, before = {**_defaults(), **now}, {**_defaults(), **before}
    names = [name for name in dict.fromkeys([*now, *before]) if now.get(name) != before.get(name)]
    return ", ".join(f"{name} is {_shown(now.get(name))}, was {_shown(before.get(name))}" for name in names)


def _defaults() -> Values:
    batch = {name: _plain(each.default) for name, each in _of_batch().items()}
    return {**ConversionConfig().flat(), **batch}


def _of_batch() -> dict[str, Any]:
    return {each.name: each for each in options_of(BatchOptions).values() if each.name in REMEMBERED}


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return os.path.abspath(value)  # noqa: PTH100 - links stay as they are
    return list(value) if isinstance(value, tuple) else value


def _plain_values(values: Values) -> Values:
    """Return the values of a file as `chosen_options` has them: without those that are defaults."""
    own = {name: value for name, value in values.items() if name in REMEMBERED}
    rest = {name: value for name, value in values.items() if name not in REMEMBERED}
    return chosen_options(ConversionConfig.of(**rest), BatchOptions(**own))


def _toml(name: str, value: Any) -> str:
    """Return a value in TOML, whose texts, numbers and lists are JSON's.

    Raises:
        ConfigError: a text is no Unicode.
    """
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ConfigError(f"{name} is no Unicode, which {FILE} has to hold; take another name") from exc
    return text


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "not given"
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
