"""Draws which rooms of wsicomp import which: of one checkout, or of two beside each other.

A room is a folder or a single file directly in `wsicomp/`. It stands one above the highest that it imports.
"""

from __future__ import annotations

import argparse
import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent.parent
_FACE = frozenset({"__init__", "__main__"})


@dataclass(frozen=True)
class Graph:
    """The rooms of a checkout, their lines, which imports which, and the circles of its files."""

    lines: dict[str, int]
    arrows: frozenset[tuple[str, str]]
    file_arrows: int
    circles: tuple[tuple[str, ...], ...]

    @property
    def floors(self) -> dict[str, int]:
        """Each room's floor, from 1."""
        below = {room: {to for at, to in self.arrows if at == room} for room in self.lines}
        found: dict[str, int] = {}
        try:
            for room in TopologicalSorter(below).static_order():
                found[room] = 1 + max((found[to] for to in below[room]), default=0)
        except CycleError as exc:
            raise SystemExit(f"rooms import each other: {' -> '.join(exc.args[1])}") from exc
        return found


def read_graph(checkout: Path) -> Graph:
    """The graph of a checkout, by the imports of its code, those inside of functions too."""
    files = sorted((checkout / "wsicomp").rglob("*.py"))
    names = {_name(path, checkout): path for path in files}
    lines: dict[str, int] = defaultdict(int)
    arrows: set[tuple[str, str]] = set()
    below: dict[str, set[str]] = {}
    for name, path in names.items():
        text = path.read_text("utf-8")
        room = _room(name)
        if room in _FACE:
            continue
        lines[room] += text.count("\n")
        below[name] = {to for to in _imports(ast.parse(text), names) if to != name}
        arrows |= {(room, _room(to)) for to in below[name] if _room(to) not in _FACE | {room}}
    count = sum(len(each) for each in below.values())
    return Graph(dict(lines), frozenset(arrows), count, tuple(_circles(below)))


def _name(path: Path, checkout: Path) -> str:
    parts = path.relative_to(checkout).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def _room(name: str) -> str:
    return name.split(".")[1]


def _imports(tree: ast.Module, names: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from [name for name in (whole, node.module) if name in names][:1]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)


def _circles(below: dict[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """One circle at a time, its last arrow cut before the next is looked for."""
    left = {name: set(each) for name, each in below.items()}
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as exc:
            circle = exc.args[1]
            yield tuple(circle)
            left[circle[1]].discard(circle[0])
            continue
        return


def draw(graphs: dict[str, Graph], picture: Path) -> None:
    """The graphs beside each other, top floor first; an arrow runs down from who imports."""
    figure, axes = plt.subplots(1, len(graphs), figsize=(11 * len(graphs), 12), squeeze=False)
    for (title, graph), axis in zip(graphs.items(), axes[0], strict=True):
        floors = graph.floors
        rows: dict[int, list[str]] = defaultdict(list)
        for room in sorted(floors):
            rows[floors[room]].append(room)
        places = {
            room: ((number + 0.5) / len(row), floor)
            for floor, row in rows.items()
            for number, room in enumerate(row)
        }
        for at, to in graph.arrows:
            axis.annotate(
                "",
                xy=places[to],
                xytext=places[at],
                arrowprops={"arrowstyle": "->", "color": "#7a8694", "alpha": 0.45, "lw": 0.9},
            )
        for room, (x, y) in places.items():
            text = f"{room}\n{graph.lines[room]}"
            box = {"fc": "#eef3f8", "ec": "#2f6fbf"}
            axis.text(x, y, text, ha="center", va="center", fontsize=9, bbox=box)
        axis.set_ylim(0.4, max(rows) + 0.6)
        axis.set_xlim(0, 1)
        axis.axis("off")
        axis.set_title(f"{title}: {_summary(graph)}", fontsize=12)
    figure.tight_layout()
    figure.savefig(picture, dpi=80)


def _summary(graph: Graph) -> str:
    return (
        f"{len(graph.lines)} rooms, {max(graph.floors.values())} floors, {len(graph.arrows)} arrows between "
        f"rooms, {graph.file_arrows} between files, {len(graph.circles)} circles, "
        f"{sum(graph.lines.values())} lines"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="draw the rooms of this one beside")
    options = parser.parse_args()
    checkouts = {"before": options.before, "now": HERE} if options.before else {"now": HERE}
    graphs = {title: read_graph(checkout) for title, checkout in checkouts.items()}
    draw(graphs, options.picture)
    for title, graph in graphs.items():
        print(f"{title}: {_summary(graph)}")
        for circle in graph.circles:
            print(f"  circle: {' -> '.join(circle)}")


if __name__ == "__main__":
    main()
