"""The codecs that a page offers, each with the slider of its quality."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import cast

from wsicomp.codecs.base import CodecInfo, ModelCodec, Options
from wsicomp.codecs.registry import codecs, create_codec, has_transcoder
from wsicomp.errors import CodecUnavailableError, ConfigError, WsicompError
from wsicomp.text.escaping import quoted

_MOST_LETTERS = 64
_LOSSLESS = "-lossless"


@dataclass(frozen=True)
class Slider:
    """The option that sets a codec's quality, as a page offers it."""

    option: str
    """The option's name."""
    least: float
    """The lowest value that is offered."""
    most: float
    """The highest value."""
    default: float
    """The value that the codec takes by itself."""
    is_whole: bool
    """Whether only whole numbers are allowed."""
    high_is_fine: bool
    """Whether a higher value is a better quality; for a distance a lower one is."""
    unit: str = ""
    """The unit of the values, "dB" or none."""


@dataclass(frozen=True)
class OfferedCodec:
    """A codec that a page can offer."""

    name: str
    """The name by which `codec_text` knows it."""
    title: str
    """What people call it."""
    slider: Slider | None
    """How its quality is set; None where there is nothing to set."""
    lossless: bool
    """Whether every pixel stays as it is."""
    reason: str = ""
    """Why it cannot be used on this machine, and what to do; "" where it can."""

    @property
    def is_available(self) -> bool:
        """Whether it can be used on this machine."""
        return not self.reason


@cache
def codec_dials() -> tuple[OfferedCodec, ...]:
    """Return the codecs that can be offered, those that cannot be used here too.

    >>> [codec.name for codec in codec_dials()][:3]
    ['jpeg', 'jpeg-lossless', 'jpegxl']
    """
    return tuple(each for info in codecs().values() for each in _offers(info))


def codec_text(text: str) -> str:
    """Return a codec and its quality, as "jpeg:60", checked and as other parts of wsicomp read it.

    Only names that `codec_dials` offers are taken, and of options only the quality: no page can name a file.

    >>> codec_text("jpeg:60"), codec_text("jpeg2000:37"), codec_text("jpegxl-lossless")
    ('jpeg:60', 'jpeg2000:37dB', 'jpegxl-lossless')

    Raises:
        ConfigError: the codec is not among them or cannot be used here, or its quality is none or out of
            range.
    """
    name, colon, value = text.partition(":")
    offered = {codec.name: codec for codec in codec_dials()}
    if len(text) > _MOST_LETTERS or name not in offered:
        raise ConfigError(
            f"unknown codec {quoted(text[:_MOST_LETTERS])}; expected one of {', '.join(offered)}"
        )
    codec = offered[name]
    if codec.reason:
        raise ConfigError(f"codec {name}: {codec.reason}")
    if not colon:
        return name
    if codec.slider is None:
        raise ConfigError(f"codec {name} has no quality to set; leave {quoted(value)} out")
    return f"{name}:{_number(value, codec):g}{codec.slider.unit}"


def _number(text: str, codec: OfferedCodec) -> float:
    slider = codec.slider
    assert slider is not None, "the caller has asked"
    try:
        value = float(text.removesuffix(slider.unit) if slider.unit else text)
    except ValueError:
        value = math.nan
    is_whole = value.is_integer() if math.isfinite(value) else False
    if not slider.least <= value <= slider.most or (slider.is_whole and not is_whole):
        kind = "a whole number" if slider.is_whole else "a number"
        raise ConfigError(
            f"{slider.option} of codec {codec.name} is {quoted(text)}, expected {kind} from "
            f"{slider.least:g} to {slider.most:g}"
        )
    return value


def _offers(info: CodecInfo) -> Iterator[OfferedCodec]:
    if info.needs_model:
        yield from _neural_offers(info)
        return
    title = info.compressions[0].label
    try:
        codec = create_codec(info.name)
    except CodecUnavailableError as exc:
        yield OfferedCodec(info.name, title, None, lossless=False, reason=exc.message)
        return
    yield OfferedCodec(info.name, title, _slider(info, codec.config()), codec.lossless)
    if has_transcoder(info.name):
        repacked = f"{title}, repacked without loss"
        yield OfferedCodec(f"{info.name}{_LOSSLESS}", repacked, None, lossless=True)


def _slider(info: CodecInfo, defaults: Options) -> Slider | None:
    dial = info.dial
    if dial is None:
        return None
    return Slider(
        dial.option,
        min(dial.coarse, dial.fine),
        max(dial.coarse, dial.fine),
        float(defaults[dial.option]),
        dial.is_whole,
        dial.fine > dial.coarse,
        dial.unit,
    )


def _neural_offers(info: CodecInfo) -> Iterator[OfferedCodec]:
    """Yield the models that ship for a neural codec; the codec itself where none does."""
    for name, implied in info.aliases.items():
        title = f"neural, {name}"
        try:
            codec = cast(ModelCodec, create_codec(info.name, implied))
        except WsicompError as exc:
            yield OfferedCodec(name, title, None, lossless=False, reason=exc.message)
            continue
        steps = len(cast(tuple[float, ...], codec.describe()["steps"]))
        slider = Slider("quality", 1, steps, 1, is_whole=True, high_is_fine=True)
        yield OfferedCodec(name, title, slider, lossless=False)
    if not info.aliases:
        missing = [library for library in info.libraries if find_spec(library) is None]
        install = f"pip install 'wsicomp[{info.extra}]', and " if missing else ""
        reason = f"no model ships for it: {install}name one to a conversion by `model`"
        yield OfferedCodec(info.name, f"neural, {info.name}", None, lossless=False, reason=reason)
