"""The options of a conversion, checked once, before any slide is opened.

A `ConversionConfig` has seven parts, and each part declares its options: name, type, range, default and help.
A preset in TOML, the command line and `ConversionConfig.of` take the same flat names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from wsicomp.codecs.likeness import reference_codec
from wsicomp.codecs.registry import (
    codec_choices,
    codec_info,
    create_codec,
    named_options,
    resolved,
    unknown_to_openslide,
)
from wsicomp.codecs.spec_text import codec_values
from wsicomp.concurrency.threads import available_cores
from wsicomp.errors import ConfigError
from wsicomp.files.inputs import given_path, line_of_key, read_toml
from wsicomp.files.shipped import shipped_folder
from wsicomp.options import (
    Option,
    Value,
    checked_fields,
    did_you_mean,
    given_instance,
    option,
    options_of,
    unknown_option,
)
from wsicomp.text.coordinates import coordinates
from wsicomp.text.escaping import quoted

_PRESETS = shipped_folder("configs") / "presets"
_HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class CodecConfig:
    """The options of tissue's codec."""

    GROUP: ClassVar = "what becomes of tissue"

    name: str = option(
        "auto",
        "store tissue by this codec; auto is copy where the source's tiles can be copied, else jpeg",
        name="codec",
        choices=codec_choices(),
        listed_by="`wsicomp codecs` lists all",
    )
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The codec's own options that were given; `wsicomp.codecs` declares them."""
    lossless: bool = option(
        False,
        "repack the source's own tiles without loss: codec jpegxl gives back their very bytes, codec jpeg "
        "their pixels; a tile that cannot be repacked stays as it is, and the report counts it",
    )
    restorable: bool = option(
        False,
        "keep all that `wsicomp restore` needs to give the source's file back byte for byte, and prove it; "
        "needs --glass keep, and codec copy or jpegxl with --lossless",
    )
    overview: str = option(
        "none",
        "jpeg: store the levels from downsample 4 on as JPEG and first in the file, so that programs "
        "without the codec open it",
        choices=("none", "jpeg"),
    )
    embed_model: bool = option(
        False,
        "put the neural codec's decoder into the file, so that it opens where the model is missing",
        is_rare=True,
    )

    def __post_init__(self) -> None:
        checked_fields(self)
        name, implied = resolved(self.name)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", {**implied, **self.options})
        self._check_options(implied)
        if self.embed_model and not self.needs_model:
            raise ConfigError(f"codec {self.name} has no model to embed; leave `embed_model` out")
        targets = self.options.keys() - {"effort"}
        if self.lossless and targets:
            raise ConfigError(f"`lossless` does not go with `{min(targets)}`; leave one of them out")
        if self.lossless and self.name in ("auto", "copy"):
            raise ConfigError("lossless repacks tiles: take codec jpegxl or jpeg, or copy without lossless")

    def _check_options(self, implied: Mapping[str, Any]) -> None:
        given = self.options
        if self.name == "copy" and given:
            raise ConfigError(f"codec copy takes no `{min(given)}`; leave it out")
        if self.name == "auto" and (others := given.keys() - {"quality"}):
            raise ConfigError(f"codec auto is copy or jpeg; name the codec that takes `{min(others)}`")
        for name, value in implied.items():
            if given[name] != value:
                raise ConfigError(f"codec {value} sets `{name}` already; leave `{name}` out")
        if self.needs_model and "like" in given:
            reference_codec(given["like"])
            if others := given.keys() & {"quality", "min_ssim"}:
                raise ConfigError(f"`like` finds `{min(others)}` for each slide; leave one of them out")
        if self.name != "copy" and not self.needs_model:
            create_codec("jpeg" if self.name == "auto" else self.name, given)

    @classmethod
    def of_text(cls, text: str, **others: Any) -> CodecConfig:
        """Return the codec that a text such as "jpeg:40" names; `others` are further fields.

        Raises:
            ConfigError: the text names no codec with its settings.
        """
        values = codec_values(text)
        own = {name: values.pop(name) for name in tuple(values) if name in named_options()}
        try:
            return cls(name=str(values.pop("codec")), options=own, **values, **others)  # type: ignore[arg-type]
        except ConfigError as exc:
            raise ConfigError(f"{text}: {exc.message}") from exc

    @property
    def needs_model(self) -> bool:
        """Whether its tiles can be decoded only with the model that made them."""
        return self.name not in ("auto", "copy") and codec_info(self.name).needs_model


@dataclass(frozen=True)
class GlassConfig:
    """The options for glass."""

    GROUP: ClassVar = "what becomes of glass"

    fill: str = option(
        "blank",
        "keep: leave glass as it is; blank: shared blank tiles, which every program tried shows; "
        "white: blank in white; empty: tiles of zero bytes in a generic TIFF, transparent in OpenSlide 4.0.1 "
        "and later, unreadable in most other programs",
        name="glass",
        choices=("keep", "blank", "white", "empty"),
    )
    background: str = option(
        "auto",
        "blank and paint glass in this colour: auto (its own, from place to place), white or #RRGGBB",
        metavar="COLOR",
        is_rare=True,
    )

    def __post_init__(self) -> None:
        checked_fields(self)
        if self.background not in ("white", "auto") and not _HEX_COLOR.fullmatch(self.background):
            raise ConfigError(f"background is {quoted(self.background)}, expected auto, white or #RRGGBB")
        if self.fill == "white":
            self._take_white()

    def _take_white(self) -> None:
        """Store what `glass="white"` is short for."""
        if self.background not in ("white", "auto"):
            raise ConfigError(
                f"glass white is white, not {self.background}; take glass blank with background"
            )
        object.__setattr__(self, "fill", "blank")
        object.__setattr__(self, "background", "white")

    @property
    def is_kept(self) -> bool:
        """Whether no tile is taken for glass."""
        return self.fill == "keep"


@dataclass(frozen=True)
class TissueConfig:
    """The options for finding tissue."""

    GROUP: ClassVar = "finding tissue"

    segmenter: str = option(
        "unet",
        "find tissue by the U-Net, or by the colour distance to white; sam: outline a region that is pointed "
        "at, for `wsicomp segment` alone",
        choices=("unet", "threshold", "sam"),
        is_rare=True,
    )
    weights: Path | None = option(
        None,
        "find tissue by a U-Net of your own; JSON is its manifest",
        metavar="JSON",
        shapes_file=False,
        is_rare=True,
    )
    magnification: float = option(
        2.5,
        "let the U-Net read at this magnification; 2.5 is 4 um per px",
        least=0.5,
        most=40,
        metavar="F",
        is_rare=True,
    )
    hole_um: float = option(
        100.0,
        "count holes in tissue as tissue, up to a disc of this diameter in um",
        least=0,
        most=10_000,
        metavar="F",
        is_rare=True,
    )
    speck_um: float = option(
        20.0,
        "drop tissue smaller than a disc of this diameter in um",
        least=0,
        most=1000,
        metavar="F",
        is_rare=True,
    )
    mask: Path | None = option(
        None,
        "take tissue from a PNG, TIFF or GeoJSON file instead of finding it",
        metavar="FILE",
        shapes_file=False,
    )
    margin_um: float = option(50.0, "keep so many um around tissue", least=0, most=10_000, metavar="F")

    def __post_init__(self) -> None:
        checked_fields(self)
        if self.weights is not None and (self.segmenter != "unet" or self.mask is not None):
            raise ConfigError(
                "`weights` are for segmenter unet; leave them out, or take segmenter unet without `mask`"
            )


@dataclass(frozen=True)
class RegionConfig:
    """The options for regions that keep a quality of their own."""

    GROUP: ClassVar = "regions that keep their quality"

    roi: Path | None = option(
        None,
        "keep every tile that touches these regions: GeoJSON, a label image, COCO or SAM JSON, .npy; or "
        "tissue, as it is found; or sam, with --box or --prompt",
        metavar="FILE",
        shapes_file=False,
    )
    roi_codec: str = option(
        "copy",
        "store regions by this codec: copy, jpegxl-lossless, or such as jpeg:95",
        metavar="CODEC",
    )
    tissue_codec: str = option(
        "auto",
        "store other tissue by this codec, such as jpeg:40; auto is a coarse one that can stand there",
        metavar="CODEC",
    )
    roi_margin_um: float = option(
        0.0, "keep so many um around regions", least=0, most=10_000, metavar="F", is_rare=True
    )
    roi_classes: Path | None = option(
        None,
        "take the codec of each class of regions from this table",
        metavar="TOML",
        shapes_file=False,
        is_rare=True,
    )
    roi_offset: str | None = option(
        None,
        "where a label image's upper left corner lies on the slide, in pixels of level 0",
        metavar="X,Y",
        is_rare=True,
    )
    roi_mpp: float | None = option(
        None, "um per px of a label image", least=0.001, most=10_000, metavar="F", is_rare=True
    )
    roi_threshold: float | None = option(
        None,
        "take a probability from this one on for a region; a picture of whole numbers is then a map of "
        "probabilities",
        least=0.001,
        most=1,
        metavar="F",
        default_text="0.5",
        is_rare=True,
    )
    roi_downsample: float | None = option(
        None,
        "keep regions on levels up to this downsample, and store lower ones by --tissue-codec; default all",
        least=1,
        most=1_000_000,
        metavar="F",
        is_rare=True,
    )

    def __post_init__(self) -> None:
        checked_fields(self)
        if self.roi is None:
            self._check_alone()
            return
        for name in ("roi_codec", "tissue_codec"):
            text = getattr(self, name)
            if name == "tissue_codec" and text == "auto":
                continue
            try:
                codec = CodecConfig.of_text(text)
            except ConfigError as exc:
                raise ConfigError(f"`{name}`: {exc.message}") from exc
            if codec.restorable:
                raise ConfigError(f"`{name}`: only a whole file is restorable; take jpegxl-lossless")
            if codec.needs_model:
                raise ConfigError(f"`{name}`: neural tiles stand beside no others; take jpegxl:2 or jpeg:50")
        _ = self.offset  # raises where it is not two numbers
        for name in ("roi_classes", "roi_offset", "roi_mpp", "roi_threshold"):
            if self.word and getattr(self, name) is not None:
                raise ConfigError(
                    f'`{name}` is for a file of regions, and `roi="{self.word}"` is none; leave it out'
                )

    def _check_alone(self) -> None:
        for name, declared in options_of(RegionConfig).items():
            if getattr(self, name) != declared.default:
                raise ConfigError(f"`{name}` is for regions: name their file by `roi`, or leave it out")

    @property
    def offset(self) -> tuple[float, float] | None:
        """`roi_offset` as (x, y) in pixels of level 0."""
        if self.roi_offset is None:
            return None
        x, y = _numbers("`roi_offset`", self.roi_offset, "X,Y")
        return x, y

    @property
    def word(self) -> str:
        """The word that `roi` is, "tissue" or "sam"; "" where it names a file."""
        return "" if self.roi is None or str(self.roi) not in REGION_WORDS else str(self.roi)


REGION_WORDS = ("tissue", "sam")
"""What `roi` can be beside a file."""


@dataclass(frozen=True)
class PromptConfig:
    """The options for a region that a person points at, which Segment Anything outlines."""

    GROUP: ClassVar = "a region by Segment Anything"
    GRID: ClassVar = "grid"

    box: str | None = option(
        None,
        "outline what this box holds, drawn roughly around it; in level-0 px, as OpenSlide counts them",
        metavar="X,Y,W,H",
        is_rare=True,
    )
    prompt: str | None = option(
        None,
        "outline what lies at this level-0 px; grid: try a grid of points over the slide and keep what "
        "stands out most, which is slow and poor: to find tissue take segmenter unet",
        metavar="X,Y",
        is_rare=True,
    )
    points: Path | None = option(
        None,
        "outline what these points lie in: GeoJSON points, or lines of x,y,label with label 1 inside and 0 "
        "outside",
        metavar="FILE",
        shapes_file=False,
        is_rare=True,
    )
    sam_weights: Path | None = option(
        None,
        "outline by this checkpoint of segment-anything or MobileSAM, a file that you have; by default by "
        "LiteMedSAM, which comes with the extra sam",
        metavar="FILE",
        shapes_file=False,
        is_rare=True,
    )

    def __post_init__(self) -> None:
        checked_fields(self)
        if len(self.given) > 1:
            raise ConfigError(f"{' and '.join(self.given)} both say where to look; leave one of them out")
        if self.box is not None:
            _, _, width, height = _numbers("box", self.box, "X,Y,W,H")
            if width <= 0 or height <= 0:
                raise ConfigError(f"box is {quoted(self.box)}, expected a width and a height over 0")
        if self.prompt is not None and self.prompt != self.GRID:
            _numbers("prompt", self.prompt, "X,Y")

    @property
    def given(self) -> tuple[str, ...]:
        """The options that say where to look, as messages name them."""
        values = {"`box`": self.box, "`prompt`": self.prompt, "`points`": self.points}
        return tuple(name for name, value in values.items() if value is not None)

    def check_use(self, is_used: bool) -> None:
        """Refuse a prompt that nothing uses, and the lack of one where Segment Anything `is_used`.

        Raises:
            ConfigError: a prompt or weights are given and not used, or no prompt is given and one is needed.
        """
        if is_used and not self.given:
            raise ConfigError(
                "Segment Anything outlines what is pointed at: give `box`, `prompt` or `points`"
            )
        others = (*self.given, *("`sam_weights`",) * (self.sam_weights is not None))
        if others and not is_used:
            raise ConfigError(f'{others[0]} is for Segment Anything: take `roi="sam"` or `segmenter="sam"`')


def _numbers(name: str, text: str, expected: str) -> tuple[float, ...]:
    try:
        return coordinates(text, expected.count(",") + 1)
    except ValueError as exc:
        raise ConfigError(f"{name} is {quoted(text)}, expected the numbers {expected}") from exc


@dataclass(frozen=True)
class OutputConfig:
    """The options for the target: which parts of the slide it has, and in which container."""

    GROUP: ClassVar = "the file"

    format: str = option(
        "auto",
        "write an SVS or a generic TIFF; auto: svs for an SVS source and a codec that OpenSlide reads there",
        choices=("auto", "svs", "tiff"),
        is_rare=True,
    )
    levels: str = option(
        "source",
        "full: add the levels that the source lacks, in steps of four",
        choices=("source", "full"),
        is_rare=True,
    )
    z: int | None = option(
        None,
        "take this focal plane of a slide with several, counted from 0 as `wsicomp info` lists them",
        least=0,
        most=999,
        metavar="N",
        is_rare=True,
    )
    from_level: int = option(
        0,
        "begin at this level of the slide, and leave the finer ones out for good; tiles of the others are "
        "copied, repacked or encoded as ever",
        least=0,
        most=99,
        metavar="N",
    )
    max_power: float | None = option(
        None,
        "begin at the level of this objective power, such as 20; refused if a finer slide has no such level",
        least=0.05,
        most=500,
        metavar="F",
    )
    label: bool = option(True, "keep the label image")
    macro: bool = option(True, "keep the macro image")
    deidentify: bool = option(
        False,
        "leave out label, macro and all else that could name a patient, except what is seen on the tissue",
    )

    def __post_init__(self) -> None:
        checked_fields(self)
        if self.from_level and self.max_power is not None:
            raise ConfigError("`from_level` and `max_power` both say where to begin; leave one of them out")


@dataclass(frozen=True)
class RunConfig:
    """The options of one run, none of which changes a sound file."""

    GROUP: ClassVar = "the run"

    strict: bool = option(
        False,
        "stop at a damaged tile of SOURCE, instead of counting it",
        shapes_file=False,
        group="its checks",
        is_rare=True,
    )
    verify: bool = option(True, "read the result back and check it", shapes_file=False, group="its checks")
    overwrite: bool = option(
        False, "replace TARGET and other files to write, if they exist", shapes_file=False
    )
    keep_times: bool = option(
        False,
        "give TARGET the time of SOURCE's last change; a backup that looks for new times then passes it by",
        shapes_file=False,
        is_rare=True,
    )
    keep_if_larger: str = option(
        "auto",
        "what to do with a result larger than SOURCE: keep it; copy: put SOURCE's own file there, byte for "
        "byte; fail: write nothing; auto is keep, in a batch copy",
        choices=("auto", "keep", "copy", "fail"),
        shapes_file=False,
        is_rare=True,
    )
    workers: int = option(
        available_cores,
        "use so many threads; by default one for each core",
        least=1,
        most=1024,
        metavar="N",
        shapes_file=False,
    )
    min_free: float = option(
        0.0,
        "stop before fewer GB are free on TARGET's disk",
        least=0,
        most=10**6,
        metavar="GB",
        shapes_file=False,
        is_rare=True,
    )

    def __post_init__(self) -> None:
        checked_fields(self)


@dataclass(frozen=True)
class ConversionConfig:
    """The options of a conversion.

    Examples:
        >>> config = ConversionConfig.of(codec="jpegxl", distance=1.5, overview="jpeg")
        >>> config.codec.name, config.glass.fill
        ('jpegxl', 'blank')
    """

    codec: CodecConfig = field(default_factory=CodecConfig)
    """How tissue is stored."""
    glass: GlassConfig = field(default_factory=GlassConfig)
    """What becomes of glass."""
    tissue: TissueConfig = field(default_factory=TissueConfig)
    """How tissue is found."""
    regions: RegionConfig = field(default_factory=RegionConfig)
    """Which places keep a quality of their own."""
    prompts: PromptConfig = field(default_factory=PromptConfig)
    """Where a person points, for Segment Anything."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """What of the slide is written, and into which file."""
    run: RunConfig = field(default_factory=RunConfig)
    """How one run goes."""

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(
                    f"{name} is {quoted(getattr(self, name))}, expected a {kind.__name__}; "
                    "ConversionConfig.of and its method changed take options by their names"
                )
        if self.glass.fill == "empty" and self.output.format == "svs":
            reason = "OpenSlide's aperio driver then draws every lower level from level 0, in seconds a view"
            raise ConfigError(
                f"glass empty does not go with format svs ({reason}); take glass blank, as small"
            )
        if self.tissue.mask is not None and self.glass.is_kept:
            raise ConfigError("glass is kept, so a mask has nothing to do; leave one of them out")
        if self.regions.roi is None:
            self._check_overview(self.codec.name)
        else:
            self._check_regions()
        if self.output.deidentify and self.run.keep_times:
            raise ConfigError("`keep_times` tells when the slide was scanned; leave it or `deidentify` out")
        self.prompts.check_use(self.tissue.segmenter == "sam" or self.regions.word == "sam")
        if self.codec.restorable:
            self._check_restorable()

    def _check_overview(self, *names: str) -> None:
        """Refuse an overview where OpenSlide reads all codecs with these names itself."""
        unknown = unknown_to_openslide()
        if self.codec.overview != "none" and not set(names) & set(unknown):
            found, known = " and ".join(names), " or ".join(unknown)
            raise ConfigError(f"OpenSlide reads codec {found} itself: overview is for codec {known}")

    def _check_regions(self) -> None:
        codec, regions = self.codec, self.regions
        if codec != CodecConfig(overview=codec.overview):
            raise ConfigError(
                "with `roi`, `roi_codec` and `tissue_codec` name codecs; leave `codec` and its options out"
            )
        texts = [text for text in (regions.roi_codec, regions.tissue_codec) if text != "auto"]
        self._check_overview(*(CodecConfig.of_text(text).name for text in texts))

    def coded(self, text: str) -> ConversionConfig:
        """Return this config with all tissue stored by the codec that a text names, and without regions.

        Raises:
            ConfigError: the text names no codec with its settings, or the codec does not go with the rest.
        """
        codec = CodecConfig.of_text(text)
        if self.codec.overview != "none" and codec.name in unknown_to_openslide():
            codec = replace(codec, overview=self.codec.overview)
        return replace(self, codec=codec, regions=RegionConfig(), prompts=self._other_prompts)

    def without_regions(self) -> ConversionConfig:
        """Return this config without regions, and without what points at one."""
        return replace(self, regions=RegionConfig(), prompts=self._other_prompts)

    @property
    def _other_prompts(self) -> PromptConfig:
        """What points at tissue rather than at a region."""
        return self.prompts if self.tissue.segmenter == "sam" else PromptConfig()

    def _check_restorable(self) -> None:
        codec, output = self.codec, self.output
        if codec.name not in ("auto", "copy") and not (codec.name == "jpegxl" and codec.lossless):
            raise ConfigError(
                '`restorable` needs tiles that unpack to the source\'s: take `preset="archive-lossless"`, or '
                '`codec="jpegxl"` with `lossless=True`, or `codec="copy"`, each with `glass="keep"`'
            )
        if not self.glass.is_kept:
            raise ConfigError(
                f"`restorable` keeps every tile, and glass is {self.glass.fill!r}: take "
                '`preset="archive-lossless"`, or `glass="keep"`'
            )
        if output.deidentify or not output.label or not output.macro:
            raise ConfigError(
                "`restorable` keeps label, macro and names; leave `deidentify=True`, `label=False` and "
                "`macro=False` out"
            )
        if output.from_level or output.max_power is not None:
            raise ConfigError("`restorable` keeps every level; leave `from_level` and `max_power` out")
        if not self.run.verify:
            raise ConfigError("`restorable` has to be verified; leave `verify=False` out")

    @property
    def unwanted_images(self) -> frozenset[str]:
        """The associated images that are to be left out, by name."""
        kept = {"label": self.output.label, "macro": self.output.macro}
        return frozenset(name for name, is_kept in kept.items() if not is_kept)

    @classmethod
    def given(cls, config: ConversionConfig | None) -> ConversionConfig:
        """Return a config as a caller gave it; the defaults for None.

        Raises:
            ConfigError: `config` is of another type.
        """
        makers = "ConversionConfig.of(...) or ConversionConfig.preset(NAME)"
        return given_instance(cls, config, "config", f"a ConversionConfig, as {makers} makes one")

    @classmethod
    def of(cls, **choices: Any) -> ConversionConfig:
        """Return the config of these options, by their flat names, with defaults for the rest.

        Raises:
            ConfigError: an unknown name, a value of the wrong type or out of range, or options that
                contradict each other.
        """
        parts: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
        for name, value in choices.items():
            if name in _PLACES:
                part, attribute = _PLACES[name]
                parts[part][attribute] = value
            elif name in named_options():
                if value is not None:
                    parts["codec"].setdefault("options", {})[name] = named_options()[name].checked(value)
            else:
                raise unknown_option(name, tuple(all_options()))
        return cls(**{part: kind(**parts[part]) for part, kind in _PARTS.items()})

    @classmethod
    def preset(cls, name: str | os.PathLike[str], **choices: Any) -> ConversionConfig:
        """Return a preset by its name or its TOML file; `choices` replace its options, by their flat names.

        Raises:
            ConfigError: there is no such preset, or its options or `choices` are refused by `of`.

        Examples:
            >>> ConversionConfig.preset("archive-lossless").codec.restorable
            True
        """
        return cls.of(**{**load_preset(name), **choices})

    def changed(self, **choices: Any) -> ConversionConfig:
        """Return a copy of this config with other values for some options, by their flat names.

        Raises:
            ConfigError: an unknown name, a value of the wrong type or out of range, or options that
                contradict each other.

        Examples:
            >>> ConversionConfig().changed(glass="keep").glass.is_kept
            True
        """
        return ConversionConfig.of(**{**self.flat(), **choices})

    def flat(self) -> dict[str, Value]:
        """Return every option by its flat name; a codec's own options only where they were given."""
        own = {name: getattr(getattr(self, part), attribute) for name, (part, attribute) in _PLACES.items()}
        return own | dict(self.codec.options)

    def lasting(self) -> dict[str, Value]:
        """Return the options that shape the target's bytes, as JSON values, without the names of files."""
        values: dict[str, Value] = dict.fromkeys(named_options())
        values |= self.flat()
        passing = {"device", "model"} | {name for name, each in all_options().items() if not each.shapes_file}
        return {name: value for name, value in values.items() if name not in passing}


_PARTS: Mapping[str, Any] = {
    "codec": CodecConfig,
    "glass": GlassConfig,
    "tissue": TissueConfig,
    "regions": RegionConfig,
    "prompts": PromptConfig,
    "output": OutputConfig,
    "run": RunConfig,
}
_PLACES = {
    declared.name: (part, attribute)
    for part, kind in _PARTS.items()
    for attribute, declared in options_of(kind).items()
}
"""The part and the attribute of each option."""


def all_options() -> Mapping[str, Option]:
    """Return every option of a conversion by its flat name, a codec's own last."""
    own = {each.name: each for kind in _PARTS.values() for each in options_of(kind).values()}
    codecs = {name: replace(each, group=CodecConfig.GROUP) for name, each in named_options().items()}
    return {**own, **codecs}


def preset_names() -> tuple[str, ...]:
    """Return the names of the shipped presets."""
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.toml")))


@dataclass(frozen=True)
class AboutPreset:
    """What a preset does, as its table `about` states it."""

    purpose: str
    """What it is for."""
    saved_percent: float
    """Per cent saved of the drawn slide of `wsicomp demo`."""
    tissue: str
    """What becomes of tissue."""
    opens_in: str
    """The viewers that open that slide's conversion."""
    reversible: bool
    """Whether the source's file comes back, byte for byte."""


def about_preset(name: str) -> AboutPreset:
    """Return what a shipped preset does.

    Raises:
        ConfigError: there is no such preset.

    Examples:
        >>> about_preset("archive-lossless").reversible
        True
    """
    return AboutPreset(**_read_preset(name)[1]["about"])


def load_preset(
    path: str | os.PathLike[str], others: Mapping[str, Option | None] | None = None
) -> dict[str, Any]:
    """Return the options of a TOML preset; `path` is a file, or the name of a shipped preset.

    `others` are options beside those of a conversion that it may hold; a value of None is not checked. A
    table `about` is for people, and no option.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or an option is unknown or out of range; the
            message says in which line.
    """
    found, values = _read_preset(path)
    values.pop("about", None)
    known: dict[str, Option | None] = {**all_options(), **(others or {})}
    for name, value in values.items():
        try:
            _check_value(name, value, known)
        except ConfigError as exc:
            raise ConfigError(exc.message, found, f"line {line_of_key(found, name)}") from exc
    return values


def _read_preset(path: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]]:
    """Return a preset's file and its values."""
    given_path(path, ConfigError)
    presets = preset_names()
    if os.fspath(path) in presets and not Path(path).exists():
        path = _PRESETS / f"{os.fspath(path)}.toml"
    advice = ""
    if not os.path.lexists(path):
        near = did_you_mean(os.fspath(path), presets)
        advice = f"nor is it a preset; `wsicomp presets` lists all{near}"
    return Path(path), read_toml(Path(path), ConfigError, advice)


def _check_value(name: str, value: object, known: Mapping[str, Option | None]) -> None:
    if name not in known:
        raise unknown_option(name, tuple(known))
    declared = known[name]
    if declared is not None:
        declared.checked(value)
