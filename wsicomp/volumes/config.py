"""What a user can choose about a volume's compression: each option is declared here once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsicomp.errors import ConfigError
from wsicomp.options import checked_fields, option
from wsicomp.text.coordinates import coordinates

CODECS = ("jpegxl", "jpegls", "jpeg2000", "htj2k", "hevc", "ffv1", "zstd", "bz2", "rle", "deflate")
"""The last two, `OF_DICOM`, are for DICOM that is written as DICOM alone."""
OF_DICOM = CODECS[-2:]
DEFAULT_CODEC = "jpegxl"
DEFAULT_DICOM_CODEC = "jpegls"
"""Signed values have a form in it, and other programs open it: JPEG XL has neither in DICOM yet."""
FOUND_REGIONS = ("auto", "sam")
"""Regions that are looked for in the volume itself."""
_OF_REGIONS = (
    "roi_labels", "roi_margin_mm", "roi_form", "roi_resample", "roi_quality", "rest_codec", "rest_quality"
)  # fmt: skip
REST_CODECS = ("jpeg", "jpegxl", "jpeg2000", "hevc")


@dataclass(frozen=True, kw_only=True)
class VolumeConfig:
    """The options of `wsicomp volume compress`.

    Raises:
        ConfigError: a value is out of its range, or two contradict each other.
    """

    codec: str | None = option(
        None,
        "store slices by this codec",
        choices=CODECS,
        default_text=f"{DEFAULT_CODEC}; {DEFAULT_DICOM_CODEC} where DICOM is written",
    )
    lossless: bool = option(False, "refuse whatever would change a voxel")
    quality: float | None = option(
        None,
        "lose something: JPEG XL's quality (1 to 99), JPEG 2000's PSNR in dB, HEVC's CRF (0 to 51), "
        "JPEG-LS's greatest error, HTJ2K's step; where DICOM is written, PSNR in dB but for JPEG-LS; by "
        "default nothing is lost",
        metavar="Q",
        least=0,
        most=4096,
    )
    rate: float | None = option(
        None,
        "lose as much as makes slices so many times smaller; JPEG 2000",
        metavar="R",
        least=1,
        most=10_000,
    )
    effort: int | None = option(None, "spend more time for smaller files", metavar="N", least=1, most=9)
    predict: bool = option(
        False,
        "store every second slice as what it differs by from the two beside it, where that is smaller: "
        "slices up to 3 mm apart take 2 to 11 % less, and such a slice takes three times as long to read",
    )
    window: str | None = option(
        None,
        "keep only stored values from LOW to HIGH, and fewer steps of them where the codec takes fewer",
        metavar="LOW,HIGH",
    )
    roi: str | None = option(
        None,
        "keep this region exact and the rest coarse: a volume of labels, or `auto` for the body, or `sam`",
        metavar="LABELS",
        group="regions",
    )
    roi_labels: tuple[int, ...] = option(
        (),
        "take only these labels; by default all but 0",
        metavar="N",
        least=1,
        most=65_535,
        group="regions",
    )
    roi_margin_mm: float = option(
        0.0, "widen the region by so many mm", metavar="MM", least=0, most=1000, group="regions"
    )
    roi_form: str = option(
        "true",
        "keep the region's true form, or the box around it",
        choices=("true", "box", "slice-box"),
        group="regions",
    )
    roi_resample: bool = option(False, "bring labels of another grid to the volume's", group="regions")
    roi_quality: float | None = option(
        None,
        "lose something in the region too, counted as `quality` is",
        metavar="Q",
        least=0,
        most=1000,
        group="regions",
    )
    rest_codec: str | None = option(
        None,
        "store the rest by this codec",
        choices=REST_CODECS,
        group="regions",
        default_text="hevc; jpegxl where DICOM is written",
    )
    rest_quality: float | None = option(
        None,
        "the quality of the rest: JPEG's and JPEG XL's from 1, JPEG 2000's PSNR in dB, HEVC's CRF",
        metavar="Q",
        least=0,
        most=1000,
        group="regions",
    )
    diffuse: Path | None = option(
        None,
        "smooth what is outside an organ before it is stored: a volume of its probability, or of labels",
        metavar="PROBABILITY",
        group="regions",
    )
    deidentify: bool = option(
        False, "take out of DICOM headers what could name a patient; for DICOM to DICOM", group="output"
    )
    workers: int | None = option(
        None, "use so many threads", metavar="N", least=1, most=256, group="output", default_text="one a core"
    )
    overwrite: bool = option(False, "replace TARGET if it exists", group="output")

    def __post_init__(self) -> None:
        checked_fields(self)
        self._check_loss()
        self._check_regions()

    @property
    def labels(self) -> Path | None:
        """The file of labels that is the region; None where it is found otherwise."""
        return None if self.roi in (None, *FOUND_REGIONS) else Path(str(self.roi))

    @property
    def limits(self) -> tuple[float, float] | None:
        """The window: least and greatest stored value that is kept."""
        if self.window is None:
            return None
        try:
            low, high = coordinates(self.window, 2)
        except ValueError as exc:
            raise ConfigError(f"`window` is {self.window}, expected LOW,HIGH such as -1000,1000") from exc
        if low >= high:
            raise ConfigError(f"`window` is {self.window}, expected LOW below HIGH")
        return low, high

    def _check_loss(self) -> None:
        _ = self.limits
        lossy = [
            name
            for name in ("quality", "rate", "window", "roi", "diffuse")
            if getattr(self, name) is not None
        ]
        if self.lossless and lossy:
            raise ConfigError(
                f"`lossless=True` keeps every voxel and `{lossy[0]}` does not; leave one of them out"
            )
        if self.predict and lossy:
            raise ConfigError(
                f"`predict=True` needs every voxel, and `{lossy[0]}` loses some; leave one of them out"
            )
        if self.quality is not None and self.codec in ("ffv1", "zstd", "bz2"):
            raise ConfigError(f"{self.codec} loses nothing, so it takes no `quality`; leave it out")

    def _check_regions(self) -> None:
        if self.roi is None:
            for name in _OF_REGIONS:
                if getattr(self, name) not in (None, (), 0.0, False, "true"):
                    raise ConfigError(f"`{name}` is of a region, and there is none; add `roi`")
        elif self.quality is not None or self.rate is not None:
            raise ConfigError(
                "beside `roi`, `roi_quality` and `rest_quality` say what is lost; leave `quality` out"
            )
        elif self.diffuse is not None:
            raise ConfigError("`roi` stores the rest coarse and `diffuse` smooths it; leave one of them out")
