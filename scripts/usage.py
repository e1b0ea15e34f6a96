"""What `--help` of every script here looks like."""

import argparse
import re
import sys
from pathlib import Path


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows a description as it stands, and the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, "") else super()._get_help_string(action)


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser named as the script is called, whose `--help` begins with its docstring."""
    name = re.sub("^(bench|study)_", r"\1 ", Path(sys.argv[0]).stem).replace("_", "-")
    return argparse.ArgumentParser(f"scripts/{name}", description=description, formatter_class=_Help)
