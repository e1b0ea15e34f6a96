"""Ratios of a benchmark's run, held against stored ones: `--check` and `--store`.

A ratio says how many times as good one row is as another of the same run: the larger, the better. Ratios of
one machine stand in `ratios.json`, each with the part that may be missing (its slack).
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

STORED = Path(__file__).with_name("ratios.json")
SLACK = 0.15


@dataclass(frozen=True)
class Ratio:
    """A stored ratio."""

    ratio: float
    slack: float = SLACK
    """The part by which a run may fall short of it."""

    @property
    def least(self) -> float:
        """The smallest ratio that is no regression."""
        return self.ratio * (1 - self.slack)


def add_options(parser: ArgumentParser) -> None:
    """Add `--check` and `--store`."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--check", action="store_true", help="exit with 1 if a ratio falls short of the stored"
    )
    choice.add_argument("--store", action="store_true", help="store this run's ratios")


def finish(options: Namespace, benchmark: str, found: Mapping[str, float], path: Path = STORED) -> None:
    """Check or store a run's ratios, as its options say.

    Raises:
        SystemExit: a ratio falls short of the stored one by more than its slack.
    """
    stored = read(path)
    if options.store:
        path.write_text(as_json(stored | {benchmark: merged(stored.get(benchmark, {}), found)}))
    if not options.check:
        return
    for name in sorted({*stored.get(benchmark, {})} ^ {*found}):
        print(f"{benchmark}: {name}: {'not measured' if name not in found else 'nothing is stored'}")
    lines = regressions(stored.get(benchmark, {}), found)
    for line in lines:
        print(f"{benchmark}: {line}", file=sys.stderr)
    if lines:
        sys.exit(1)
    print(f"{benchmark}: no ratio falls short of the stored")


def regressions(stored: Mapping[str, Ratio], found: Mapping[str, float]) -> list[str]:
    """Return a line for each ratio that falls short of the stored one by more than its slack."""
    return [
        f"{name}: {found[name]:.2f}x, stored {known.ratio:.2f}x, expected at least {known.least:.2f}x"
        for name, known in stored.items()
        if name in found and found[name] < known.least
    ]


def merged(stored: Mapping[str, Ratio], found: Mapping[str, float]) -> dict[str, Ratio]:
    """Return the stored ratios with those of a run in their place; a slack that was set stays."""
    slack = {name: known.slack for name, known in stored.items()}
    new = {name: Ratio(round(value, 3), slack.get(name, SLACK)) for name, value in found.items()}
    return {**stored, **new}


def read(path: Path = STORED) -> dict[str, dict[str, Ratio]]:
    """Return the stored ratios of each benchmark; none where there is no file."""
    values = json.loads(path.read_text()) if path.exists() else {}
    return {
        benchmark: {name: Ratio(**one) for name, one in ratios.items()}
        for benchmark, ratios in values.items()
    }


def as_json(stored: Mapping[str, Mapping[str, Ratio]]) -> str:
    """Return the file's text, a line for each ratio."""
    parts = []
    for benchmark, ratios in sorted(stored.items()):
        lines = [f"    {json.dumps(name)}: {json.dumps(asdict(one))}" for name, one in ratios.items()]
        parts.append(f"  {json.dumps(benchmark)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(parts) + "\n}\n"
