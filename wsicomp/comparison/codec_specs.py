"""Codecs with their settings, by short names that a command line can list."""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.codecs.base import QualityDial
from wsicomp.codecs.registry import codec_info, create_codec, create_transcoder, named_options, needs_model
from wsicomp.codecs.spec_text import ConfigValues, codec_values
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError

DEFAULT_CODECS = (
    *("copy", "jpeg-lossless", "jpegxl-lossless", "jpegxl-restorable", "jpeg:90", "jpegxl:1.0"),
    *("jpeg2000:37dB", "webp:90"),
    *("he-compact", "he-fine", "mbt2018-mean:7"),
)
"""The codecs that are compared by default: copies, each transcoder, one setting of every other codec."""
COARSE_CODECS = ("jpeg:30", "jpeg:50", "jpeg:70", "jpegxl:2", "jpegxl:4", "jpeg2000:31dB", "webp:50")
"""The codecs of other tissue that are compared by default beside regions, where they can stand there."""

REACHES, COMES_NEAREST, LIKE = " at SSIM ", " nearest SSIM ", " like "
"""Parts of a label whose setting was sought: it reaches the target quality, only comes nearest to it, or is
as true as another codec."""

_UNGUARDED = {"min_ssim": 0.0}


@dataclass(frozen=True)
class CodecSpec:
    """A codec with its settings."""

    label: str
    """Its name in the results."""
    config_values: ConfigValues
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
        """Return the config of a conversion of all tissue by this codec, with the rest as in `base`.

        `glass` is the treatment of glass: "keep", "blank", "white" or "empty".

        Raises:
            ConfigError: two values contradict each other.
        """
        return base.without_regions().changed(**self.row_options(glass))

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
    """Return the codec that a text stands for, in the form that `codec_values` reads.

    Raises:
        ConfigError: the text is not of this form, or the codec has no such option.
    """
    text = text.strip()
    values = codec_values(text)
    try:
        ConversionConfig.of(**values, glass="keep")
    except ConfigError as exc:
        raise ConfigError(f"{text}: {exc.message}") from exc
    return CodecSpec(text, values)


def _steps(spec: CodecSpec) -> int:
    """Return how many qualities a model has."""
    model = spec.config_values.get("model")
    codec = create_codec(str(spec.config_values["codec"]), {} if model is None else {"model": str(model)})
    steps = codec.describe()["steps"]  # type: ignore[attr-defined]
    return len(steps)
