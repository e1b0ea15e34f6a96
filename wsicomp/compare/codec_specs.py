"""What is compared: codecs with their settings, by short names that a command line can list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from wsicomp.codecs.registry import codec_names, create_codec, create_transcoder
from wsicomp.config import CODEC_OPTIONS, NEURAL_CODECS, ConversionConfig, create_config
from wsicomp.errors import ConfigError

DEFAULT_CODECS = (
    *("copy", "jpeg-lossless", "jpegxl-lossless", "jpeg:90", "jpegxl:1.0", "jpeg2000:37dB", "webp:90"),
    *("he-compact", "he-fine", "mbt2018-mean:7"),
)
"""What is compared unless told otherwise: every road, and one setting of each codec that has any."""

Choice: TypeAlias = int | float | str | bool
Choices: TypeAlias = dict[str, Choice]

SOUGHT, NEAREST = " at SSIM ", " nearest SSIM "
"""What stands in the label of a candidate whose setting was sought: it reaches the quality, or does not."""

_LOSSLESS = "-lossless"
_SHIPPED = {"he-compact": "bmshj2018-factorized", "he-fine": "bmshj2018-factorized"}
_PRETRAINED = re.compile(r"(bmshj2018-(?:factorized|hyperprior)|mbt2018-mean)-(mse|ms-ssim)-[1-8]")
_WITHOUT_MODEL = ("bmshj2018-hyperprior", "mbt2018-mean")
_SETTING = {"jpeg": "quality", "webp": "quality", "jpegxl": "distance"}
_UNGUARDED = {"min_ssim": 0.0}


@dataclass(frozen=True)
class Dial:
    """What a codec turns for quality: an option of `ConversionConfig`, from coarse to fine.

    `coarse` and `fine` are where a search begins and ends, `ladder` the settings of a curve. `whole` says
    that it takes integers alone. `fixed` are other choices that go with it.
    """

    option: str
    coarse: float
    fine: float
    ladder: tuple[float, ...]
    whole: bool = False
    fixed: Mapping[str, Choice] | None = None


_DIALS = {
    "jpeg": Dial("quality", 1, 100, (30, 50, 70, 80, 90, 95), whole=True),
    "webp": Dial("quality", 1, 100, (30, 50, 70, 80, 90, 95), whole=True),
    "jpegxl": Dial("distance", 15, 0.05, (4.0, 2.5, 1.7, 1.0, 0.6, 0.4)),
    "jpeg2000": Dial("psnr", 22, 60, (28.0, 31.0, 34.0, 37.0, 40.0, 43.0)),
}


@dataclass(frozen=True)
class Candidate:
    """A codec with its settings. `choices` are the fields of `ConversionConfig` that make it.

    `aims_at_ssim` is the quality for which its settings were sought on one slide, if they were.
    """

    label: str
    choices: Mapping[str, Choice]
    aims_at_ssim: float | None = None

    @property
    def family(self) -> str:
        """The label without its setting."""
        return family_of(self.label)

    @property
    def setting(self) -> str:
        """The options in words, where they were sought; else they stand in the label."""
        if self.aims_at_ssim is None:
            return ""
        return " ".join(f"{name}={value}" for name, value in self.choices.items() if name != "codec")

    @property
    def is_lossless(self) -> bool:
        """Whether it keeps every pixel by its nature."""
        return bool(self.choices.get("lossless")) or self.choices["codec"] in ("copy", "none")

    @property
    def is_neural(self) -> bool:
        """Whether a model makes its tiles."""
        return self.choices["codec"] in NEURAL_CODECS

    def config(self, base: ConversionConfig, glass: str) -> ConversionConfig:
        """The conversion that it stands for, all else as in `base`.

        Raises:
            ConfigError: the choices do not go together.
        """
        return replace(base, **{**self.choices, "glass": glass})  # type: ignore[arg-type]

    def check(self) -> None:
        """Have whatever the codec needs at hand.

        Raises:
            ConfigError, CodecUnavailableError, UnknownModelError, WeightsError: it is not.
        """
        codec = str(self.choices["codec"])
        options = {name: value for name, value in self.choices.items() if name in CODEC_OPTIONS}
        if self.choices.get("lossless"):
            create_transcoder(codec)
        elif codec != "copy":
            create_codec(codec, options)

    def dial(self) -> Dial | None:
        """What to turn for quality; None of what has no such thing.

        Raises:
            ConfigError, CodecUnavailableError, UnknownModelError, WeightsError: as `check`.
        """
        if self.is_lossless:
            return None
        if not self.is_neural:
            return _DIALS[str(self.choices["codec"])]
        steps = _steps(self)
        ladder = tuple(float(step) for step in sorted({1, *range(1, steps + 1, 2), steps}))
        return Dial("quality", 1, steps, ladder, whole=True, fixed=_UNGUARDED)

    def turned(self, dial: Dial, setting: float, **more: float) -> Candidate:
        """The same codec with its dial elsewhere."""
        value = round(setting) if dial.whole else round(setting, 3)
        others = {
            name: kept
            for name, kept in self.choices.items()
            if name not in ("quality", "distance", "psnr", "rate")
        }
        choices = {**others, **(dial.fixed or {}), dial.option: value, **more}
        name, plus, options = self.family.partition("+")
        extra = "".join(f"+{option}={number:g}" for option, number in more.items())
        unit = "dB" if dial.option == "psnr" else ""
        return Candidate(f"{name}:{value:g}{unit}{plus}{options}{extra}", choices)


REFERENCE = Candidate("jpeg:90", {"codec": "jpeg", "quality": 90})
"""What sizes are held against: the slide written anew as JPEG of quality 90, its glass kept."""


def family_of(label: str) -> str:
    """A label without its setting, its other options kept: what has one curve, and one colour."""
    head, plus, options = label.partition("+")
    name = head.partition(SOUGHT)[0].partition(NEAREST)[0].partition(":")[0]
    return f"{name}{plus}{options}".partition(SOUGHT)[0].partition(NEAREST)[0]


def parse_codecs(text: str) -> tuple[Candidate, ...]:
    """The candidates of a list with commas, each once.

    Raises:
        ConfigError: one of them is none.
    """
    found = {candidate.label: candidate for candidate in map(parse_candidate, text.split(","))}
    return tuple(found.values())


def parse_candidate(text: str) -> Candidate:
    """`CODEC[@MODEL][:SETTING][+OPTION=VALUE...]`, or a model's name in the codec's place.

    The setting is a quality, a distance of jpegxl, a PSNR ("37dB") or a rate ("12x") of jpeg2000. A codec
    with "-lossless" behind it repacks tiles. Codecs without a model that ships take CompressAI's pretrained
    one of that quality.

    Raises:
        ConfigError: it is not of this form, or the codec takes no such option.
    """
    text = text.strip()
    head, *options = text.split("+")
    name, _, setting = head.partition(":")
    choices, setting = _codec(name, setting, text)
    if choices["codec"] not in ("copy", *codec_names()):
        known = ", ".join(("copy", *codec_names(), *_SHIPPED))
        raise ConfigError(f"{text}: unknown codec {name!r}; known are {known}, and jpeg- and jpegxl-lossless")
    if setting:
        choices |= _set(str(choices["codec"]), setting, text)
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or CODEC_OPTIONS.get(key) not in (int, float):
            raise ConfigError(f"{text}: {option!r} is no OPTION=NUMBER of a codec, as effort=9")
        choices[key] = _number(value, CODEC_OPTIONS[key], text)
    create_config(choices)
    return Candidate(text, choices)


def _codec(name: str, setting: str, text: str) -> tuple[Choices, str]:
    """The codec that a name stands for, with its model; and what is left of the setting."""
    codec, _, model = name.partition("@")
    if codec.endswith(_LOSSLESS):
        return {"codec": codec.removesuffix(_LOSSLESS), "lossless": True}, setting
    if model:
        return {"codec": codec, "model": model}, setting
    if codec in _SHIPPED:
        return {"codec": _SHIPPED[codec], "model": codec}, setting
    pretrained = _PRETRAINED.fullmatch(codec)
    if pretrained is not None:
        return {"codec": pretrained[1], "model": codec}, setting
    if codec not in _WITHOUT_MODEL:
        return {"codec": codec}, setting
    if setting not in set("12345678"):
        raise ConfigError(f"{text}: no model ships for {codec}; take {codec}:7, or {codec}@FILE")
    return {"codec": codec, "model": f"{codec}-mse-{setting}"}, ""


def _set(codec: str, setting: str, text: str) -> Choices:
    if codec == "jpeg2000":
        if setting.endswith("x"):
            return {"rate": _number(setting[:-1], float, text)}
        return {"psnr": _number(setting.removesuffix("dB"), float, text)}
    if codec in ("copy", "none"):
        raise ConfigError(f"{text}: codec {codec} has no setting")
    option = _SETTING.get(codec, "quality")
    return {option: _number(setting, CODEC_OPTIONS[option], text)}


def _number(text: str, kind: type, whole: str) -> int | float:
    try:
        return int(text) if kind is int else float(text)
    except ValueError as exc:
        raise ConfigError(f"{whole}: {text!r} is no number") from exc


def _steps(candidate: Candidate) -> int:
    """How many qualities a model has."""
    model = candidate.choices.get("model")
    codec = create_codec(str(candidate.choices["codec"]), {} if model is None else {"model": str(model)})
    steps = codec.describe()["steps"]  # type: ignore[attr-defined]
    return len(steps)
