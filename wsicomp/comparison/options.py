"""The options of a comparison: codecs, treatments of glass, and how closely they are compared."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from wsicomp.codecs.likeness import reference_codec
from wsicomp.codecs.spec_text import CODEC_NAMES
from wsicomp.comparison.codec_specs import (
    COARSE_CODECS,
    DEFAULT_CODECS,
    CodecSpec,
    parse_codec_spec,
    parse_codecs,
)
from wsicomp.comparison.outcomes import ANY, OPENS_IN
from wsicomp.comparison.region_specs import RegionSpec
from wsicomp.comparison.results import Constraints
from wsicomp.config import ConversionConfig, RegionConfig, RunConfig
from wsicomp.errors import ConfigError
from wsicomp.options import checked_fields, given_instance, option, options_of, unknown_option
from wsicomp.text.escaping import quoted

GLASS = ("keep", "blank", "white", "empty")
_USUAL_GLASS = ("keep", "blank", "empty")
BLANK, EMPTY = "blank", "empty"
"""Glass as shared blank tiles, which every program shows; glass as tiles without bytes."""

_RECOMMENDED = "what may be recommended"


def parse_sample(text: str) -> int | None:
    """Return how many tiles stand for a slide; None for full files.

    Raises:
        ConfigError: the text is neither "whole" nor "tiles:N".
    """
    if text == "whole":
        return None
    kind, _, count = text.partition(":")
    if kind != "tiles" or not count.isascii() or not count.isdigit() or not 20 <= int(count) <= 1_000_000:
        raise ConfigError(f"sample is {quoted(text)}, expected whole, or tiles:N with N from 20 to 1000000")
    return int(count)


def _parse_glass(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split(",")))


def _parse_magnifications(text: str) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(part) for part in text.split(",") if part))
    except ValueError as exc:
        raise ConfigError(f"magnifications is {quoted(text)}, expected numbers with commas between") from exc
    for each in found:
        if not 0.1 <= each <= 200:
            raise ConfigError(f"magnifications has {each:g}, expected 0.1 to 200")
    return found


@dataclass(frozen=True)
class ComparisonOptions:
    """The options of a comparison."""

    GROUP: ClassVar = "what is compared"

    codecs: tuple[CodecSpec, ...] = option(
        parse_codecs(",".join(DEFAULT_CODECS)),
        "compare these codecs, separated by commas; see the list below",
        metavar="LIST",
        parse=parse_codecs,
        default_text=f"{', '.join(DEFAULT_CODECS)}; with --roi {', '.join(COARSE_CODECS)}",
        suggestions=CODEC_NAMES,
    )
    glass: tuple[str, ...] = option(
        _USUAL_GLASS,
        "treat glass so, each with each codec; blank is in its own colours, white in white",
        metavar="LIST",
        parse=_parse_glass,
        default_text=", ".join(_USUAL_GLASS),
    )
    sample: int | None = None
    """How many tiles stand for a slide; None for full files."""
    seed: int = option(0, "draw tiles and slides by this seed", least=0, metavar="N")
    magnifications: tuple[float, ...] = option(
        (),
        "compare patches of tissue too, at these magnifications, such as 1.25,2.5,5,10,20,40",
        metavar="LIST",
        parse=_parse_magnifications,
    )
    patches: int = 24
    """How many patches are measured at each magnification."""
    target_ssim: float | None = option(
        None,
        "compare each codec too at the setting that reaches this mean SSIM on the slide's tissue; "
        "DIR/presets has the settings",
        least=0.5,
        most=0.999,
        metavar="F",
    )
    like: str | None = option(
        None,
        "compare each codec too where it is as true to the slide's tissue as this one, as jpeg:90: at its "
        "mean SSIM, and a neural codec in each tile at its least too; DIR/presets has the settings",
        metavar="CODEC:N",
    )
    target_tiles: int = 400
    """On how many tiles the settings for `target_ssim` or `like` are sought and checked."""
    curve_tiles: int = 12
    """On how many tiles every codec's curve is measured; 0 for no curves."""
    base: ConversionConfig = field(default_factory=lambda: ConversionConfig.of(overwrite=True))
    """What all codecs share: how tissue is found, the workers, and regions that keep a codec of their own."""
    keep_files: bool = option(
        False, "keep every written file in DIR/files; needs --sample whole", group=RunConfig.GROUP
    )
    crops: bool = True
    """Whether pieces of tissue are shown."""
    opens_in: str = option(
        ANY,
        "recommend only what opens there: any is every program tried that opens the source, openslide is its "
        "newest version, wsicomp is wsicomp.open_slide alone",
        choices=OPENS_IN,
        group=_RECOMMENDED,
    )
    reversible: bool = option(
        False,
        "recommend only what `wsicomp restore` turns back into the source, byte for byte",
        group=_RECOMMENDED,
    )
    min_ssim: float | None = option(
        None,
        "recommend codecs with loss too, whose worst tile of tissue has this SSIM; without it every pixel of "
        "tissue has to be exact",
        least=0,
        most=1,
        metavar="F",
        group=_RECOMMENDED,
    )

    def __post_init__(self) -> None:
        checked_fields(self)
        if not all(isinstance(spec, CodecSpec) for spec in self.codecs):
            raise ConfigError("codecs are no CodecSpec; ComparisonOptions.of takes them as text")
        if not set(self.glass) <= set(GLASS):
            raise ConfigError(f"glass is {quoted(','.join(self.glass))}, expected some of {', '.join(GLASS)}")
        if self.like is not None:
            reference_codec(self.like)
            if self.target_ssim is not None:
                raise ConfigError("`like` and `target_ssim` both set a quality; leave one of them out")
        if self.keep_files and self.sample is not None:
            raise ConfigError("a sample writes no files; `keep_files` needs `sample` to be whole")
        if self.regions is not None:
            self._check_regions(self.regions)

    def _check_regions(self, regions: RegionConfig) -> None:
        if self.codecs == options_of(ComparisonOptions)["codecs"].default:
            object.__setattr__(self, "codecs", parse_codecs(",".join(COARSE_CODECS)))
        if regions.tissue_codec != "auto":
            raise ConfigError("`codecs` lists the codecs of other tissue; leave `tissue_codec` out")
        if self.sample is not None:
            raise ConfigError("a sample knows no regions; `roi` needs `sample` to be whole")
        if self.goal is not None:
            name = "target_ssim" if self.like is None else "like"
            raise ConfigError(f"`{name}` is of all tissue, and `roi` divides it; leave one of them out")

    @property
    def regions(self) -> RegionConfig | None:
        """The regions that keep a codec of their own; None for none."""
        return None if self.base.regions.roi is None else self.base.regions

    @property
    def kept_by(self) -> CodecSpec | None:
        """The regions' codec, as a row that keeps all tissue by it; None without regions."""
        return None if self.regions is None else parse_codec_spec(self.regions.roi_codec)

    @property
    def specs(self) -> tuple[CodecSpec, ...]:
        """The codecs of all rows: with regions that of the regions, and then each one beside it."""
        kept_by = self.kept_by
        if kept_by is None:
            return self.codecs
        others = (spec for spec in self.codecs if spec.config_values != kept_by.config_values)
        return (kept_by, *(RegionSpec.of(spec, self.base) for spec in others))

    @property
    def goal(self) -> float | str | None:
        """The quality for which settings are sought: a mean SSIM, or the codec to be like; None for none."""
        return self.target_ssim if self.like is None else self.like

    @property
    def constraints(self) -> Constraints:
        """What a recommended conversion has to be."""
        return Constraints(self.opens_in, self.reversible, self.min_ssim)

    @classmethod
    def given(cls, options: ComparisonOptions | None) -> ComparisonOptions:
        """Return options as a caller gave them; the defaults for None.

        Raises:
            ConfigError: `options` is of another type.
        """
        expected = "ComparisonOptions, as ComparisonOptions.of(...) makes them"
        return given_instance(cls, options, "options", expected)

    @classmethod
    def of(cls, **choices: Any) -> ComparisonOptions:
        """Return the options of these values; texts are read as on the command line.

        Raises:
            ConfigError: an unknown name, a value of the wrong type or out of range, or options that do not
                go together.

        Examples:
            >>> options = ComparisonOptions.of(codecs="copy,jpeg:80", glass="keep", sample="tiles:200")
            >>> len(options.codecs), options.glass, options.sample
            (2, ('keep',), 200)
        """
        known, names = options_of(ComparisonOptions), tuple(each.name for each in fields(cls))
        values = dict(choices)
        for name, value in choices.items():
            if name not in names:
                raise unknown_option(name, names)
            if isinstance(value, str):
                values[name] = parse_sample(value) if name == "sample" else known[name].parsed(value, name)
        return cls(**values)
