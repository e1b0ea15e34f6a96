"""Slides drawn from seeds, by every road: counts of what came of them, and the seed of what went wrong."""

import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from usage import parser_of

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.drawn.mutants import draw_mutant
from tests.mutants import REFUSED, ROADS, Tried, try_mutant

TOGETHER = 20


def tried(seeds: tuple[int, ...], folder: Path) -> list[Tried]:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and libjpeg speak of damaged files themselves
    warnings.simplefilter("ignore")
    return [one for seed in seeds for one in try_mutant(seed, folder)]


def all_tried(seeds: list[int], folder: Path, processes: int) -> list[Tried]:
    found, lots = [], [tuple(seeds[at : at + TOGETHER]) for at in range(0, len(seeds), TOGETHER)]
    crashed = []
    start = time.perf_counter()
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running = {pool.submit(tried, lot, folder): lot for lot in lots}
        for done, future in enumerate(as_completed(running), 1):
            try:
                found += told(future.result())
            except BrokenProcessPool:
                crashed += running[future]
            if done % 10 == 0:
                good = f"{sum(one.is_good for one in found)} of {len(found)} conversions good"
                print(f"{done * TOGETHER} slides, {time.perf_counter() - start:.0f} s, {good}", flush=True)
    for seed in crashed:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                found += pool.submit(tried, (seed,), folder).result()
            except BrokenProcessPool:
                found.append(Tried(seed, "all", "the process crashed", "", is_good=False))
    return found


def told(found: list[Tried]) -> list[Tried]:
    for one in found:
        if not one.is_good:
            print(f"  seed {one.seed}, {one.road}: {one.outcome}\n    {one.facts}", flush=True)
    return found


def report(found: list[Tried]) -> None:
    print(f"\n{'road':18}{'outcome':60}{'slides':>8}")
    counts = Counter((one.road, one.outcome.partition(": ")[0]) for one in found)
    for (road, outcome), count in sorted(counts.items()):
        print(f"{road:18}{outcome:60}{count:8}")
    print("\nwhy refused")
    reasons = Counter(
        re.sub(r"[0-9]+(\.[0-9]+)?", "N", one.outcome)[len(REFUSED) + 2 :][:100]
        for one in found
        if one.outcome.startswith(REFUSED)
    )
    for reason, count in reasons.most_common(40):
        print(f"{count:8}  {reason}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("slides", type=int, nargs="?", default=5000, help="how many are drawn")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, nargs="+", help="these seeds alone")
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="draw the slides that failed again, here")
    options = parser.parse_args()
    seeds = options.seeds or list(range(options.first, options.first + options.slides))
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    try:
        found = all_tried(seeds, folder, options.processes)
    finally:
        shutil.rmtree(folder)
    report(found)
    failed = sorted((one for one in found if not one.is_good), key=lambda one: one.seed)
    print(f"\n{len(seeds)} slides by {len(ROADS)} roads, {len(failed)} failures")
    told(failed)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        for seed in {one.seed for one in failed}:
            draw_mutant(options.keep / f"mutant-{seed}.{'svs' if seed % 2 else 'tif'}", seed)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
