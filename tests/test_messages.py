"""Messages of the library name parameters as Python spells them; `wsicomp.cli.flags` makes flags of them."""

import ast
import re
from ast import literal_eval
from collections.abc import Iterator
from functools import cache

import wsicomp
from tests.sources import modules
from wsicomp.cli.commands import SUMMARIES, first_words, load_commands
from wsicomp.cli.flags import with_flags
from wsicomp.options import Option, options_of

_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
_OF_PIP = re.compile(r"pip install( --[\w-]+)+")
_IN_BACKTICKS = re.compile(r"`([^`]+)`")
_PARAMETER = re.compile(r"(\w+)(?:=(.+))?")
_HELD_BY_THE_COMMAND_LINE = ("wsicomp/options.py",)
"""Modules whose docstrings say how an option is spelled on the command line."""
_MAKES_COMMAND_LINES = ("wsicomp/comparison/convert_command.py",)
"""Modules that make command lines to copy, on a page as in a terminal."""


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path, module in modules().items():
        if not path.startswith("wsicomp/cli/"):
            yield path, module


def _text(node: ast.AST) -> str:
    """Return a literal's text, {} for what an f-string inserts; "" for any other node."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(_text(part) or "{}" for part in node.values) if isinstance(node, ast.JoinedStr) else ""


@cache
def _nodes(module: ast.Module) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(module))


def _documentation(module: ast.Module) -> set[ast.AST]:
    return {node.value for node in _nodes(module) if isinstance(node, ast.Expr)}


def _help(module: ast.Module) -> set[ast.AST]:
    """Return the literals in declarations of options, which are written for `--help`."""
    calls = [node for node in _nodes(module) if isinstance(node, ast.Call)]
    names = ("option", "argument", "Option")
    declared = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in names]
    return {node for call in declared for node in ast.walk(call)}


@cache
def _messages() -> list[tuple[str, str]]:
    """Return the place and the text of every literal that is neither documentation nor help."""
    return [*_literals()]


def _literals() -> Iterator[tuple[str, str]]:
    for path, module in _modules():
        other = _documentation(module) | _help(module)
        parts = {part for node in _nodes(module) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in _nodes(module):
            if node not in other | parts and _text(node):
                yield f"{path}:{getattr(node, 'lineno', 0)}", _text(node)


def _parameters() -> Iterator[tuple[str, str, str]]:
    """Yield the place, the name and the value ("" for none) of every parameter that a message names."""
    for place, text in _messages():
        for words in _IN_BACKTICKS.findall(text):
            found = _PARAMETER.fullmatch(words)
            if found is not None:
                yield place, found[1], found[2] or ""


def _options() -> dict[str, list[Option]]:
    """Return all options by their names and by those of the fields that declare them."""
    named: dict[str, list[Option]] = {}
    for command in (each for word in first_words() for each in load_commands(word).values()):
        fields = [pair for part in command.parts for pair in options_of(part).items()]
        for name, option in [*fields, *((each.name, each) for each in command.options)]:
            named.setdefault(name, []).append(option)
    return named


def test_no_text_of_the_library_names_a_flag_of_the_command_line() -> None:
    found = []
    for path, module in _modules():
        spared = _help(module)
        if path in _MAKES_COMMAND_LINES:
            continue
        if path in _HELD_BY_THE_COMMAND_LINE:
            spared |= _documentation(module)
        for node in _nodes(module):
            text = "" if node in spared or isinstance(node, ast.JoinedStr) else _text(node)
            found += [f"{path}: {flag}" for flag in _FLAG.findall(_OF_PIP.sub("", text))]
    assert not found


def test_every_parameter_that_a_message_names_is_an_option_which_takes_that_value() -> None:
    options, named = _options(), list(_parameters())
    assert len(named) > 40
    assert not [f"{place}: {name}" for place, name, _ in named if name not in options]
    for _, name, value in named:
        if value:
            options[name][0].checked(literal_eval(value), name)


def test_the_command_line_has_a_flag_for_every_parameter_that_a_message_names() -> None:
    for place, name, value in _parameters():
        words = f"`{name}={value}`" if value else f"`{name}`"
        assert with_flags(words).startswith("--"), f"{place}: {words}"


def test_whatever_else_a_message_has_in_backticks_is_a_command_or_a_public_function() -> None:
    found = []
    for place, text in _messages():
        for words in _IN_BACKTICKS.findall(text):
            first, _, rest = words.replace("wsicomp.", "wsicomp ").partition(" ")
            is_function = "wsicomp." in words and hasattr(wsicomp, rest)
            is_command = first == "wsicomp" and rest.removesuffix(" {}") in SUMMARIES
            is_parameter = words == "{}" or _PARAMETER.fullmatch(words)
            if not (is_parameter or is_function or is_command):
                found.append(f"{place}: {words}")
    assert not found
