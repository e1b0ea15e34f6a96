"""Runs a benchmark by its name: every `bench_NAME.py` beside this file is one."""

import ast
import runpy
import sys
from pathlib import Path

BENCHMARKS = {
    path.stem.removeprefix("bench_"): path for path in sorted(Path(__file__).parent.glob("bench_*.py"))
}


def listed() -> str:
    """Return the usage, and each benchmark with the first line of its docstring."""
    lines = ["usage: scripts/bench NAME [--help] [ARGUMENT ...]", ""]
    width = max(map(len, BENCHMARKS))
    for name, path in BENCHMARKS.items():
        text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        lines.append(f"  {name:{width}} {text.splitlines()[0]}")
    return "\n".join(lines)


def main() -> None:
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(listed())
        return
    if name not in BENCHMARKS:
        sys.exit(f"bench: no benchmark {name!r}, expected one of {', '.join(BENCHMARKS)}")
    sys.argv[1:] = arguments
    runpy.run_path(str(BENCHMARKS[name]), run_name="__main__")


if __name__ == "__main__":
    main()
