"""What `--help` of every script here looks like."""

import argparse
import sys
from pathlib import Path


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows a description as it stands, and the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, "") else super()._get_help_string(action)


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser named as the script is called, whose `--help` begins with its docstring."""
    name = Path(sys.argv[0]).stem.replace("bench_", "bench ").replace("_", "-")
    return argparse.ArgumentParser(f"scripts/{name}", description=description, formatter_class=_Help)
