"""Kills of a batch that takes sources away, and edits of what it writes: what was lost or touched by it."""

import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from usage import parser_of

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.campaign import edited, killed
from tests.paths import ROOT

A_ROUND = 10


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--kills", type=int, default=200, help="rounds in which the batch is killed")
    parser.add_argument("--edits", type=int, default=100, help="rounds in which its files are edited")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--together", type=int, default=2, help="rounds at a time")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the trees of failed rounds stay")
    parser.add_argument(
        "--program", type=Path, metavar="CHECKOUT", default=ROOT, help="that of this checkout"
    )
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="campaign-"))
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(options.first, options.first + -(-options.kills // A_ROUND))
    faults = 0
    with ThreadPoolExecutor(options.together) as pool:
        rounds = {pool.submit(killed, folder, seed, A_ROUND, options.program): "kills" for seed in seeds}
        seeds = range(options.first, options.first + options.edits)
        rounds |= {pool.submit(edited, folder, seed, options.program): "edits" for seed in seeds}
        counts = {"kills": Counter(), "edits": Counter()}
        for done in as_completed(rounds):
            seen = done.result()
            kind = counts[rounds[done]]
            kind.update(
                kills=seen.kills,
                edits=len(seen.edits),
                taken=seen.taken,
                stayed=seen.stayed,
                runs=len(seen.ends),
            )
            kind.update(f"exit {code}" for code in seen.ends)
            kind.update(edit.partition(":")[0] for edit in seen.edits)
            faults += len(seen.faults)
            for fault in seen.faults:
                print(f"  {rounds[done]} {seen.seed}: {', '.join(seen.edits)}: {fault}", flush=True)
    for name, kind in counts.items():
        print(f"{name}: {', '.join(f'{count} {word}' for word, count in kind.items() if count)}")
    print(f"{faults} faults")
    if options.keep is None:
        shutil.rmtree(folder)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
