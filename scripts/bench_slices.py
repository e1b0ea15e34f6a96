"""Reads random slices of a CT of 500 slices beside nibabel, and measures the memory of a volume of 2 GB.

Both volumes are drawn: CT of 512 x 512 voxels, int16, gzipped as NIfTI. Slices are read in one process, in
an order drawn by chance: cells have medians. Processes of their own compress and restore the large volume.
"""

import gzip
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import ratios
import results_page
from processes import WSICOMP, Command, Run, run
from usage import parser_of

import wsicomp
from wsicomp import VolumeConfig
from wsicomp.volumes.phantom import drawn_slices

PAGE = Path(__file__).parent.parent / "docs/results/volume-codecs.md"
SIDE = 512
CODECS = ("jpegxl", "jpegls", "jpeg2000", "htj2k", "zstd")
NIBABEL = "nibabel on .nii.gz"
Times = tuple[float, float, float]
"""Milliseconds of a slice: with the file opened for it, with the file open, and of the processor then."""
Found = tuple[float, Times]
"""The ratio, and what a slice takes."""
LARGE_WAYS = {
    "jpegls": ("--codec", "jpegls"),
    "jpegls, the body exact": ("--codec", "jpegls", "--roi", "auto", "--rest-codec", "jpeg"),
}


def drawn(path: Path, slices: int, distinct: int) -> Path:
    """Write a CT as NIfTI, gzipped at level 1; beyond `distinct` its slices repeat."""
    shapes = (min(slices, distinct), SIDE, SIDE)
    different = [voxels for voxels, _ in drawn_slices(1, shapes)]
    header: Any = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((SIDE, SIDE, slices))
    header.set_zooms((0.7, 0.7, 1.0))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    with gzip.open(path, "wb", 1) as file:
        file.write(header.binaryblock + bytes(4))
        for number in range(slices):
            file.write(different[number % distinct].tobytes())
    return path


def by_wsicomp(path: Path) -> Callable[[int], Any]:
    volume = wsicomp.open_volume(path)
    return lambda number: volume[:, :, number]


def by_nibabel(path: Path) -> Callable[[int], Any]:
    image: Any = nibabel.load(path)
    return lambda number: np.asarray(image.dataobj[:, :, number])


def milliseconds(opened: Callable[[Path], Callable[[int], Any]], path: Path, numbers: Sequence[int]) -> Times:
    """Return what a slice takes."""
    anew, clock, processor = [], [], []
    for number in numbers:
        start = time.perf_counter()
        opened(path)(number)
        anew.append(1000 * (time.perf_counter() - start))
    read = opened(path)
    for number in numbers:
        start, begun = time.perf_counter(), time.process_time()
        read(number)
        clock.append(1000 * (time.perf_counter() - start))
        processor.append(1000 * (time.process_time() - begun))
    return statistics.median(anew), statistics.median(clock), statistics.median(processor)


def read_slices(source: Path, folder: Path, reads: int) -> dict[str, Found]:
    """Return the ratio, and milliseconds of random slices, by what reads which file."""
    generator = random.Random(1)
    count = wsicomp.open_volume(source).shape[2]
    numbers = generator.sample(range(count), reads)
    truth = [by_nibabel(source)(number) for number in numbers[:2]]
    found = {}
    for codec in CODECS:
        target = folder / f"{codec}.wsiv"
        report = wsicomp.compress_volume(source, target, VolumeConfig(codec=codec))
        assert all(map(np.array_equal, map(by_wsicomp(target), numbers), truth))
        found[codec] = report.ratio, milliseconds(by_wsicomp, target, numbers)
        target.unlink()
    gzipped = report.voxel_bytes / report.source_bytes
    found[NIBABEL] = gzipped, milliseconds(by_nibabel, source, numbers[:10])
    return found


def table_of_slices(found: Mapping[str, Found]) -> str:
    lines = [
        "| Read from | ratio | opened for it, ms | open already, ms | of the processor then, ms |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, (ratio, times) in found.items():
        label = name if name == NIBABEL else f"`.wsiv`, {name}"
        lines.append(f"| {label} | {ratio:.2f} | {' | '.join(f'{one:.1f}' for one in times)} |")
    return "\n".join(lines)


def ways(source: Path, folder: Path) -> Iterator[tuple[str, Run]]:
    """Compress and restore the large volume, each in a process of its own."""
    packed, again = folder / "large.wsiv", folder / "again.nii.gz"
    words = (*WSICOMP, "volume")
    for name, options in LARGE_WAYS.items():
        yield (
            f"{name}: compress",
            run(Command((*words, "compress", str(source), str(packed), *options), packed)),
        )
        yield f"{name}: restore", run(Command((*words, "restore", str(packed), str(again)), again))


def table_of_memory(runs: Mapping[str, Run]) -> str:
    lines = ["| 2 GB of voxels | seconds | CPU seconds | peak MB |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {one.wall_s:.0f} | {one.cpu_s:.0f} | {one.peak_mb:.0f} |" for name, one in runs.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--slices", type=int, default=500, help="of the volume that slices are read from; 0 for none"
    )
    parser.add_argument("--large", type=int, default=4000, help="slices of the large volume; 0 for none")
    parser.add_argument("--reads", type=int, default=60, help="slices that are read of every file")
    results_page.add_options(parser, PAGE)
    ratios.add_options(parser)
    options = parser.parse_args()
    machine = results_page.machine("nibabel")
    with tempfile.TemporaryDirectory() as folder:
        if options.slices:
            source = drawn(Path(folder, "ct.nii.gz"), options.slices, options.slices)
            found = read_slices(source, Path(folder), options.reads)
            results_page.publish(options, "slices", f"{machine}\n\n{table_of_slices(found)}", PAGE)
            slow = found[NIBABEL][1][2]
            gains = {f"{name}: nibabel's time": slow / found[name][1][2] for name in CODECS}
            ratios.finish(options, "slices", gains)
        if options.large:
            large = drawn(Path(folder, "large.nii.gz"), options.large, 100)
            runs = dict(ways(large, Path(folder)))
            results_page.publish(options, "slices, memory", f"{machine}\n\n{table_of_memory(runs)}", PAGE)


if __name__ == "__main__":
    sys.exit(main())
