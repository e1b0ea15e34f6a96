"""Ratios and speed of the codecs of volumes, on volumes of yours and on drawn ones: without loss, or with.

Each volume is mapped to planes as `wsicomp volume compress` maps it, encoded slice by slice (as video: in
slabs), decoded again and compared. A ratio is the voxels' bytes in the file's own type, by the bytes of all
encoded planes, and MB/s are of those voxels, in CPU seconds of one thread.

`--what between` holds prediction of every second slice from both its neighbours against slice by slice: with
all slices, every second, every third and so on. With `--what loss` each codec has a few qualities; a PSNR is
over all voxels, its peak the largest sample of the volume's bits.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import results_page
from usage import parser_of

from wsicomp.comparison.tables import markdown_table
from wsicomp.errors import ConfigError
from wsicomp.volumes.codecs.base import PlaneCodec, SamplePlane
from wsicomp.volumes.codecs.prediction import PREDICTED_SLAB, predicted_places, residual, unpredicted
from wsicomp.volumes.codecs.registry import plane_codec
from wsicomp.volumes.codecs.values import ValueMap, exact_map, survey_values
from wsicomp.volumes.codecs.video import VideoCodec
from wsicomp.volumes.formats.opening import open_volume_source
from wsicomp.volumes.phantom import drawn_volume
from wsicomp.volumes.volume import VoxelSlice

PAGE = results_page.PAGE.parent / "volume-codecs.md"
DRAWN = (64, 256, 256)
SLAB = 32
STEPS = (1, 2, 3, 5)
LEAST_SLICES = 9
Planes = list[SamplePlane]
Shape = tuple[int, int]


class Way(Protocol):
    """A way by which the slices of one plane become bytes, and come back."""

    def encode(self, planes: Planes, bits: int) -> list[bytes]: ...
    def decode(self, data: list[bytes], shape: Shape, count: int, bits: int) -> Planes: ...


@dataclass(frozen=True)
class Slices:
    """Each slice by itself."""

    codec: PlaneCodec

    def encode(self, planes: Planes, bits: int) -> list[bytes]:
        return [self.codec.encode(plane, bits) for plane in planes]

    def decode(self, data: list[bytes], shape: Shape, _: int, bits: int) -> Planes:
        return [self.codec.decode(each, shape, bits) for each in data]


@dataclass(frozen=True)
class Between:
    """Every second slice as what it differs by from its neighbours' mean, in slabs where that is smaller."""

    codec: PlaneCodec

    def encode(self, planes: Planes, bits: int) -> list[bytes]:
        """A first byte says whether the slice is predicted."""
        slabs = [planes[first : first + PREDICTED_SLAB] for first in range(0, len(planes), PREDICTED_SLAB)]
        return [data for slab in slabs for data in self._slab(slab, bits)]

    def _slab(self, slab: Planes, bits: int) -> Iterator[bytes]:
        def alone(place: int) -> bytes:
            return self.codec.encode(slab[place], bits)

        def between(place: int) -> bytes:
            return self.codec.encode(residual(slab[place], slab[place - 1], slab[place + 1], bits), bits)

        places = predicted_places(
            len(slab), lambda place: len(alone(place)), lambda place: len(between(place))
        )
        for place in range(len(slab)):
            yield b"\x01" + between(place) if place in places else b"\x00" + alone(place)

    def decode(self, data: list[bytes], shape: Shape, count: int, bits: int) -> Planes:
        found = [self.codec.decode(each[1:], shape, bits) for each in data]
        for n in range(count):
            if data[n][0]:
                found[n] = unpredicted(found[n], found[n - 1], found[n + 1], bits)
        return found


@dataclass(frozen=True)
class Slabs:
    """So many slices as a video."""

    codec: VideoCodec

    def encode(self, planes: Planes, bits: int) -> list[bytes]:
        slabs = [planes[first : first + SLAB] for first in range(0, len(planes), SLAB)]
        return [self.codec.encode(slab, planes[0].shape, bits) for slab in slabs]

    def decode(self, data: list[bytes], shape: Shape, count: int, bits: int) -> Planes:
        counts = [min(SLAB, count - SLAB * number) for number in range(len(data))]
        return [
            plane
            for each, so_many in zip(data, counts, strict=True)
            for plane in self.codec.decode(each, shape, so_many, bits)
        ]


@dataclass(frozen=True)
class Case:
    """A volume as planes."""

    name: str
    apart_mm: float
    mapped: ValueMap
    stacks: list[Planes]
    """The slices of each plane of the map."""
    bytes: int
    voxels: int

    def every(self, step: int) -> "Case":
        """The volume with every so many-th slice alone."""
        stacks = [stack[::step] for stack in self.stacks]
        share = len(stacks[0]) / len(self.stacks[0])
        apart = self.apart_mm * step
        return Case(
            self.name, apart, self.mapped, stacks, round(self.bytes * share), round(self.voxels * share)
        )


@dataclass(frozen=True)
class Taken:
    """The outcome of a way of coding a volume: bytes, and CPU seconds both ways."""

    size: int
    encode_s: float
    decode_s: float
    back: list[Planes]
    entries: list[list[bytes]]


def taken_by(way: Way, case: Case) -> Taken:
    size, encode_s, decode_s, back, entries = 0, 0.0, 0.0, [], []
    for planes, bits in zip(case.stacks, case.mapped.plane_bits, strict=True):
        start = time.process_time()
        data = way.encode(planes, bits)
        middle = time.process_time()
        back.append(way.decode(data, planes[0].shape, len(planes), bits))
        decode_s += time.process_time() - middle
        encode_s += middle - start
        size += sum(map(len, data))
        entries.append(data)
    return Taken(size, encode_s, decode_s, back, entries)


def exactly(way: Way, case: Case) -> Taken:
    """Encode and decode; end if one voxel is another."""
    found = taken_by(way, case)
    for planes, expected in zip(found.back, case.stacks, strict=True):
        if len(planes) != len(expected) or not all(map(np.array_equal, planes, expected)):
            sys.exit(f"{case.name} is not exact")
    return found


def lossless() -> dict[str, Way]:
    """Return what each column of the tables is made by."""
    efforts: dict[str, Sequence[int | None]] = {"jpegxl": (1, 3, 5, 7), "zstd": (3, 19)}
    names = ("jpegxl", "jpegls", "jpeg2000", "htj2k", "zstd", "bz2")
    found: dict[str, Way] = {
        name if effort is None else f"{name} {effort}": Slices(plane_codec(name, effort=effort))
        for name in names
        for effort in efforts.get(name, (None,))
    }
    videos = {"hevc": VideoCodec(), "hevc, intra": VideoCodec(intra=True), "ffv1": VideoCodec("ffv1")}
    return found | {label: Slabs(video) for label, video in videos.items()}


def lossy() -> dict[str, Way]:
    """Return codecs at a few qualities each."""
    found: dict[str, Way] = {
        f"jpeg2000 at {rate} : 1": Slices(plane_codec("jpeg2000", rate=rate)) for rate in (20, 50, 100)
    }
    found |= {f"htj2k, steps of {step}": Slices(plane_codec("htj2k", step)) for step in (8, 32, 128)}
    found |= {f"jpegxl {quality}": Slices(plane_codec("jpegxl", quality)) for quality in (90, 60, 20)}
    found |= {f"jpegls, error {error}": Slices(plane_codec("jpegls", error)) for error in (2, 8)}
    for crf in (10, 20, 40):
        for intra in (False, True):
            label = f"hevc, rate factor {crf}{', intra' * intra}"
            found[label] = Slabs(VideoCodec(crf=crf, intra=intra))
    return found


def case_of(name: str, apart_mm: float, slices: Iterable[VoxelSlice], ranked: bool) -> Case:
    kept = list(slices)
    mapped = exact_map(survey_values(kept), may_rank=ranked)
    stacks = [list(planes) for planes in zip(*map(mapped.to_planes, kept), strict=True)]
    return Case(
        name, apart_mm, mapped, stacks, sum(one.nbytes for one in kept), sum(one.size for one in kept)
    )


def cases(paths: Sequence[Path], ranked: bool) -> Iterator[Case]:
    for path in paths:
        with closing(open_volume_source(path)) as volume:
            spacing = volume.info.geometry.spacing
            yield case_of(
                path.name.partition(".")[0], spacing[2] if spacing else np.nan, volume.slices(), ranked
            )
    for modality in ("CT", "MR"):
        drawn = drawn_volume(26, DRAWN, modality)  # type: ignore[arg-type]
        yield case_of(f"drawn {modality}", drawn.spacing[2], drawn.voxels, ranked)


def about(case: Case) -> list[str]:
    """Return a row's first cells, of which `HEAD` says what they are."""
    size = f"{len(case.stacks[0])} x {' x '.join(map(str, case.stacks[0][0].shape))}"
    bits = " + ".join(map(str, case.mapped.plane_bits))
    return [case.name, size, f"{case.apart_mm:.3g}", bits, f"{case.bytes / 1e6:.2f}"]


HEAD = ("volume", "slices", "mm apart", "bits", "MB")
PREDICTED = ("jpegxl", "jpegls", "jpeg2000")
BETWEEN_HEAD = [
    *("volume", "mm apart", "slices"),
    *(f"{name}{what}" for name in PREDICTED for what in (" saves", ", predicted", ", times the time")),
]


def measured(case: Case, ways: Mapping[str, Way]) -> dict[str, Taken]:
    """Return what each way took; those whose codec holds fewer bits are left out."""
    found = {}
    for name, way in ways.items():
        try:
            found[name] = exactly(way, case)
        except ConfigError:
            continue
        print(case.name, name, found[name].size, file=sys.stderr, flush=True)
    return found


def between_row(case: Case) -> list[str]:
    """Return how many bytes prediction saves of each codec, in how much more time."""
    cells = [case.name, f"{case.apart_mm:.3g}", str(len(case.stacks[0]))]
    for name in PREDICTED:
        codec = plane_codec(name)
        plain, predicted = exactly(Slices(codec), case), exactly(Between(codec), case)
        share = np.mean([each[0] for entries in predicted.entries for each in entries])
        cells += [
            f"{max(0, 1 - predicted.size / plain.size):.1%}",
            f"{share:.0%}",
            f"{predicted.encode_s / plain.encode_s:.1f}, {predicted.decode_s / plain.decode_s:.1f}",
        ]
    return cells


def lossy_row(case: Case, name: str, way: Way) -> list[str]:
    """Return what a codec with loss makes of a volume of one plane: ratio, PSNR, greatest error."""
    found = taken_by(way, case)
    ((back,), (planes,), (bits,)) = found.back, case.stacks, case.mapped.plane_bits
    errors = np.stack(back).astype(np.int32) - np.stack(planes)
    psnr = 20 * np.log10((1 << bits) - 1) - 10 * np.log10(np.mean(np.square(errors, dtype=np.float64)))
    return [case.name, name, f"{case.bytes / found.size:.1f}", f"{psnr:.1f}", str(np.abs(errors).max())]


def without_loss(paths: Sequence[Path]) -> dict[str, str]:
    """Return the tables of every codec and effort, by their names."""
    ways = lossless()
    columns: dict[str, Callable[[Case, Taken], str]] = {
        "bytes": lambda _, taken: f"{taken.size / 1000:.1f}",
        "ratios": lambda case, taken: f"{case.bytes / taken.size:.3f}",
        "encoding": lambda case, taken: f"{case.bytes / taken.encode_s / 1e6:.3g}",
        "decoding": lambda case, taken: f"{case.bytes / taken.decode_s / 1e6:.3g}",
    }
    rows: dict[str, list[list[str]]] = {name: [] for name in columns}
    for case in cases(paths, ranked=True):
        found = measured(case, ways)
        for table, text in columns.items():
            cells = [text(case, found[name]) if name in found else "-" for name in ways]
            rows[table].append([*about(case), *cells])
    return {name: markdown_table([*HEAD, *ways], found) for name, found in rows.items()}


def with_prediction(paths: Sequence[Path]) -> dict[str, str]:
    """Return the table of prediction, by its name."""
    few = (case.every(step) for case in cases(paths, ranked=True) for step in STEPS)
    rows = [between_row(case) for case in few if len(case.stacks[0]) >= LEAST_SLICES]
    return {"between": markdown_table(BETWEEN_HEAD, rows)}


def with_loss(paths: Sequence[Path]) -> dict[str, str]:
    """Return the table by its name."""
    rows = []
    for case in cases(paths, ranked=False):
        for name, way in lossy().items():
            with suppress(ConfigError):  # more bits than the codec holds
                rows.append(lossy_row(case, name, way))
    return {"loss": markdown_table(["volume", "codec", "ratio", "PSNR, dB", "greatest error"], rows)}


PARTS = {"lossless": without_loss, "between": with_prediction, "loss": with_loss}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("volumes", type=Path, nargs="*", help="files, or folders of DICOM; drawn ones follow")
    parser.add_argument("--what", choices=PARTS, default="lossless", help="which tables")
    results_page.add_options(parser, PAGE)
    options = parser.parse_args()
    for name, table in PARTS[options.what](options.volumes).items():
        machine = f"{results_page.machine('av')}\n\n" if name in ("bytes", "between", "loss") else ""
        results_page.publish(options, f"volumes, {name}", machine + table, PAGE)


if __name__ == "__main__":
    main()
