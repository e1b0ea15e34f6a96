"""The codecs of planes by their names, with the ranges of their options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from wsicomp.errors import ConfigError, UnknownCodecError
from wsicomp.options import did_you_mean
from wsicomp.volumes.codecs.base import PlaneCodec
from wsicomp.volumes.codecs.planes import (
    Bz2Planes,
    HighThroughputPlanes,
    Jpeg2000Planes,
    JpegLsPlanes,
    JpegPlanes,
    JpegXlPlanes,
    ZstdPlanes,
)


@dataclass(frozen=True)
class PlaneCodecInfo:
    """The options of a codec of planes, and their ranges."""

    make: Callable[..., PlaneCodec]
    """Its class, which takes the options that are named here."""
    help: str
    """What it is, a clause."""
    quality: tuple[float, float] | None = None
    """The least and the greatest quality; None if it is only lossless."""
    quality_help: str = ""
    """What its quality is, a clause."""
    effort: tuple[int, int] | None = None
    """The least and the greatest effort; None if there is nothing to choose."""
    default_effort: int | None = None
    """The effort if none is given."""
    takes_rate: bool = False
    """Whether it can be asked for a compression ratio."""
    is_lossless: bool = True
    """Whether it is lossless if no quality and no rate are given."""


PLANE_CODECS: Mapping[str, PlaneCodecInfo] = {
    "jpegxl": PlaneCodecInfo(
        JpegXlPlanes,
        "JPEG XL: the smallest without loss",
        quality=(1, 99),
        quality_help="libjxl's scale, on which 90 is hardly seen",
        effort=(1, 9),
        default_effort=JpegXlPlanes.effort,
    ),
    "jpegls": PlaneCodecInfo(
        JpegLsPlanes,
        "JPEG-LS: fast, and every DICOM viewer reads it",
        quality=(0, 255),
        quality_help="the greatest error of a voxel",
    ),
    "jpeg2000": PlaneCodecInfo(
        Jpeg2000Planes,
        "JPEG 2000: the smallest with loss at a PSNR, and DICOM viewers read it",
        quality=(10, 200),
        quality_help="PSNR in dB, whose peak is the largest value of the volume's bits",
        takes_rate=True,
    ),
    "htj2k": PlaneCodecInfo(
        HighThroughputPlanes,
        "HTJ2K: the fastest to write and to read",
        quality=(0.5, 4096),
        quality_help="the step to which wavelet coefficients are rounded",
    ),
    "zstd": PlaneCodecInfo(
        ZstdPlanes,
        "Zstandard, which knows nothing of images",
        effort=(1, 22),
        default_effort=ZstdPlanes.effort,
    ),
    "bz2": PlaneCodecInfo(
        Bz2Planes,
        "bzip2, which knows nothing of images",
        effort=(1, 9),
        default_effort=Bz2Planes.effort,
    ),
    "jpeg": PlaneCodecInfo(
        JpegPlanes,
        "JPEG of 8 bits, for what may be coarse",
        quality=(1, 100),
        quality_help="libjpeg's scale",
        is_lossless=False,
    ),
}
"""Codecs by the names that the command line takes."""


def plane_codec(
    name: str, quality: float | None = None, effort: int | None = None, rate: float | None = None
) -> PlaneCodec:
    """Return a codec of planes: lossless if neither `quality` nor `rate` is given.

    >>> plane_codec("jpegxl").lossless
    True
    >>> plane_codec("jpeg2000", rate=20).suffix
    'j2k'

    `quality` is on each codec's own scale, as `PLANE_CODECS` says. `rate` is how many times smaller a plane
    shall become, counted against 8 or 16 bits a voxel.

    Raises:
        UnknownCodecError: there is no such codec.
        ConfigError: the codec has no such option, or the value is out of its range.
    """
    if name not in PLANE_CODECS:
        names = tuple(PLANE_CODECS)
        near = did_you_mean(name, names)
        raise UnknownCodecError(f"no codec {name!r} of volumes, expected one of {', '.join(names)}{near}")
    info = PLANE_CODECS[name]
    make = info.make
    if quality is not None and rate is not None:
        raise ConfigError("`quality` and `rate` exclude each other; give one of them")
    if quality is None and rate is None and not info.is_lossless:
        raise ConfigError(f"{name} is never lossless; give a `quality`, or name another codec")
    if quality is not None:
        make = partial(make, quality=_in_range(name, "quality", quality, info.quality))
    if rate is not None:
        make = partial(make, rate=_in_range(name, "rate", rate, (1, 10_000) if info.takes_rate else None))
    if effort is not None:
        make = partial(make, effort=int(_in_range(name, "effort", effort, info.effort)))
    return make()


def _in_range(name: str, option: str, value: float, limits: tuple[float, float] | None) -> float:
    if limits is None:
        raise ConfigError(f"{name} has no `{option}`; leave it out, or name another codec")
    least, most = limits
    if not least <= value <= most:
        raise ConfigError(f"`{option}` of {name} is {value:g}, expected {least:g} to {most:g}")
    return value
