"""Codecs with their settings, by short names that a command line can list."""

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
from wsicomp.options import did_you_mean

DEFAULT_CODECS = (
    *("copy", "jpeg-lossless", "jpegxl-lossless", "jpegxl-restorable", "jpeg:90", "jpegxl:1.0"),
    *("jpeg2000:37dB", "webp:90"),
    *("he-compact", "he-fine", "mbt2018-mean:7"),
)
"""The codecs that are compared by default: copies, each transcoder, one setting of every other codec."""

ConfigValue: TypeAlias = int | float | str | bool
ConfigValues: TypeAlias = dict[str, ConfigValue]

REACHES, COMES_NEAREST, LIKE = " at SSIM ", " nearest SSIM ", " like "
"""Parts of a label whose setting was sought: it reaches the target quality, only comes nearest to it, or is
as true as another codec."""

_SUFFIXES: Mapping[str, ConfigValues] = {"-lossless": {"lossless": True}, "-restorable": {"restorable": True}}
_PRETRAINED = re.compile(r"(bmshj2018-(?:factorized|hyperprior)|mbt2018-mean)-(mse|ms-ssim)-[1-8]")
_WITHOUT_MODEL = ("bmshj2018-hyperprior", "mbt2018-mean")
CODEC_NAMES = (
    *(name for name in codec_choices() if name != "auto"),
    "jpeg-lossless",
    "jpegxl-lossless",
    "jpegxl-restorable",
)
"""The names with which the text of a codec begins."""
_UNGUARDED = {"min_ssim": 0.0}


@dataclass(frozen=True)
class CodecSpec:
    """A codec with its settings."""

    label: str
    """Its name in the results."""
    config_values: Mapping[str, ConfigValue]
    """The fields of `ConversionConfig` that make it."""
    target_ssim: float | None = None
    """The quality that its settings were sought for on one slide; None where they were given."""

    @property
    def family(self) -> str:
        """The label without its setting."""
        return family_of(self.label)

    @property
    def setting(self) -> str:
        """The options in words if they were sought for a target quality; "" if the label states them."""
        if self.target_ssim is None:
            return ""
        return " ".join(f"{name}={value}" for name, value in self.config_values.items() if name != "codec")

    @property
    def options(self) -> ConfigValues:
        """The values that are options of the codec itself."""
        return {name: value for name, value in self.config_values.items() if name in named_options()}

    @property
    def is_lossless(self) -> bool:
        """Whether the codec keeps every pixel unchanged."""
        return bool(self.config_values.get("lossless")) or self.config_values["codec"] in ("copy", "none")

    @property
    def is_neural(self) -> bool:
        """Whether a model makes the tiles."""
        return needs_model(str(self.config_values["codec"]))

    def config(self, base: ConversionConfig, glass: str) -> ConversionConfig:
        """Return the config of a conversion by this codec, with everything else as in `base`.

        `glass` is the treatment of glass: "keep", "blank", "white" or "empty".

        Raises:
            ConfigError: two values contradict each other.
        """
        return base.changed(**self.row_options(glass))

    def row_options(self, glass: str) -> ConfigValues:
        """Return the options of a conversion by this codec that others do not share, as a preset has them."""
        return {**self.config_values, "glass": glass}

    def takes(self, glass: str) -> bool:
        """Return whether the codec goes with a treatment of glass: what gives the source back keeps it."""
        return glass == "keep" or not self.config_values.get("restorable")

    def check(self) -> None:
        """Check that the codec can be used here: its options, its library and its model.

        Raises:
            ConfigError: a value is out of its range.
            CodecUnavailableError: the codec's library is missing.
            UnknownModelError: there is no model of this name.
            WeightsError: the model's weights are damaged.
        """
        codec = str(self.config_values["codec"])
        options = self.options
        if self.config_values.get("lossless"):
            create_transcoder(codec)
        elif codec != "copy":
            create_codec(codec, options)

    def dial(self) -> QualityDial | None:
        """Return the option that sets the quality; None where there is no such option.

        Raises:
            ConfigError: a value is out of its range.
            CodecUnavailableError: the codec's library is missing.
            UnknownModelError: there is no model of this name.
            WeightsError: the model's weights are damaged.
        """
        if self.is_lossless:
            return None
        if not self.is_neural:
            return codec_info(str(self.config_values["codec"])).dial
        steps = _steps(self)
        ladder = tuple(float(step) for step in sorted({1, *range(1, steps + 1, 2), steps}))
        return QualityDial("quality", 1, steps, ladder, is_whole=True, fixed=_UNGUARDED)

    def with_setting(self, dial: QualityDial, setting: float, **more: float) -> CodecSpec:
        """Return the same codec with its dial at another setting; `more` are further options to set."""
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
"""The codec with which sizes are compared: the slide as JPEG of quality 90, with its glass."""


def family_of(label: str) -> str:
    """Return a label without its setting but with its other options.

    Codecs of one family share a curve and a colour.
    """
    for sought in (REACHES, COMES_NEAREST, LIKE):
        label = label.partition(sought)[0]
    head, plus, options = label.partition("+")
    return f"{head.partition(':')[0]}{plus}{options}"


def parse_codecs(text: str) -> tuple[CodecSpec, ...]:
    """Return the codecs of a list with commas, each once.

    >>> [spec.label for spec in parse_codecs("copy,jpegxl:1.0,copy")]
    ['copy', 'jpegxl:1.0']

    Raises:
        ConfigError: a part of the list is no codec with settings, as `parse_codec_spec` takes it.
    """
    found = {spec.label: spec for spec in map(parse_codec_spec, text.split(","))}
    return tuple(found.values())


def parse_codec_spec(text: str) -> CodecSpec:
    """Parse `CODEC[@MODEL][:SETTING][+OPTION=VALUE...]`, with a model's name allowed in the codec's place.

    The setting is a quality, a distance of jpegxl, a PSNR ("37dB") or a rate ("12x") of jpeg2000. "-lossless"
    behind a codec's name repacks tiles without loss; "-restorable" does so that the source's file comes back.
    A codec without a model of wsicomp's own takes
    CompressAI's pretrained one of that quality.

    >>> dict(parse_codec_spec("jpegxl:1.5+effort=3").config_values)
    {'codec': 'jpegxl', 'distance': 1.5, 'effort': 3}

    Raises:
        ConfigError: the text is not of this form, or the codec has no such option.
    """
    text = text.strip()
    head, *options = text.split("+")
    name, colon, setting = head.partition(":")
    if colon and not setting:
        raise ConfigError(f"{text}: no setting behind the colon; write one, or leave the colon out")
    config_values, setting = _codec(name, setting, text)
    if config_values["codec"] not in ("copy", *codec_names()):
        near = did_you_mean(name, CODEC_NAMES)
        raise ConfigError(f"{text}: unknown codec {name!r}; `wsicomp codecs` lists all{near}")
    if setting:
        config_values |= _set(str(config_values["codec"]), setting, text)
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in named_options() or named_options()[key].kind not in (int, float):
            raise ConfigError(f"{text}: {option!r} is not OPTION=NUMBER of a codec, such as effort=9")
        config_values[key] = _number(value, named_options()[key].kind, text)
    try:
        ConversionConfig.of(**config_values, glass="keep")
    except ConfigError as exc:
        raise ConfigError(f"{text}: {exc.message}") from exc
    return CodecSpec(text, config_values)


def _codec(name: str, setting: str, text: str) -> tuple[ConfigValues, str]:
    """Return the values that a codec's name stands for, with its model, and the rest of the setting."""
    codec, _, model = name.partition("@")
    for suffix, values in _SUFFIXES.items():
        if codec.endswith(suffix):
            name = codec.removesuffix(suffix)
            return {"codec": name, **({} if name == "copy" else {"lossless": True}), **values}, setting
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
        raise ConfigError(f"{text}: codec {codec} has no setting; leave {setting!r} out")
    option = "quality" if info.dial is None else info.dial.option
    unit = "" if info.dial is None else info.dial.unit
    return {option: _number(setting.removesuffix(unit), named_options()[option].kind, text)}


def _number(text: str, kind: type, whole: str) -> int | float:
    try:
        return int(text) if kind is int else float(text)
    except ValueError as exc:
        raise ConfigError(f"{whole}: {text!r} is not a number") from exc


def _steps(spec: CodecSpec) -> int:
    """Return how many qualities a model has."""
    model = spec.config_values.get("model")
    codec = create_codec(str(spec.config_values["codec"]), {} if model is None else {"model": str(model)})
    steps = codec.describe()["steps"]  # type: ignore[attr-defined]
    return len(steps)
