"""Every benchmark of the page on speed, one after another, but for giants: the whole page in one command.

Each runs in a process of its own, and says what it took. Those that fail are named at the end. `--check` and
`--store` go to those that have ratios, `--page` to those that fill a part of the page.
"""

import subprocess
import sys
import time
from pathlib import Path

import ratios
import results_page
from usage import parser_of

HERE = Path(__file__).parent
BENCHMARKS = {"convert": (), "batch": (), "reader": ("--rounds", "3"), "view": ()}
"""What is run, and with which arguments: ten minutes in all on two quiet cores."""
_WITH_OPTIONS = ("convert", "batch", "giants", "reader", "view")


def ran(name: str, options: list[str]) -> bool:
    """Run a benchmark; return whether it ended well."""
    words = [name, *BENCHMARKS.get(name, ()), *(options if name in _WITH_OPTIONS else [])]
    print(f"\n## scripts/bench {' '.join(words)}\n", flush=True)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, str(HERE / "bench.py"), *words], check=False)
    print(f"\n{name}: {time.perf_counter() - start:.0f} s, exit code {done.returncode}", flush=True)
    return done.returncode == 0


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("names", nargs="*", default=[*BENCHMARKS], help="benchmarks")
    results_page.add_options(parser)
    ratios.add_options(parser)
    options = parser.parse_args()
    chosen = [f"--{name}" for name in ("check", "store", "page") if getattr(options, name)]
    failed = [name for name in options.names if not ran(name, chosen)]
    if failed:
        sys.exit(f"bench: {', '.join(failed)} failed")


if __name__ == "__main__":
    main()
