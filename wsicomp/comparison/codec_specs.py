"""What is compared: codecs with their settings, by short names that a command line can list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from wsicomp.codecs.base import QualityDial
from wsicomp.codecs.registry import (
    codec_choices,
    codec_info,
    codec_names,
    create_codec,
    create_transcoder,
    named_options,
    needs_model,
    resolved,
)
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError

DEFAULT_CODECS = (
    *("copy", "jpeg-lossless", "jpegxl-lossless", "jpeg:90", "jpegxl:1.0", "jpeg2000:37dB", "webp:90"),
    *("he-compact", "he-fine", "mbt2018-mean:7"),
)
"""What is compared unless told otherwise: every road, and one setting of each codec that has any."""

ConfigValue: TypeAlias = int | float | str | bool
ConfigValues: TypeAlias = dict[str, ConfigValue]

REACHES, COMES_NEAREST = " at SSIM ", " nearest SSIM "
"""What stands in the label of a candidate whose setting was sought: it reaches the quality, or does not."""

_LOSSLESS = "-lossless"
_PRETRAINED = re.compile(r"(bmshj2018-(?:factorized|hyperprior)|mbt2018-mean)-(mse|ms-ssim)-[1-8]")
_WITHOUT_MODEL = ("bmshj2018-hyperprior", "mbt2018-mean")
_UNGUARDED = {"min_ssim": 0.0}


@dataclass(frozen=True)
class CodecSpec:
    """A codec with its settings. `config_values` are the fields of `ConversionConfig` that make it.

    `target_ssim` is the quality for which its settings were sought on one slide, if they were.
    """

    label: str
    config_values: Mapping[str, ConfigValue]
    target_ssim: float | None = None

    @property
    def family(self) -> str:
        """The label without its setting."""
        return family_of(self.label)

    @property
    def setting(self) -> str:
        """The options in words, where they were sought; else they stand in the label."""
        if self.target_ssim is None:
            return ""
        return " ".join(f"{name}={value}" for name, value in self.config_values.items() if name != "codec")

    @property
    def options(self) -> ConfigValues:
        """Those of its choices that are the codec's own."""
        return {name: value for name, value in self.config_values.items() if name in named_options()}

    @property
    def is_lossless(self) -> bool:
        """Whether it keeps every pixel by its nature."""
        return bool(self.config_values.get("lossless")) or self.config_values["codec"] in ("copy", "none")

    @property
    def is_neural(self) -> bool:
        """Whether a model makes its tiles."""
        return needs_model(str(self.config_values["codec"]))

    def config(self, base: ConversionConfig, glass: str) -> ConversionConfig:
        """The conversion that it stands for, all else as in `base`.

        Raises:
            ConfigError: the choices do not go together.
        """
        return base.changed(**{**self.config_values, "glass": glass})

    def check(self) -> None:
        """Have whatever the codec needs at hand.

        Raises:
            ConfigError, CodecUnavailableError, UnknownModelError, WeightsError: it is not.
        """
        codec = str(self.config_values["codec"])
        options = self.options
        if self.config_values.get("lossless"):
            create_transcoder(codec)
        elif codec != "copy":
            create_codec(codec, options)

    def dial(self) -> QualityDial | None:
        """What to turn for quality; None of what has no such thing.

        Raises:
            ConfigError, CodecUnavailableError, UnknownModelError, WeightsError: as `check`.
        """
        if self.is_lossless:
            return None
        if not self.is_neural:
            return codec_info(str(self.config_values["codec"])).dial
        steps = _steps(self)
        ladder = tuple(float(step) for step in sorted({1, *range(1, steps + 1, 2), steps}))
        return QualityDial("quality", 1, steps, ladder, is_whole=True, fixed=_UNGUARDED)

    def with_setting(self, dial: QualityDial, setting: float, **more: float) -> CodecSpec:
        """The same codec with its dial elsewhere."""
        value = round(setting) if dial.is_whole else round(setting, 3)
        others = {
            name: kept
            for name, kept in self.config_values.items()
            if name not in ("quality", "distance", "psnr", "rate")
        }
        config_values = {**others, **dial.fixed, dial.option: value, **more}
        name, plus, options = self.family.partition("+")
        extra = "".join(f"+{option}={number:g}" for option, number in more.items())
        return CodecSpec(f"{name}:{value:g}{dial.unit}{plus}{options}{extra}", config_values)


REFERENCE = CodecSpec("jpeg:90", {"codec": "jpeg", "quality": 90})
"""What sizes are held against: the slide written anew as JPEG of quality 90, its glass kept."""


def family_of(label: str) -> str:
    """A label without its setting, its other options kept: what has one curve, and one colour."""
    head, plus, options = label.partition("+")
    name = head.partition(REACHES)[0].partition(COMES_NEAREST)[0].partition(":")[0]
    return f"{name}{plus}{options}".partition(REACHES)[0].partition(COMES_NEAREST)[0]


def parse_codecs(text: str) -> tuple[CodecSpec, ...]:
    """The candidates of a list with commas, each once.

    Raises:
        ConfigError: one of them is none.
    """
    found = {spec.label: spec for spec in map(parse_codec_spec, text.split(","))}
    return tuple(found.values())


def parse_codec_spec(text: str) -> CodecSpec:
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
    config_values, setting = _codec(name, setting, text)
    if config_values["codec"] not in ("copy", *codec_names()):
        known = ", ".join(name for name in codec_choices() if name != "auto")
        raise ConfigError(f"{text}: unknown codec {name!r}; known are {known}, and jpeg- and jpegxl-lossless")
    if setting:
        config_values |= _set(str(config_values["codec"]), setting, text)
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in named_options() or named_options()[key].kind not in (int, float):
            raise ConfigError(f"{text}: {option!r} is no OPTION=NUMBER of a codec, as effort=9")
        config_values[key] = _number(value, named_options()[key].kind, text)
    try:
        ConversionConfig.of(**config_values)
    except ConfigError as exc:
        raise ConfigError(f"{text}: {exc.message}") from exc
    return CodecSpec(text, config_values)


def _codec(name: str, setting: str, text: str) -> tuple[ConfigValues, str]:
    """The codec that a name stands for, with its model; and what is left of the setting."""
    codec, _, model = name.partition("@")
    if codec.endswith(_LOSSLESS):
        return {"codec": codec.removesuffix(_LOSSLESS), "lossless": True}, setting
    if model:
        return {"codec": codec, "model": model}, setting
    name, implied = resolved(codec)
    if implied:
        return {"codec": name, **implied}, setting
    pretrained = _PRETRAINED.fullmatch(codec)
    if pretrained is not None:
        return {"codec": pretrained[1], "model": codec}, setting
    if codec not in _WITHOUT_MODEL:
        return {"codec": codec}, setting
    if setting not in set("12345678"):
        raise ConfigError(f"{text}: no model ships for {codec}; take {codec}:7, or {codec}@FILE")
    return {"codec": codec, "model": f"{codec}-mse-{setting}"}, ""


def _set(codec: str, setting: str, text: str) -> ConfigValues:
    info = codec_info(codec) if codec != "copy" else None
    if info is not None and info.rate_option and setting.endswith("x"):
        return {info.rate_option: _number(setting[:-1], float, text)}
    if info is None or not (info.dial or info.needs_model):
        raise ConfigError(f"{text}: codec {codec} has no setting")
    option = "quality" if info.dial is None else info.dial.option
    unit = "" if info.dial is None else info.dial.unit
    return {option: _number(setting.removesuffix(unit), named_options()[option].kind, text)}


def _number(text: str, kind: type, whole: str) -> int | float:
    try:
        return int(text) if kind is int else float(text)
    except ValueError as exc:
        raise ConfigError(f"{whole}: {text!r} is no number") from exc


def _steps(spec: CodecSpec) -> int:
    """How many qualities a model has."""
    model = spec.config_values.get("model")
    codec = create_codec(str(spec.config_values["codec"]), {} if model is None else {"model": str(model)})
    steps = codec.describe()["steps"]  # type: ignore[attr-defined]
    return len(steps)
