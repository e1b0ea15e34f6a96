"""The commands, with the arguments and options that they declare and the functions that they run.

The library that parses command lines is not known here. Help, man page and docs are made from the same
declarations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsicomp.cli.verbosity import Verbosity, VerbosityOptions
from wsicomp.errors import ConfigError
from wsicomp.options import Option, Value, did_you_mean, options_of
from wsicomp.text.escaping import quoted

if TYPE_CHECKING:
    from wsicomp.config import ConversionConfig

SUMMARIES: Mapping[str, str] = {
    "convert": "convert a slide into a smaller one",
    "batch": "convert a tree of slides",
    "batch status": "print where a batch stands",
    "batch report": "print what a batch did, or write it as a page",
    "batch accept": "record that somebody looked at a slide",
    "batch rebuild": "make a lost ledger anew from the targets",
    "batch restore": "give the sources of a tree of conversions back",
    "compare": "compare codecs on your own slides",
    "verify": "check a converted slide",
    "restore": "rebuild the source of a conversion, byte for byte",
    "upgrade": "let the originals of older conversions be read at random",
    "info": "print what a slide is",
    "segment": "write the tissue mask of a slide",
    "view": "show slides beside their conversions in a browser",
    "mount": "mount an archive as its original slides",
    "unmount": "take the mount of an archive away",
    "serve": "serve an archive's original slides over HTTP",
    "volume": "make volumes of radiology smaller",
    "volume compress": "compress a volume: NIfTI, NRRD or DICOM",
    "volume restore": "give the source of a compressed volume back",
    "volume info": "print what a volume is",
    "volume verify": "check a compressed volume",
    "volume compare": "compare codecs on your own volumes",
    "codecs": "list the codecs",
    "presets": "list the presets that ship",
    "demo": "try it all on a drawn slide",
    "dataset": "make patch sets to train on",
    "dataset build": "cut labelled slides into patches",
    "dataset draw": "draw slides with true masks",
    "train": "train the tissue network or a codec model",
    "train tissue": "train the U-Net that tells tissue from glass",
    "train codec": "train a model for neural tiles",
    "evaluate": "measure a network or model on your own data",
    "evaluate tissue": "measure how well tissue is told from glass",
    "evaluate codec": "measure how true neural tiles are, and how small",
    "study": "measure what compression costs a network",
    "study downstream": "measure what a segmentation network loses by JPEG 2000",
    "help": "print the page of a command",
    "completion": "print a script for a shell's completion",
}
"""Every command with its purpose, including words that only hold other commands.

The module of this package that has the first word's name declares it in `COMMANDS`.
"""

_OF_BATCH = ("include", "exclude", "carry_others", "name_key", "quarantine_days", "min_saving")
"""Options that a preset may hold although they belong to `wsicomp batch` and not to a conversion."""


@dataclass(frozen=True)
class Command:
    """A command, as command line, help, man page and docs know it."""

    name: str
    """Its words, such as "batch status"."""
    parts: tuple[type, ...]
    """Dataclasses that declare its own arguments and options."""
    run: Callable[..., int]
    """Runs it, given an instance of each part and, if it converts, a config; returns the exit code.

    Its docstring is what help, man page and docs say of the command.
    """
    conversion: tuple[Option, ...] = ()
    """Options of a conversion, which a preset may set as well."""
    epilog: str = ""
    """Examples and tables, shown line by line as they are."""
    standing_preset: Callable[[Mapping[str, object]], Path | None] | None = None
    """Returns the preset that is taken where none of the options given is one; None for no preset.

    Where one is given, the options that belong to a batch are taken from the standing one all the same.
    """

    @property
    def summary(self) -> str:
        """Its purpose in a few words."""
        return SUMMARIES[self.name]

    @property
    def description(self) -> str:
        """The description of the command, in paragraphs."""
        return inspect.getdoc(self.run) or f"{self.summary.capitalize()}."  # no docstrings with python -OO

    @property
    def options(self) -> tuple[Option, ...]:
        """Its arguments and options: arguments first, then each group's options together."""
        own = {each.name: each for part in self.parts for each in options_of(part).values()}
        every = {**own, **{each.name: each for each in self.conversion if each.name not in own}}.values()
        shared = dict.fromkeys(each.group for each in self.conversion)
        order = [*(each.group for each in every if each.group not in shared), *shared]
        own_order = sorted(every, key=lambda each: (not each.is_argument, order.index(each.group)))
        return (*own_order, *options_of(VerbosityOptions).values())

    @property
    def groups(self) -> Mapping[str, tuple[Option, ...]]:
        """Its arguments and options by the headings of their groups."""
        grouped = groupby(self.options, lambda each: "arguments" if each.is_argument else each.group)
        return {group: tuple(some) for group, some in grouped}

    @property
    def usage(self) -> str:
        """The usage of the command, in one line."""
        words = [f"wsicomp {self.name}", "[OPTIONS]"]
        words += [
            f"{each.flag} {each.shown}" for each in self.options if each.is_required and not each.is_argument
        ]
        for each in self.groups.get("arguments", ()):
            name = f"{each.flag} ..." if each.takes_many else each.flag
            words.append(name if each.is_required else f"[{name}]")
        return " ".join(words)

    def spellings(self, option: Option) -> tuple[str, ...]:
        """Return the spellings of an option on the command line.

        A switch that a preset may set has an opposite, such as `--no-lossless`.
        """
        if option.kind is not bool or not self._may_be_preset(option):
            return tuple(filter(None, (option.flag, option.short)))
        both = (option.flag, f"--no-{option.flag.removeprefix('--')}")
        return both[::-1] if option.default else both

    def _may_be_preset(self, option: Option) -> bool:
        of_conversion = any(each.name == option.name for each in self.conversion)
        return of_conversion or (self.standing_preset is not None and option.name in _OF_BATCH)

    def spelled(self, option: Option) -> str:
        """Return how help shows an option: `TARGET`, `--codec CODEC`, `--[no-]lossless`, or `--no-label`."""
        if option.is_argument:
            return option.flag
        if option.short:
            return f"{option.short}, {option.flag}"
        first, *opposite = self.spellings(option)
        if opposite and not option.default:
            return f"--[no-]{first.removeprefix('--')}"
        return f"{first} {option.shown}".rstrip()

    def meaning(self, option: Option) -> str:
        """Return what an option does as it is spelled in help, with choices, range and default."""
        is_opposite = self.spellings(option)[0] != option.flag
        return f"do not {option.meaning}" if is_opposite else option.meaning

    def values(self, given: Mapping[str, object]) -> list[Any]:
        """Return the arguments of `run`, made from the options given, by their names.

        `preset` supplies the options of a conversion that were not given.

        Raises:
            ConfigError: a value is out of its range, or two contradict each other.
        """
        known = {each.name: each for each in self.options}
        standing = self.standing_preset(given) if self.standing_preset else None
        of_tree = {} if standing is None else self._preset(standing)
        if standing is not None and "preset" not in given:
            given = {**given, "preset": standing}
        preset = self._preset(given["preset"]) if "preset" in given else {}
        of_batch = {name: value for name, value in {**of_tree, **preset}.items() if name in _OF_BATCH}
        preset = {name: value for name, value in preset.items() if name not in _OF_BATCH}
        chosen = {name: value for name, value in of_batch.items() if name in known}
        chosen |= {name: known[name].parsed(value, known[name].flag) for name, value in given.items()}
        own = {name: known[name].checked(value, known[name].flag) for name, value in chosen.items()}
        parts = [_instance(part, own) for part in self.parts]
        return [*parts, self._config(preset, own)] if self.conversion else parts

    def verbosity(self, given: Mapping[str, object]) -> Verbosity:
        """Return how much is to be said, by the options given.

        Raises:
            ConfigError: they contradict each other.
        """
        chosen: VerbosityOptions = _instance(VerbosityOptions, given)
        return chosen.verbosity

    def _preset(self, path: object) -> dict[str, Any]:
        from wsicomp.config import load_preset

        known = {each.name: each for each in self.options}
        others = {name: known.get(name) for name in _OF_BATCH}
        return load_preset(known["preset"].checked(path, "--preset"), others)

    def _config(self, preset: Mapping[str, Value], given: Mapping[str, Any]) -> ConversionConfig:
        from wsicomp.config import ConversionConfig
        from wsicomp.files.inputs import is_file, line_of_key

        chosen = {each.name: given[each.name] for each in self.conversion if each.name in given}
        try:
            return ConversionConfig.of(**{**preset, **chosen})
        except ConfigError as exc:
            if not preset:
                raise
            path, wrong = str(given["preset"]), exc.message.partition(" is ")[0].strip("`")
            if wrong in preset.keys() - chosen.keys() and is_file(Path(path)):
                raise ConfigError(exc.message, path, f"line {line_of_key(Path(path), wrong)}") from exc
            raise ConfigError(f"{exc} (with preset {path})") from exc


def _instance(part: type, given: Mapping[str, object]) -> Any:
    fields = {field: each.name for field, each in options_of(part).items()}
    return part(**{field: given[name] for field, name in fields.items() if name in given})


@cache
def load_commands(word: str) -> Mapping[str, Command]:
    """Return the commands that begin with this word, by their names; their module is imported."""
    module = import_module(f"wsicomp.cli.{word}")
    return {command.name: command for command in module.COMMANDS}


def all_commands() -> tuple[Command, ...]:
    """Return every command that can be run, in the order of the help page.

    >>> verify = next(command for command in all_commands() if command.name == "verify")
    >>> [verify.spelled(option) for option in verify.options][:2]
    ['FILE', '--against SOURCE']
    """
    loaded = {name: each for word in first_words() for name, each in load_commands(word).items()}
    return tuple(loaded[name] for name in SUMMARIES if name in loaded)


def first_words() -> Iterable[str]:
    """Return the first word of every command, each once."""
    return dict.fromkeys(name.split()[0] for name in SUMMARIES)


def actions_of(word: str) -> Mapping[str, str]:
    """Return the commands of two words that begin with this one, with what each is for."""
    return {name: text for name, text in SUMMARIES.items() if name.startswith(f"{word} ")}


def no_command(words: Sequence[str]) -> ConfigError:
    """Return the error about words that name no command, with the name that was meant."""
    first = words[0]
    if first in first_words() and actions_of(first) and len(words) > 1:
        known = tuple(name.split()[1] for name in actions_of(first))
        near = did_you_mean(words[1], known)
        return ConfigError(f"no command {quoted(' '.join(words[:2]))}; see wsicomp {first} --help{near}")
    near = "" if first in first_words() else did_you_mean(first, tuple(first_words()))
    return ConfigError(f"no command {quoted(' '.join(words))}; see wsicomp --help{near}")
