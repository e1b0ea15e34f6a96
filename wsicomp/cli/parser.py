"""Read a command line, by what the commands declare.

By hand, since a library that could do it takes a sixth of the time in which a conversion starts, and each of
its answers to a mistake has to be said anew.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from wsicomp.cli.advice import advice_on_several
from wsicomp.cli.commands import Command, actions_of, first_words, load_commands, no_command
from wsicomp.cli.verbosity import Verbosity
from wsicomp.errors import ConfigError
from wsicomp.options import Option, did_you_mean
from wsicomp.text.escaping import quoted

_NUMBER = re.compile(r"-\.?\d")
"""How a negative number begins, which is a value and no option."""


class _UsageError(ConfigError):
    """The command line fits no command."""


def parsed_command(command: Command, words: Sequence[str]) -> tuple[Callable[[], int], Verbosity]:
    """Return a function that runs the command with the words after its name, and how much it is to say.

    The function returns the exit code.

    Raises:
        ConfigError: an option is unknown, a value is out of range, or two contradict each other.
    """
    given = given_values(command, words)
    return partial(command.run, *command.values(given)), command.verbosity(given)


def given_values(command: Command, words: Sequence[str]) -> Mapping[str, object]:
    """Return the values of the options and arguments that stand in the words, by their names.

    The last of two values counts; an option that takes many has all of them.

    Raises:
        ConfigError: an option is unknown, a value is missing or of another kind, or a word is not expected.
    """
    texts, others = _sorted_words(command, words)
    texts |= _arguments(command, words, others)
    for each in command.options:
        if each.is_required and each.name not in texts:
            raise _UsageError(f"{each.flag} is missing: {each.help}")
    known = {each.name: each for each in command.options}
    return {name: _value(known[name], found) for name, found in texts.items()}


def _sorted_words(command: Command, words: Sequence[str]) -> tuple[dict[str, list[str | bool]], list[str]]:
    """Return what was given for each option, by its name, and the words that are no options."""
    named = {
        name: each for each in command.options for name in command.spellings(each) if not each.is_argument
    }
    waiting = deque(words)
    texts: dict[str, list[str | bool]] = {}
    others: list[str] = []
    while waiting:
        word = waiting.popleft()
        if word == "--":
            return texts, [*others, *waiting]
        if not _is_option(word) and word != "-":
            others.append(word)
            continue
        name = word.partition("=")[0]
        if name not in named:
            raise _no_option(command, name)
        option = named[name]
        texts.setdefault(option.name, []).append(_text_behind(option, word, waiting))
    return texts, others


def _is_option(word: str) -> bool:
    """Return whether a word is an option: neither a number below zero nor the dash that means stdout."""
    return word.startswith("-") and word != "-" and not _NUMBER.match(word)


def _text_behind(option: Option, word: str, waiting: deque[str]) -> str | bool:
    """Return the value that an option is given by its own word, or takes from those that wait behind it.

    A `--json` without a file means stdout, as `-` does, whether the command takes files there or not.
    """
    name, equals, text = word.partition("=")
    if option.kind is bool:
        if name == "--json" and waiting and waiting[0] == "-":
            waiting.popleft()
        return (name in (option.flag, option.short)) == _switch(option, text if equals else "true")
    if equals:
        return text
    if waiting and not _is_option(waiting[0]):
        return waiting.popleft()
    if name == "--json":
        return "-"
    raise _UsageError(f"{option.flag} takes {option.kind_text}: {option.help}")


def _switch(option: Option, text: str) -> bool:
    if text not in ("true", "false"):
        raise _UsageError(f"{option.flag} is {quoted(text)}, expected {option.kind_text}")
    return text == "true"


def _arguments(command: Command, words: Sequence[str], others: Sequence[str]) -> dict[str, list[str | bool]]:
    """Return the words that are no options, by the names of the arguments for which they stand."""
    found: dict[str, list[str | bool]] = {}
    remaining: list[str | bool] = [*others]
    arguments = [each for each in command.options if each.is_argument]
    for number, each in enumerate(arguments, 1):
        behind = len(arguments) - number
        count = max(1, len(remaining) - behind) if each.takes_many else 1
        if remaining:
            found[each.name] = remaining[:count]
            remaining = remaining[count:]
    if remaining:
        raise _unexpected(command, words, str(remaining[0]))
    return found


def _value(option: Option, texts: Sequence[str | bool]) -> object:
    """Return an option's value of its texts, not yet checked."""
    values = [_typed(option, text) for text in texts]
    return values if option.takes_many else values[-1]


def _typed(option: Option, text: str | bool) -> object:
    if option.kind not in (int, float) or option.parse is not None:
        return text
    try:
        return option.kind(text)
    except ValueError as exc:
        raise _UsageError(f"{option.flag} is {quoted(text)}, expected {option.kind_text}") from exc


def _unexpected(command: Command, words: Sequence[str], word: str) -> ConfigError:
    if _is_option(word):  # it stands behind --
        return _no_option(command, word.partition("=")[0])
    several = advice_on_several(command.name, positional_words(words, command))
    return _UsageError(
        f"{quoted(word)} is not expected here: {several or f'see wsicomp {command.name} --help'}"
    )


def _no_option(command: Command, name: str) -> ConfigError:
    known = tuple(name for each in command.options for name in command.spellings(each))
    near = "; behind -- stands no option" if name in known else did_you_mean(name, known)
    return _UsageError(f"no option {quoted(name)}; see wsicomp {command.name} --help{near}")


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
