"""Parse a command line with cyclopts, by what the commands declare."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    Token,
    UnknownOptionError,
    UnusedCliTokensError,
)

from wsicomp.cli.advice import advice_on_several
from wsicomp.cli.commands import SUMMARIES, Command, actions_of, first_words, load_commands, no_command
from wsicomp.cli.verbosity import Verbosity
from wsicomp.errors import ConfigError
from wsicomp.options import Option, did_you_mean
from wsicomp.text.escaping import quoted
from wsicomp.version import SOFTWARE

_FUNCTION = "_wsicomp"
"""The function that completes: zsh calls the one that has the name of the script's file."""


_NUMBERS = re.compile(r"-[\d.][\d.e+-]*(,[\d.e+-]+)+", re.IGNORECASE)
"""Numbers of which the first is negative: cyclopts takes one number for a value, and several for options."""


class _UsageError(ConfigError):
    """The command line fits no command."""


def parsed_command(command: Command, words: Sequence[str]) -> tuple[Callable[[], int], Verbosity]:
    """Return a function that runs the command with the words after its name, and how much it is to say.

    The function returns the exit code.

    Raises:
        ConfigError: an option is unknown, a value is out of range, or two contradict each other.
    """
    app = _app(command)
    try:
        _, bound, _ = app.parse_args(_joined(words, command), print_error=False, exit_on_error=False)
    except CycloptsError as exc:
        raise _UsageError(_reason(exc, command, words)) from exc
    given = bound.arguments
    return partial(command.run, *command.values(given)), command.verbosity(given)


def named_command(words: Sequence[str]) -> tuple[Command, Sequence[str]]:
    """Return the command that a command line names, and the words that follow its name.

    Raises:
        ConfigError: the command line names no command.
    """
    if not words:
        raise _UsageError(f"which command? one of {', '.join(first_words())}; see wsicomp --help")
    first = words[0]
    if first not in first_words():
        raise no_command(words[:1])
    commands = load_commands(first)
    known = tuple(name.split()[1] for name in actions_of(first))
    if first in commands:
        _check_meant(words, known)
    for name in (" ".join(words[:2]), first):
        if name in commands:
            return commands[name], words[len(name.split()) :]
    if len(words) == 1:
        raise _UsageError(f"{first} what? one of {', '.join(known)}; see wsicomp {first} --help")
    raise no_command(words)


def _check_meant(words: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a second word that is neither a command nor a file, and much like a command.

    Raises:
        ConfigError: the word is such a one; the message names the command.
    """
    second = words[1] if len(words) > 1 else ""
    if second in known or os.sep in second or os.path.lexists(second):
        return
    if near := did_you_mean(second, tuple(known)):
        raise _UsageError(f"no command and no folder {quoted(' '.join(words[:2]))}{near}")


def completion_script(shell: Any) -> str:
    """Return the script by which "bash", "zsh" or "fish" completes every command."""
    root = App(name="wsicomp", help_format="plaintext", version=SOFTWARE)
    for word in first_words():
        commands = load_commands(word)
        app = _app(commands[word], True) if word in commands else App(name=word, help=SUMMARIES[word])
        for name in actions_of(word):
            app.command(_app(commands[name], True))
        root.command(app)
    script = root.generate_completion(shell=shell)
    return _completing_presets(_completing_any_name(script)).replace("_cyclopts_wsicomp", _FUNCTION)


def _completing_any_name(script: str) -> str:
    """Return a script whose bash offers names of files whole; cyclopts' splits them at spaces and globs."""
    begin = "compopt -o filenames 2>/dev/null; local IFS=$'\\n'; set -f"  # bash 3 of macOS lacks compopt
    return re.sub(r"COMPREPLY=\( \$\(compgen -f .*\) \)", rf"{begin}; \g<0>; set +f", script)


def _completing_presets(script: str) -> str:
    """Return a script that offers files beside the presets, whichever shell it is for."""
    from wsicomp.config import preset_names

    names = " ".join(preset_names())
    quoted_names = " ".join(f'"{name}"' for name in preset_names())
    files = 'local _f; while IFS= read -r _f; do _c+=("$_f"); done < <(compgen -f -- "${cur}")'
    for alone, beside in (
        (f"local -a _c=({quoted_names})", f"local -a _c=({quoted_names}); {files}"),
        (f":preset:({names})", f":preset:{{compadd {names}; _files}}"),
        (f"-l preset -x -a '{names}'", f"-l preset -r -F -a '{names}'"),
    ):
        script = script.replace(alone, beside)
    return script


def _app(command: Command, completes: bool = False) -> App:
    def function(*_: object, **__: object) -> None:
        """Stand for the command; cyclopts reads only the signature."""

    function.__doc__ = command.summary
    function.__signature__ = inspect.Signature(list(_parameters(command, completes)))  # type: ignore[attr-defined]
    app = App(name=command.name.split()[-1], help=command.summary, help_format="plaintext", version_flags=())
    app.default(function)
    return app


def _parameters(command: Command, completes: bool) -> Iterable[inspect.Parameter]:
    for each in command.options:
        kind = str if each.parse else each.kind
        names = command.spellings(each)
        facts = Parameter(
            name=None if each.is_argument else [each.flag, *filter(None, [each.short])],
            negative=[name for name in names if name not in (each.flag, each.short)],
            help=each.help,
            choices=each.choices or (completes and each.suggestions) or None,
            converter=_converter(kind, each.takes_many),
            allow_repeating=True,
        )
        place = inspect.Parameter.POSITIONAL_ONLY if each.is_argument else inspect.Parameter.KEYWORD_ONLY
        yield inspect.Parameter(
            each.name,
            place,
            default=inspect.Parameter.empty if each.is_required else None,
            annotation=Annotated[list[kind] if each.takes_many else kind, facts],  # type: ignore[valid-type]
        )


def _converter(kind: type, takes_many: bool) -> Callable[[Any, Sequence[Token]], Any] | None:
    """Return what makes values of texts where cyclopts does otherwise: it takes 2.5 for 2, and "" for "."."""
    if kind not in (int, Path):
        return None
    made = int if kind is int else str

    def converted(_: object, tokens: Sequence[Token]) -> Any:
        values = [made(token.value) for token in tokens]
        return values if takes_many else values[0]

    return converted


def _joined(words: Sequence[str], command: Command) -> list[str]:
    """Return the words with `--json -` as `--json=-`; cyclopts would take the dash for an option.

    So it is with `--window -1000,400`.
    A `--json` without a file means stdout, as `-` does, whether the command takes files there or not.
    """
    json = next((each for each in command.options if each.flag == "--json"), None)
    joined: list[str] = []
    for number, word in enumerate(words):
        is_option = word.startswith("-") and "--" not in joined
        following = words[number + 1 : number + 2]
        if word == "-" and is_option and joined and joined[-1] == "--json" and json and json.kind is bool:
            continue
        is_value = word == "-" or _NUMBERS.fullmatch(word)
        if is_value and is_option and joined and joined[-1].startswith("--"):
            joined[-1] += f"={word}"
        elif word == "--json" and is_option and json and json.kind is Path and _is_alone(following):
            joined.append("--json=-")
        else:
            joined.append(word)
    return joined


def _is_alone(following: Sequence[str]) -> bool:
    """Return whether no value follows an option."""
    return not following or (following[0] != "-" and following[0].startswith("-"))


def _reason(error: CycloptsError, command: Command, words: Sequence[str]) -> str:
    """Return what is wrong with a command line, in this program's words."""
    option = _option(error, command)
    match error:
        case CoercionError(token=token) if option is not None and token is not None:
            if option.choices:
                option.checked(token.value, option.flag)
            return f"{option.flag} is {quoted(token.value)}, expected {option.kind_text}"
        case UnknownOptionError(token=token):
            found = (token.keyword or token.value).split("=")[0]
            known = tuple(name for each in command.options for name in command.spellings(each))
            near = "; behind -- stands no option" if found in known else did_you_mean(found, known)
            return f"no option {quoted(found)}; see wsicomp {command.name} --help{near}"
        case MissingArgumentError() if option is not None:
            if option.is_argument or (not error.tokens_so_far and option.is_required):
                return f"{option.flag} is missing: {option.help}"
            return f"{option.flag} takes {option.kind_text}: {option.help}"
        case UnusedCliTokensError(unused_tokens=[first, *_]):
            several = advice_on_several(command.name, positional_words(words, command))
            return f"{quoted(first)} is not expected here: {several or f'see wsicomp {command.name} --help'}"
    return " ".join(str(error).split())


def positional_words(words: Sequence[str], command: Command) -> list[str]:
    """Return the words that are neither options nor their values."""
    takes_value = {each.flag for each in command.options if each.kind is not bool and not each.is_argument}
    found: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            return [*found, *remaining]
        if word in takes_value:
            next(remaining, None)
        elif not word.startswith("-"):
            found.append(word)
    return found


def _option(error: CycloptsError, command: Command) -> Option | None:
    name = None if error.argument is None else error.argument.field_info.name
    return next((each for each in command.options if each.name == name), None)
