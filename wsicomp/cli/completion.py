"""`wsicomp completion`: print a shell's script that completes commands, options and their choices."""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.cli.commands import Command
from wsicomp.cli.text import show
from wsicomp.options import REQUIRED, option

_EPILOG = """\
examples:
  wsicomp completion bash > ~/.local/share/bash-completion/completions/wsicomp
  wsicomp completion fish > ~/.config/fish/completions/wsicomp.fish
  wsicomp completion zsh > ~/.zfunc/_wsicomp
      where ~/.zshrc says: fpath+=~/.zfunc; autoload -U compinit; compinit
"""


@dataclass(frozen=True, kw_only=True)
class CompletionOptions:
    """Arguments of `wsicomp completion`."""

    shell: str = option(
        REQUIRED, "the shell: bash, zsh or fish", choices=("bash", "zsh", "fish"), is_argument=True
    )


def run_completion(options: CompletionOptions) -> int:
    """Print a script that lets a shell complete commands, options, choices and files."""
    from wsicomp.cli.parser import completion_script

    show(completion_script(options.shell))
    return 0


COMMANDS = (Command("completion", (CompletionOptions,), run_completion, epilog=_EPILOG),)
