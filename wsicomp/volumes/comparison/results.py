"""The results of a comparison of volumes, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from wsicomp.volumes.volume import Scaling

CT_PEAK = 4096.0
"""The peak of PSNR that studies take for CT: the range of 12 bits."""
PEAK_OF_16_BITS = 65_535.0
"""The peak of PSNR of 16 bits, which the study of diffusion takes."""


@dataclass(frozen=True)
class ComparedVolume:
    """A volume on which candidates are tried."""

    name: str
    """As the user gave it, without its folders."""
    error: str = ""
    """Why it could not be read; "" if it could."""
    format: str = ""
    """`NIfTI`, `NRRD` or `DICOM`."""
    modality: str = ""
    """`CT` decides on a peak of 4096; for all else it is the range of the values."""
    modality_from: str = ""
    """How the modality is known, in a clause."""
    shape: tuple[int, ...] = ()
    """(columns, rows, slices) or (columns, rows, slices, times)."""
    dtype: str = ""
    """NumPy's name of it."""
    spacing: tuple[float, float, float] | None = None
    """In mm along x, y and z; None if the file does not say."""
    scaling: Scaling = field(default_factory=Scaling)
    """What stored values stand for."""
    file_bytes: int = 0
    """Of the source's files, as they are."""
    voxel_bytes: int = 0
    """Of all voxels at the source's dtype."""
    used_bits: int | None = None
    """Bits that tell all whole numbers from the least value to the greatest; None if not all are whole."""
    entropy_bits: float | None = None
    """Of a single value."""
    least: float = 0.0
    """The least stored value."""
    greatest: float = 0.0
    """The greatest stored value."""

    @property
    def slice_count(self) -> int:
        """The number of slices, over all times."""
        count = 1
        for side in self.shape[2:]:
            count *= side
        return count

    @property
    def peak(self) -> float:
        """PSNR's peak in stored values: 4096 Hounsfield units for CT, else the range of the values."""
        span = self.greatest - self.least
        return CT_PEAK / abs(self.scaling.slope or 1.0) if self.modality == "CT" else span

    @property
    def used_bytes(self) -> float | None:
        """All voxels packed into the bits that they use; None where values are not whole."""
        if self.used_bits is None:
            return None
        voxels = self.slice_count * self.shape[0] * self.shape[1]
        return voxels * max(1, self.used_bits) / 8


@dataclass(frozen=True)
class PartFidelity:
    """How true a part of a volume is to the source."""

    voxels: int
    """Of that part."""
    changed: int
    """How many of them differ."""
    most_error: float
    """The greatest difference of stored values."""
    psnr_db: float | None
    """With the volume's peak; None where nothing differs."""
    psnr_16_bit_db: float | None
    """With a peak of 65535; None where nothing differs."""
    psnr_range_db: float | None
    """With the range of the values as its peak; None where nothing differs."""


@dataclass(frozen=True)
class VolumeRow:
    """What became of a volume by one candidate."""

    source: str
    """The volume's name."""
    candidate: str
    """The candidate's label."""
    reason: str = ""
    """Why there is no file; "" if there is one."""
    bytes: int = 0
    """Of the compressed file, headers and digests included."""
    ratio: float = 0.0
    """The bytes of all voxels at the source's dtype, over the file's."""
    ratio_of_file: float = 0.0
    """The bytes of the source's files, over the file's."""
    ratio_of_used_bits: float | None = None
    """The bytes of all voxels in the bits that they use, over the file's; None where values are not whole."""
    is_exact: bool = False
    """Whether every voxel came back."""
    whole: PartFidelity | None = None
    """Over all voxels."""
    inside: PartFidelity | None = None
    """Over the region; None where there is none."""
    outside: PartFidelity | None = None
    """Over the rest; None where there is no region."""
    ssim: float | None = None
    """The mean over the slices; None where slices are smaller than SSIM's window."""
    least_ssim: float | None = None
    """Of the worst slice."""
    worst_slice: int | None = None
    """The number of the worst slice."""
    ssim_inside: float | None = None
    """The mean over the region's voxels."""
    entropy_bits: float | None = None
    """Of a single value that came back."""
    compress_cpu_s: float = 0.0
    """CPU seconds of writing the file, checks and all threads included."""
    read_cpu_s: float = 0.0
    """CPU seconds of reading every slice back."""
    peak_bytes: int = 0
    """The largest resident memory of the process that did both; 0 where the system does not say."""

    @property
    def is_done(self) -> bool:
        """Whether there is a file."""
        return not self.reason


@dataclass(frozen=True)
class MedianRow:
    """What a candidate makes of all volumes: medians over those where it made a file."""

    candidate: str
    """Its label."""
    volumes: int
    """Of how many."""
    bytes_before: int
    """The voxels of all of them."""
    bytes: int
    """The files of all of them."""
    ratio: float
    """The median of the ratios to the voxels' bytes."""
    ratio_of_file: float
    """The median of the ratios to the sources' files."""
    is_exact: bool
    """Whether every voxel of every volume came back."""
    psnr_db: float | None
    """The median, of those where anything differs."""
    psnr_16_bit_db: float | None
    """The same with a peak of 65535."""
    ssim: float | None
    """The median of the means."""
    least_ssim: float | None
    """Of the worst slice of all."""
    most_error: float
    """Of any voxel of any volume."""
    compress_cpu_s: float
    """The median."""
    read_cpu_s: float
    """The median."""
    peak_bytes: int
    """The largest resident memory of all that wrote and read a file."""

    @property
    def total_ratio(self) -> float:
        """All voxels' bytes over all files'."""
        return self.bytes_before / max(1, self.bytes)


@dataclass(frozen=True)
class VolumeComparison:
    """The results of a comparison of volumes."""

    volumes: tuple[ComparedVolume, ...]
    """Each as it was given, in that order."""
    rows: tuple[VolumeRow, ...]
    """One for each volume and candidate."""
    candidates: tuple[str, ...]
    """Labels, in the order in which they were given."""
    software: str
    """What measured."""
    made: str
    """When, in UTC."""
    command: str
    """The command line; "" in Python."""

    @property
    def done(self) -> tuple[ComparedVolume, ...]:
        """The volumes that could be read."""
        return tuple(each for each in self.volumes if not each.error)

    def rows_of(self, source: str) -> Sequence[VolumeRow]:
        """Return the rows of one volume, in the order of the candidates."""
        return [row for row in self.rows if row.source == source]

    @property
    def medians(self) -> tuple[MedianRow, ...]:
        """A row for each candidate that made a file of at least one volume."""
        sizes = {each.name: each.voxel_bytes for each in self.volumes}
        found = (
            (label, [row for row in self.rows if row.candidate == label and row.is_done])
            for label in self.candidates
        )
        return tuple(_median_row(label, rows, sizes) for label, rows in found if rows)


def _median_row(label: str, rows: Sequence[VolumeRow], sizes: Mapping[str, int]) -> MedianRow:
    whole = [row.whole for row in rows if row.whole is not None]
    ssim = [row.ssim for row in rows if row.ssim is not None]
    return MedianRow(
        label,
        len(rows),
        sum(sizes[row.source] for row in rows),
        sum(row.bytes for row in rows),
        median(row.ratio for row in rows),
        median(row.ratio_of_file for row in rows),
        all(row.is_exact for row in rows),
        _median_or_none([each.psnr_db for each in whole]),
        _median_or_none([each.psnr_16_bit_db for each in whole]),
        median(ssim) if ssim else None,
        min((row.least_ssim for row in rows if row.least_ssim is not None), default=None),
        max((each.most_error for each in whole), default=0.0),
        median(row.compress_cpu_s for row in rows),
        median(row.read_cpu_s for row in rows),
        max(row.peak_bytes for row in rows),
    )


def _median_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
