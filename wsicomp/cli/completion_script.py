"""Scripts by which shells complete command lines, made by cyclopts of what the commands declare."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Annotated, Any

from cyclopts import App, Parameter

from wsicomp.cli.commands import SUMMARIES, Command, actions_of, first_words, load_commands
from wsicomp.config import preset_names
from wsicomp.version import SOFTWARE

_FUNCTION = "_wsicomp"
"""The function that completes: zsh calls the one that has the name of the script's file."""


def completion_script(shell: Any) -> str:
    """Return the script by which "bash", "zsh" or "fish" completes every command."""
    root = App(name="wsicomp", help_format="plaintext", version=SOFTWARE)
    for word in first_words():
        commands = load_commands(word)
        app = _app(commands[word]) if word in commands else App(name=word, help=SUMMARIES[word])
        for name in actions_of(word):
            app.command(_app(commands[name]))
        root.command(app)
    script = root.generate_completion(shell=shell)
    return _completing_presets(_completing_any_name(script)).replace("_cyclopts_wsicomp", _FUNCTION)


def _completing_any_name(script: str) -> str:
    """Return a script whose bash offers names of files whole; cyclopts' splits them at spaces and globs."""
    begin = "compopt -o filenames 2>/dev/null; local IFS=$'\\n'; set -f"  # bash 3 of macOS lacks compopt
    return re.sub(r"COMPREPLY=\( \$\(compgen -f .*\) \)", rf"{begin}; \g<0>; set +f", script)


def _completing_presets(script: str) -> str:
    """Return a script that offers files beside the presets, whichever shell it is for."""
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


def _app(command: Command) -> App:
    def function(*_: object, **__: object) -> None:
        """Stand for the command; cyclopts reads only the signature."""

    function.__doc__ = command.summary
    function.__signature__ = inspect.Signature(list(_parameters(command)))  # type: ignore[attr-defined]
    app = App(name=command.name.split()[-1], help=command.summary, help_format="plaintext", version_flags=())
    app.default(function)
    return app


def _parameters(command: Command) -> Iterable[inspect.Parameter]:
    for each in command.options:
        kind = str if each.parse else each.kind
        names = command.spellings(each)
        facts = Parameter(
            name=None if each.is_argument else [each.flag, *filter(None, [each.short])],
            negative=[name for name in names if name not in (each.flag, each.short)],
            help=each.help,
            choices=each.choices or each.suggestions or None,
        )
        place = inspect.Parameter.POSITIONAL_ONLY if each.is_argument else inspect.Parameter.KEYWORD_ONLY
        yield inspect.Parameter(
            each.name,
            place,
            default=inspect.Parameter.empty if each.is_required else None,
            annotation=Annotated[list[kind] if each.takes_many else kind, facts],  # type: ignore[valid-type]
        )
