"""The cost of a batch beside single conversions: a second job, its coordinator, a ledger of 100,000 slides.

Everything is compared within one run. Slides are drawn; tiny ones are copies of one with its number in a
corner. Rounds are interleaved, and the fastest of each counts.
"""

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import tifffile
from rich.console import Console
from rich.table import Table
from usage import parser_of

from wsicomp.batch import BatchOptions, Entry, Ledger, State, read_report, run_batch, write_csv, write_html
from wsicomp.config import ConversionConfig
from wsicomp.conversion.convert import convert_slide
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide

ONE_THREAD = ConversionConfig.of(workers=1, segmenter="threshold")
PARTS = 4
CHOICES = BatchOptions(workers=1, min_free=0)


def batch(source: Path, target: Path, config: ConversionConfig, jobs: int) -> float:
    """The seconds of a batch into an empty tree."""
    shutil.rmtree(target, ignore_errors=True)
    start = time.perf_counter()
    result = run_batch(source, target, config, replace(CHOICES, jobs=jobs))
    assert result.is_good, result
    return time.perf_counter() - start


def second_job(folder: Path, slides: int, rounds: int, table: Table) -> None:
    """JPEG at quality 90, one thread a slide."""
    source = folder / "large"
    source.mkdir()
    write_slide(source / "0.svs", SyntheticSlide(Size(6000, 6000), seed=1, tissue_fraction=0.5))
    for number in range(1, slides):
        shutil.copy(source / "0.svs", source / f"{number}.svs")
    config = replace(ONE_THREAD, codec="jpeg", quality=90)
    batch(source, folder / "out", config, 2)
    one, two = [], []
    for _ in range(rounds):
        one.append(batch(source, folder / "out", config, 1))
        two.append(batch(source, folder / "out", config, 2))
    table.add_row(f"{slides} slides of 6,000 px, jpeg q90, one job", f"{min(one):.2f} s", "1.00x")
    table.add_row("two jobs", f"{min(two):.2f} s", f"{min(one) / min(two):.2f}x")


def tiny_trees(folder: Path, count: int) -> list[Path]:
    """Trees of as many small slides in all, each with its number at the end of its description."""
    write_slide(folder / "0.svs", SyntheticSlide(Size(600, 500), seed=2))
    data = (folder / "0.svs").read_bytes()
    with tifffile.TiffFile(folder / "0.svs") as tiff:
        description = tiff.pages[0].tags["ImageDescription"]
        end = description.valueoffset + description.count - 1
    for number in range(count):
        label = f"{number:05d}".encode()
        tree = folder / f"tiny {number * PARTS // count}"
        tree.mkdir(exist_ok=True)
        (tree / f"{number}.svs").write_bytes(data[: end - len(label)] + label + data[end:])
    return sorted(folder.glob("tiny *"))


def coordinator(folder: Path, tiny: int, table: Table) -> None:
    """Tiny slides one after another in this process, and by a batch with one job, in turn."""
    by_itself = by_batch = by_bare_batch = again = 0.0
    for tree in tiny_trees(folder, tiny):
        alone = folder / "alone"
        shutil.rmtree(alone, ignore_errors=True)
        alone.mkdir()
        start = time.perf_counter()
        for path in sorted(tree.iterdir()):
            convert_slide(path, alone / path.name, ONE_THREAD)
        by_itself += time.perf_counter() - start
        by_batch += batch(tree, folder / "out", ONE_THREAD, 1)
        same = all((folder / "out" / path.name).read_bytes() == path.read_bytes() for path in alone.iterdir())
        assert same, "a batch writes other bytes than convert"
        start = time.perf_counter()
        run_batch(tree, folder / "out", ONE_THREAD, CHOICES)
        again += time.perf_counter() - start
        with Ledger(folder / "out", read_only=True) as ledger:
            by_bare_batch += sum(entry.elapsed_s for entry in ledger.entries())
    for name, seconds in (
        (f"{tiny} tiny slides, convert in a loop", by_itself),
        ("by a batch with one job", by_batch),
        ("what the batch adds", by_batch - by_itself),
        ("of it in the slide's process: picture, checksum", by_bare_batch - by_itself),
        ("of it in the coordinator: ledger, log, processes", by_batch - by_bare_batch),
        ("again, with nothing to do", again),
    ):
        table.add_row(name, f"{seconds:.1f} s", f"{seconds / tiny * 1000:.1f} ms each")


def large_ledger(folder: Path, table: Table) -> None:
    """A ledger of 100,000 entries, two in a hundred failed."""
    (folder / ".wsicomp").mkdir()
    done = Entry(
        "",
        "",
        State.DONE,
        "1-2",
        10**9,
        "s" * 64,
        "d" * 64,
        "a" * 64,
        "b" * 64,
        7 * 10**8,
        verified=True,
        tiles=30_000,
    )
    failed = replace(
        done, state=State.FAILED, cause="unreadable", error="level 0: broken", trace="line\n" * 30
    )

    def entry(number: int) -> Entry:
        name = f"{number // 1000:03d}/case {number}/slide {number}.svs"
        base = failed if number % 50 == 0 else done
        return replace(base, source=name, target=name, elapsed_s=number % 977, rescued_tiles=number % 3)

    start = time.perf_counter()
    with Ledger(folder) as ledger:
        ledger.put(entry(number) for number in range(100_000))
    table.add_row("ledger of 100,000 entries, written at once", f"{time.perf_counter() - start:.2f} s", "")
    for name, read in (
        ("opened and reported", lambda: read_report(folder)),
        ("its page", lambda: write_html(folder, folder / "r.html", overwrite=True)),
        ("its table", lambda: write_csv(folder, folder / "r.csv", overwrite=True)),
    ):
        start = time.perf_counter()
        read()
        table.add_row(name, f"{time.perf_counter() - start:.2f} s", "")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tiny", type=int, default=2000, help="tiny slides of one batch")
    parser.add_argument("--slides", type=int, default=8, help="slides of the batch with two jobs")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the fastest counts")
    options = parser.parse_args()
    table = Table("", "seconds", "")
    with tempfile.TemporaryDirectory() as folder:
        for part in ("jobs", "coordinator", "ledger"):
            (Path(folder) / part).mkdir()
        second_job(Path(folder) / "jobs", options.slides, options.rounds, table)
        coordinator(Path(folder) / "coordinator", options.tiny, table)
        large_ledger(Path(folder) / "ledger", table)
    Console().print(table)


if __name__ == "__main__":
    main()
