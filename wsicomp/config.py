"""What a user can choose about a conversion, checked once, before any slide is opened.

A preset file in TOML and the command line's options fill the same fields by the same names. This module
must not know codecs: their registry checks the codec's name and the options that it takes.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wsicomp.concurrency import available_cores
from wsicomp.errors import ConfigError
from wsicomp.escaping import quoted
from wsicomp.inputs import read_toml
from wsicomp.shipped import shipped_folder

CHOICES = {
    "glass": ("keep", "white", "empty"),
    "segmenter": ("unet", "threshold"),
    "format": ("auto", "svs", "tiff"),
    "levels": ("source", "full"),
    "overview": ("none", "jpeg"),
}
"""The values that each field of fixed choices takes, the first one or the default listed in the class."""

MAGNIFICATION, HOLE_UM, SPECK_UM = 2.5, 100.0, 20.0
"""How tissue is looked for unless told otherwise: at 4 um per px, up to these diameters in um."""

NEURAL_CODECS = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "elic2022-chandelier")
"""The codecs whose tiles only the model that made them can read."""

UNKNOWN_TO_OPENSLIDE = ("jpegxl", "webp", *NEURAL_CODECS)
"""The codecs whose files OpenSlide cannot open without an overview."""

CODEC_OPTIONS = {
    "quality": int,
    "distance": float,
    "effort": int,
    "psnr": float,
    "rate": float,
    "model": str,
    "min_ssim": float,
    "min_psnr": float,
    "max_color_shift": float,
    "device": str,
}
"""The fields that are a codec's own options: None leaves them to the codec, which also checks their range."""

_RANGES = {
    "margin_um": (0, 10_000),
    "magnification": (0.5, 40),
    "hole_um": (0, 10_000),
    "speck_um": (0, 1000),
    "workers": (1, 1024),
    "min_free": (0, 10**6),
    "z": (0, 999),
}

_PRESETS = shipped_folder("configs") / "presets"
_MOST_WHOLE = 1 << 53
_HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class ConversionConfig:
    """Every choice of a conversion; each field is an option of `wsicomp convert`.

    `codec` is "copy" (tissue tiles byte for byte), a codec's name, or "auto": copy wherever the source's
    tiles can be copied, else jpeg. `quality`, `distance`, `effort`, `psnr` and `rate` are the codec's own
    options, and so are those of neural codecs: `model` is a name or a file, `min_ssim`, `min_psnr` (dB) and
    `max_color_shift` (grey levels) say how true a tile must be to be stored that way, `device` is "auto",
    "cpu" or "cuda". `embed_model` puts the model's decoder into the file. `lossless` repacks the source's
    own tiles with codec jpegxl or jpeg; `restorable` keeps what rebuilds the source's file byte for byte.
    `overview` "jpeg" stores the levels from downsample 4 on as JPEG, first in the file, so that readers
    without the codec find their way. `strict` ends the conversion at the first damaged tile of the source.
    `mask` is a tissue mask file that takes the segmenter's place. `weights` is the manifest of another
    network for segmenter "unet", which reads the slide at `magnification` (2.5 is 4 um per px), fills holes
    in tissue and drops specks of tissue smaller than discs of `hole_um` and `speck_um`. `z` is the focal
    plane that is converted of a slide that has several, counted from 0 in the file. `margin_um` is kept
    around the mask, in micrometres. `background` is the colour that glass becomes: "white", "auto" (the
    slide's own glass) or "#RRGGBB". `min_free` GB stay free on the target's disk, or the conversion ends.
    """

    codec: str = "auto"
    quality: int | None = None
    distance: float | None = None
    effort: int | None = None
    psnr: float | None = None
    rate: float | None = None
    model: str | None = None
    min_ssim: float | None = None
    min_psnr: float | None = None
    max_color_shift: float | None = None
    device: str | None = None
    embed_model: bool = False
    lossless: bool = False
    restorable: bool = False
    overview: str = "none"
    glass: str = "white"
    segmenter: str = "unet"
    weights: Path | None = None
    magnification: float = MAGNIFICATION
    hole_um: float = HOLE_UM
    speck_um: float = SPECK_UM
    mask: Path | None = None
    margin_um: float = 50.0
    background: str = "white"
    format: str = "auto"
    levels: str = "source"
    z: int | None = None
    label: bool = True
    macro: bool = True
    deidentify: bool = False
    strict: bool = False
    verify: bool = True
    overwrite: bool = False
    workers: int = field(default_factory=available_cores)
    min_free: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, _checked(name, value))
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                found = quoted(getattr(self, name))
                raise ConfigError(f"{name} is {found}, expected one of {', '.join(choices)}")
        for name, (least, most) in _RANGES.items():
            if getattr(self, name) is not None and not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is {quoted(getattr(self, name))}, expected {least} to {most}")
        if self.background not in ("white", "auto") and not _HEX_COLOR.fullmatch(self.background):
            raise ConfigError(f"background is {quoted(self.background)}, expected white, auto or #RRGGBB")
        if self.glass == "empty" and self.format == "svs":
            reason = "OpenSlide's aperio driver then draws every lower level from level 0, in seconds a view"
            raise ConfigError(
                f"glass empty does not go with format svs ({reason}); take glass white, as small"
            )
        self._check_lossless()
        if self.mask is not None and self.glass == "keep":
            raise ConfigError("glass is kept, so a mask has nothing to do; leave one of them out")
        if self.weights is not None and (self.segmenter != "unet" or self.mask is not None):
            raise ConfigError("weights are those of segmenter unet; leave out what takes its place")

    def _check_lossless(self) -> None:
        if self.embed_model and self.codec not in NEURAL_CODECS:
            raise ConfigError(f"codec {self.codec} has no model to embed; leave --embed-model out")
        if self.overview != "none" and self.codec not in UNKNOWN_TO_OPENSLIDE:
            known = " or ".join(UNKNOWN_TO_OPENSLIDE)
            raise ConfigError(f"OpenSlide reads codec {self.codec} itself: overview is for codec {known}")
        targets = self.codec_options().keys() - {"effort"}
        if self.lossless and targets:
            raise ConfigError(f"lossless has no {min(targets)}; leave one of them out")
        if self.lossless and self.codec in ("auto", "copy"):
            raise ConfigError("lossless repacks tiles: take codec jpegxl or jpeg, or copy without lossless")
        if not self.restorable:
            return
        if self.codec not in ("auto", "copy") and not (self.codec == "jpegxl" and self.lossless):
            raise ConfigError("restorable needs tiles that come back: codec jpegxl with lossless, or copy")
        if self.glass != "keep":
            raise ConfigError(f"restorable keeps every tile: glass is {self.glass!r}, expected 'keep'")
        if self.deidentify or not self.label or not self.macro:
            raise ConfigError("restorable keeps the source whole: label, macro and names; leave one out")
        if not self.verify:
            raise ConfigError("restorable is a promise that only verifying can make; leave --no-verify out")

    def codec_options(self) -> dict[str, int | float | str]:
        """The codec's own options, those that were given."""
        return {name: getattr(self, name) for name in CODEC_OPTIONS if getattr(self, name) is not None}

    def lasting(self) -> dict[str, str | int | float | bool | None]:
        """The choices that shape the target's bytes, as JSON values, without those that name files."""
        passing = {"mask", "weights", "model", "device", "workers", "overwrite", "verify", "strict"}
        passing |= {"min_free"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in passing}


def preset_names() -> tuple[str, ...]:
    """The presets that come with wsicomp, by the names that `load_preset` takes."""
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.toml")))


def load_preset(path: str | os.PathLike[str]) -> dict[str, object]:
    """The fields that a TOML preset sets, ready to be joined by others and given to `create_config`.

    `path` is a file, or the name of a preset that comes with wsicomp.

    Raises:
        ConfigError: the file cannot be read or is not TOML.
    """
    if os.fspath(path) in preset_names() and not Path(path).exists():
        path = _PRESETS / f"{os.fspath(path)}.toml"
    advice = "" if os.path.lexists(path) else f"nor is it a preset: known are {', '.join(preset_names())}"
    return read_toml(Path(path), ConfigError, advice)


def create_config(values: Mapping[str, object]) -> ConversionConfig:
    """A config from named values, the defaults for the rest.

    Raises:
        ConfigError: an unknown name, a value of the wrong type or out of range.
    """
    unknown = [name for name in values if name not in ConversionConfig.__dataclass_fields__]
    if unknown:
        known = ", ".join(ConversionConfig.__dataclass_fields__)
        raise ConfigError(f"unknown option {quoted(unknown[0])}; known are {known}")
    return ConversionConfig(**values)  # type: ignore[arg-type]


def _checked(name: str, value: object) -> object:
    default = ConversionConfig.__dataclass_fields__[name].default
    expected = {"mask": Path, "weights": Path, "workers": int, "z": int, **CODEC_OPTIONS}.get(name) or type(
        default
    )
    if value is None and default is None:
        return None
    if expected is Path:
        if isinstance(value, str | Path):
            return Path(value)
    elif type(value) is int and abs(value) >= _MOST_WHOLE:
        pass  # no number of anything here
    elif type(value) is expected:
        return value
    elif expected is float and type(value) is int:
        return float(value)
    raise ConfigError(f"{name} is {quoted(value)}, expected {expected.__name__}")
