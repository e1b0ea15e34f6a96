"""Mutants of every input of every command: counts of what came of them, and the seed of what went wrong."""

import math
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from usage import parser_of

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.drawn.fuzzed import write_fuzzed
from tests.fuzzing import COMMANDS, Tried, sound_files, try_apart

TOGETHER = 50
MAIN = ("info", "verify", "open_slide", "convert", "restore")
Sound = dict[str, list[Path]]


def all_tried(
    command: str, seeds: list[int], sound: Sound, folder: Path, processes: int, until: float
) -> Iterator[Tried]:
    lots = iter([seeds[at : at + TOGETHER] for at in range(0, len(seeds), TOGETHER)])
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running: set[Future[list[Tried]]] = set()
        while True:
            few = islice(lots, processes - len(running) if time.monotonic() < until else 0)
            running |= {pool.submit(try_apart, command, lot, sound, folder) for lot in few}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("mutants", type=int, nargs="?", default=2000, help=f"of each of {', '.join(MAIN)}")
    parser.add_argument("--others", type=int, default=300, metavar="N", help="so many of each other command")
    parser.add_argument("--command", choices=COMMANDS, action="append", help="these commands alone")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, nargs="+", help="these seeds alone")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin none of a command after these")
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="make the mutants that failed again, here"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    failed: list[Tried] = []
    try:
        sound = sound_files(folder / "sound")
        for command in options.command or COMMANDS:
            most = options.mutants if command in MAIN else options.others
            seeds = options.seeds or list(range(options.first, options.first + most))
            start, counts = time.monotonic(), Counter()
            until = start + options.seconds
            for one in all_tried(command, seeds, sound, folder, options.processes, until):
                counts[one.outcome if one.is_good else "FAILED"] += 1
                if not one.is_good:
                    failed.append(one)
                    print(f"  seed {one.seed}: {one.outcome}\n    {one.facts}", flush=True)
            said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
            print(f"{command:20}{counts.total():8}: {said}; {time.monotonic() - start:.0f} s", flush=True)
        for one in failed if options.keep else ():
            options.keep.mkdir(parents=True, exist_ok=True)
            bases = sound[COMMANDS[one.command][0]]
            base = bases[one.seed % len(bases)]
            name = f"{one.command.replace(' ', '-')}-{one.seed}{base.suffix}"
            write_fuzzed(options.keep / name, base.read_bytes(), one.seed)
    finally:
        shutil.rmtree(folder)
    print(f"{len(failed)} failures")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
