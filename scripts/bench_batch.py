"""The cost of a batch beside single conversions: a second job, its coordinator, a ledger of 100,000 slides.

Everything is compared within one run, and batches take turns. Slides are drawn; tiny ones, of 600 x 500 px,
are copies of one with other numbers in their texts. A slide has one thread, and tissue is found by colour.
"""

import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import ratios
import results_page
import tifffile
from usage import parser_of

from wsicomp.batch import BatchOptions, Entry, Ledger, State, read_report, run_batch, write_csv, write_html
from wsicomp.comparison.tables import markdown_table
from wsicomp.config import ConversionConfig
from wsicomp.conversion.convert import convert_slide
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide

# A conversion of a tiny slide is larger than its source, which a batch would put in its place.
_COMMON = {"workers": 1, "segmenter": "threshold", "keep_if_larger": "keep"}
ONE_THREAD = ConversionConfig.of(**_COMMON)
PARTS = 4
_ENTRIES = 100_000
CHOICES = BatchOptions(workers=1, min_free=0)


@dataclass(frozen=True)
class Spent:
    """Wall seconds, and CPU seconds of this process and its worker processes."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def row(self, name: str, slides: int, note: str = "") -> list[str]:
        """Return the row of a table: seconds, and milliseconds a slide."""
        each = [milliseconds(seconds / slides) for seconds in (self.wall_s, self.cpu_s)]
        return [name, f"{self.wall_s:.2f}", *each, note]


def milliseconds(seconds: float) -> str:
    """Return three digits, and all that are whole."""
    found = seconds * 1000
    return f"{found:.0f}" if found >= 100 else f"{found:.3g}"


def spent(work: Callable[[], object]) -> Spent:
    """Do the work, and return what it took."""
    before, start = _cpu_s(), time.perf_counter()
    work()
    return Spent(time.perf_counter() - start, _cpu_s() - before)


def _cpu_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def batch(source: Path, target: Path, config: ConversionConfig, jobs: int) -> Spent:
    """Return what a batch into an empty tree takes."""
    shutil.rmtree(target, ignore_errors=True)

    def work() -> None:
        result = run_batch(source, target, config, replace(CHOICES, jobs=jobs))
        assert result.is_good, result

    return spent(work)


def second_job(folder: Path, slides: int, rounds: int) -> tuple[list[list[str]], float]:
    """Return the rows of large slides, and how many times as fast two jobs are as one."""
    source = folder / "large"
    source.mkdir()
    write_slide(source / "0.svs", SyntheticSlide(Size(6000, 6000), seed=1, tissue_fraction=0.5))
    for number in range(1, slides):
        shutil.copy(source / "0.svs", source / f"{number}.svs")
    config = ConversionConfig.of(**_COMMON, codec="jpeg", quality=90)
    batch(source, folder / "out", config, 2)
    runs = [[batch(source, folder / "out", config, jobs) for jobs in (1, 2)] for _ in range(rounds)]
    one, two = (min((pair[n] for pair in runs), key=lambda took: took.wall_s) for n in (0, 1))
    gain = one.wall_s / two.wall_s
    name = f"{slides} slides of 6,000 px, jpeg q90"
    return [one.row(f"{name}, one job", slides), two.row("two jobs", slides, f"{gain:.2f}x")], gain


def tiny_trees(folder: Path, count: int) -> list[Path]:
    """Return trees of as many tiny slides in all, each with its number at the end of its description."""
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


def coordinator(folder: Path, tiny: int) -> tuple[list[list[str]], dict[str, float]]:
    """Return the rows of tiny slides, and their ratios. A quarter is converted one by one as well."""
    one, two, in_process = Spent(), Spent(), 0.0
    trees = tiny_trees(folder, tiny)
    for tree in trees:
        one += batch(tree, folder / "out", ONE_THREAD, 1)
        with Ledger(folder / "out", read_only=True) as ledger:
            in_process += sum(entry.elapsed_s for entry in ledger.entries())
        two += batch(tree, folder / "out", ONE_THREAD, 2)
    few, alone = len(list(trees[-1].iterdir())), folder / "alone"
    alone.mkdir()
    by_itself = spent(lambda: _loop(trees[-1], alone))
    same = all((folder / "out" / path.name).read_bytes() == path.read_bytes() for path in alone.iterdir())
    assert same, "a batch writes other bytes than convert"
    again = spent(lambda: run_batch(trees[-1], folder / "out", ONE_THREAD, CHOICES))
    gain, added = one.wall_s / two.wall_s, one.wall_s / tiny / (by_itself.wall_s / few)
    rows = [
        by_itself.row(f"{few} tiny slides, convert in a loop", few),
        one.row(f"{tiny} of them, a batch with one job", tiny, f"{added:.2f}x the time of the loop"),
        ["of it in the slide's process", f"{in_process:.2f}", milliseconds(in_process / tiny), "", ""],
        two.row("two jobs", tiny, f"{gain:.2f}x"),
        again.row(f"{few} again, with nothing to do", few),
    ]
    return rows, {"tiny: two jobs beside one": gain, "tiny: a batch beside a loop": 1 / added}


def _loop(tree: Path, target: Path) -> None:
    for path in sorted(tree.iterdir()):
        convert_slide(path, target / path.name, ONE_THREAD)


def large_ledger(folder: Path) -> list[list[str]]:
    """Return the rows of a ledger of 100,000 entries, two in a hundred failed."""
    (folder / ".wsicomp").mkdir()
    done = Entry(
        "",
        "",
        State.DONE,
        "1-2",
        10**9,
        "5" * 64,
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

    def fill() -> None:
        with Ledger(folder) as ledger:
            ledger.put(entry(number) for number in range(_ENTRIES))

    return [
        spent(work).row(name, _ENTRIES)
        for name, work in (
            (f"ledger of {_ENTRIES:,} entries, written at once", fill),
            ("opened and reported", lambda: read_report(folder)),
            ("its page", lambda: write_html(folder, folder / "r.html", overwrite=True)),
            ("its table", lambda: write_csv(folder, folder / "r.csv", overwrite=True)),
        )
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tiny", type=int, default=2000, help="tiny slides of one batch")
    parser.add_argument("--slides", type=int, default=8, help="slides of the batch with two jobs")
    parser.add_argument("--rounds", type=int, default=2, help="runs with large slides; the fastest counts")
    results_page.add_options(parser)
    ratios.add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for part in ("jobs", "coordinator", "ledger"):
            (Path(folder) / part).mkdir()
        large, gain = second_job(Path(folder) / "jobs", options.slides, options.rounds)
        tiny, found = coordinator(Path(folder) / "coordinator", options.tiny)
        rows = [*large, *tiny, *large_ledger(Path(folder) / "ledger")]
    table = markdown_table(["", "seconds", "ms each", "CPU ms each", ""], rows)
    results_page.publish(options, "batch", f"{results_page.machine()}\n\n{table}")
    ratios.finish(options, "batch", found | {"large: two jobs beside one": gain})


if __name__ == "__main__":
    main()
