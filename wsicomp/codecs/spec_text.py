"""Texts that name a codec with its settings, such as "jpegxl:1.5+effort=3"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from wsicomp.codecs.registry import codec_choices, codec_info, codec_names, named_options, resolved
from wsicomp.errors import ConfigError
from wsicomp.options import did_you_mean

ConfigValue: TypeAlias = int | float | str | bool
ConfigValues: TypeAlias = Mapping[str, ConfigValue]
"""Options of a conversion by their flat names, "codec" among them."""

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


def codec_values(text: str) -> dict[str, ConfigValue]:
    """Read `CODEC[@MODEL][:SETTING][+OPTION=VALUE...]`, with a model's name allowed in the codec's place.

    The setting is a quality, a distance of jpegxl, a PSNR ("37dB") or a rate ("12x") of jpeg2000. "-lossless"
    behind a codec's name repacks tiles without loss; "-restorable" does so that the source's file comes back.
    A codec without a model of wsicomp's own takes CompressAI's pretrained one of that quality.

    >>> codec_values("jpegxl:1.5+effort=3")
    {'codec': 'jpegxl', 'distance': 1.5, 'effort': 3}

    Raises:
        ConfigError: the text is not of this form.
    """
    text = text.strip()
    head, *options = text.split("+")
    name, colon, setting = head.partition(":")
    if colon and not setting:
        raise ConfigError(f"{text}: no setting behind the colon; write one, or leave the colon out")
    values, setting = _codec(name, setting, text)
    if values["codec"] not in ("copy", *codec_names()):
        near = did_you_mean(name, CODEC_NAMES)
        raise ConfigError(f"{text}: unknown codec {name!r}; `wsicomp codecs` lists all{near}")
    if setting:
        values |= _set(str(values["codec"]), setting, text)
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in named_options() or named_options()[key].kind not in (int, float):
            raise ConfigError(f"{text}: {option!r} is not OPTION=NUMBER of a codec, such as effort=9")
        values[key] = _number(value, named_options()[key].kind, text)
    return values


def _codec(name: str, setting: str, text: str) -> tuple[dict[str, ConfigValue], str]:
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


def _set(codec: str, setting: str, text: str) -> dict[str, ConfigValue]:
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
