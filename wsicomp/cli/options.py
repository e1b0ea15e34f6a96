"""The options of a conversion, for every command that converts, and the config that they make."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from wsicomp.cli.text import say
from wsicomp.codecs.registry import codec_names, create_codec
from wsicomp.config import CHOICES, ConversionConfig, create_config, load_preset, preset_names
from wsicomp.errors import ConfigError

_CODECS = ("auto", "copy", *codec_names())
_OF_BATCH = ("min_saving",)
"""Names in a preset that are no field of a config: `wsicomp batch` alone reads them."""


def add_conversion_options(parser: argparse.ArgumentParser) -> None:
    """What becomes of tissue and glass, and the file: all but how one run goes."""
    parser.add_argument(
        "--preset",
        type=Path,
        metavar="PRESET",
        help=f"options from a TOML file, or from one of {', '.join(preset_names())}; others override it",
    )
    _add_picture_options(parser)
    _add_file_options(parser)


def _add_picture_options(parser: argparse.ArgumentParser) -> None:
    tissue = parser.add_argument_group("what becomes of tissue")
    tissue.add_argument("--codec", choices=_CODECS, help="auto: copy where possible, else jpeg (default)")
    tissue.add_argument(
        "--lossless",
        action="store_true",
        help="repack the source's own tiles: with jpegxl so that their very bytes come back, with jpeg their "
        "entropy coding alone; a tile that cannot be repacked stays as it is, and the report counts it",
    )
    tissue.add_argument(
        "--restorable",
        action="store_true",
        help="with jpegxl --lossless or copy, and --glass keep: keep all that `wsicomp restore` needs to "
        "give the source's file back byte for byte, and prove it",
    )
    for name, kind, meaning in (
        (
            "quality",
            int,
            "of jpeg, jpegxl, webp: 1 to 100 (default 90); of a model: from 1, as its card says",
        ),
        ("distance", float, "of jpegxl, in just noticeable differences (default 1.0)"),
        ("effort", int, "of jpegxl, 1 to 10: smaller files in more time (default 7)"),
        ("psnr", float, "of jpeg2000, in dB (default 37)"),
        ("rate", float, "of jpeg2000: so many times smaller than the pixels"),
    ):
        tissue.add_argument(f"--{name}", type=kind, metavar="N", help=meaning)
    tissue.add_argument(
        "--overview",
        choices=CHOICES["overview"],
        help="jpeg: store the levels from downsample 4 on as JPEG, and first, so that readers without "
        "the codec open the file and find their way",
    )

    _add_neural_options(parser)

    glass = parser.add_argument_group("what becomes of glass")
    glass.add_argument(
        "--glass",
        choices=CHOICES["glass"],
        help="keep it; white: one shared blank tile, which every program tried shows (default); "
        "empty: zero-byte tiles in a generic TIFF, transparent in OpenSlide 4.0.1 and later, "
        "unreadable in most other programs",
    )
    add_segmenter_options(glass)
    glass.add_argument(
        "--background", metavar="COLOR", help="white (default), auto (the slide's own glass), #RRGGBB"
    )


def _add_neural_options(parser: argparse.ArgumentParser) -> None:
    neural = parser.add_argument_group(
        "neural codecs", "need pip install 'wsicomp[neural]'; only wsicomp opens their levels"
    )
    neural.add_argument(
        "--model",
        metavar="NAME",
        help="a model of the codec: a file (.safetensors, or a checkpoint of CompressAI's), the name of one "
        "that ships or that a folder in WSICOMP_MODELS holds, or of one of CompressAI's, which is "
        "fetched, as mbt2018-mean-mse-7; codec bmshj2018-factorized has one (default he-compact)",
    )
    for name, meaning in (
        ("min-ssim", "a tile with less SSIM is stored finer, or else as JPEG XL (default 0.95)"),
        ("min-psnr", "so is one with less PSNR, in dB (default 25)"),
        ("max-color-shift", "and one with a block of 16 px whose mean is more grey levels off (default 6)"),
    ):
        neural.add_argument(f"--{name}", type=float, metavar="F", help=meaning)
    neural.add_argument("--device", help="auto (a GPU where torch finds one; default), cpu or cuda")
    neural.add_argument(
        "--embed-model",
        action=argparse.BooleanOptionalAction,
        help="carry the model's decoder in the file: it can be opened where the model is not, in 20 years",
    )


def add_segmenter_options(group: argparse._ArgumentGroup) -> None:
    """Everything about how tissue is found, for the commands that look for it."""
    default = ConversionConfig()
    group.add_argument(
        "--segmenter",
        choices=CHOICES["segmenter"],
        help="finds tissue: the U-Net (default), or the colour distance to white",
    )
    group.add_argument("--weights", type=Path, metavar="JSON", help="the manifest of a network of your own")
    for name, meaning in (
        ("magnification", "at which the U-Net reads; 2.5 is 4 um per px"),
        ("hole-um", "holes in tissue up to a disc of this diameter are tissue"),
        ("speck-um", "tissue smaller than a disc of this diameter is none"),
        ("margin-um", "kept around tissue, in um"),
    ):
        preset = getattr(default, name.replace("-", "_"))
        group.add_argument(f"--{name}", type=float, metavar="F", help=f"{meaning} (default {preset:g})")


def add_plane_option(group: argparse._ActionsContainer) -> None:
    """Which focal plane of a slide is looked at."""
    group.add_argument(
        "--z",
        type=int,
        metavar="N",
        help="of a slide with several focal planes this one, counted from 0 as `wsicomp info` lists them",
    )


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    file = parser.add_argument_group("the file")
    file.add_argument(
        "--format",
        choices=CHOICES["format"],
        help="auto: svs for an SVS source and a codec that OpenSlide reads there, else tiff",
    )
    file.add_argument(
        "--levels", choices=CHOICES["levels"], help="full: add the levels that the source lacks"
    )
    add_plane_option(file)
    file.add_argument("--no-label", dest="label", action="store_false", help="leave the label image out")
    file.add_argument("--no-macro", dest="macro", action="store_false", help="leave the macro image out")
    file.add_argument(
        "--deidentify",
        action="store_true",
        help="leave out label, macro, and all that could name a patient but for what is seen on the tissue",
    )

    checks = parser.add_argument_group("its checks")
    checks.add_argument(
        "--strict", action="store_true", help="stop at a damaged tile of SOURCE; else they are counted"
    )
    checks.add_argument(
        "--no-verify", dest="verify", action="store_false", help="do not read the result back"
    )


def batch_options(options: argparse.Namespace) -> dict[str, Any]:
    """What the preset of a command line says of a batch, and not of a conversion."""
    given = vars(options)
    preset = load_preset(given["preset"]) if "preset" in given else {}
    return {name: preset[name] for name in _OF_BATCH if name in preset}


def parsed_config(options: argparse.Namespace, command: str) -> ConversionConfig | None:
    """The config of a preset and the command line; None, and a line on stderr, where it cannot be."""
    given = vars(options)
    fields = ConversionConfig.__dataclass_fields__
    preset = load_preset(given["preset"]) if "preset" in given else {}
    preset = {name: value for name, value in preset.items() if name not in _OF_BATCH}
    try:
        config = create_config(preset | {name: value for name, value in given.items() if name in fields})
        if config.codec not in _CODECS:
            raise ConfigError(f"codec is {config.codec!r}, expected one of {', '.join(_CODECS)}")
        others = config.codec_options().keys() - {"quality"}
        if config.codec == "auto" and others:
            raise ConfigError(f"codec auto is copy or jpeg; name the codec that takes {min(others)}")
        if config.codec != "copy":
            create_codec("jpeg" if config.codec == "auto" else config.codec, config.codec_options())
    except ConfigError as exc:
        where = f" (with preset {given['preset']})" if "preset" in given else ""
        say(f"wsicomp {command}: {exc}{where}", file=sys.stderr)
        return None
    return config
