"""Neural tiles: learned image compression in a TIFF, under a private TIFF compression.

This module declares the codecs. Models of the first run in LiteRT on the CPU. The others, CompressAI's own
checkpoints and a GPU need torch: the extra `neural`.
"""

from __future__ import annotations

from wsicomp.codecs.base import CodecInfo, Compression, Options
from wsicomp.options import Option
from wsicomp.slide import NEURAL

ARCHITECTURES = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "elic2022-chandelier")
"""The networks whose models can encode tiles; each is a codec of that name."""

_BYTES_A_PIXEL = 860
"""What he-fine, the widest network that ships, needs for tiles of 512 px, whose interpreters are kept.

Of them 450 are to decode. Tiles of 2048 px, whose interpreters are not kept, need 360.
"""
_COMPRESSIONS = (Compression(NEURAL, "neural tiles", bytes_a_pixel=_BYTES_A_PIXEL),)
_OPTIONS = (
    Option(
        "model",
        str,
        "the codec's model: a file (.safetensors, or a checkpoint of CompressAI), the name of a model "
        "that ships or lies in a folder of WSICOMP_MODELS, or the name of one of CompressAI's, which is "
        "fetched, as mbt2018-mean-mse-7; bmshj2018-factorized has one",
        default_text="he-compact",
        metavar="NAME",
        is_rare=True,
    ),
    Option(
        "quality",
        int,
        "coarsest quality that a tile may take, from 1 to what the model's card says",
        default_text="1",
        metavar="N",
    ),
    Option(
        "like",
        str,
        "be as true to the slide's tissue as this codec, such as jpeg:90, in the mean and in the worst tile",
        metavar="CODEC:N",
        is_rare=True,
    ),
    Option(
        "min_ssim",
        float,
        "least SSIM of a tile; one that has it at no quality is JPEG XL",
        default=0.95,
        least=0,
        most=1,
        metavar="F",
        is_rare=True,
    ),
    Option(
        "min_psnr",
        float,
        "least PSNR of a tile, in dB; likewise",
        default=25.0,
        least=0,
        most=100,
        metavar="F",
        is_rare=True,
    ),
    Option(
        "max_color_shift",
        float,
        "most grey levels that the mean of a block of 16 x 16 px may be off; likewise",
        default=6.0,
        least=0,
        most=255,
        metavar="F",
        is_rare=True,
    ),
    Option(
        "device",
        str,
        "where the network runs; auto is a GPU where torch finds one",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        shapes_file=False,
        is_rare=True,
    ),
)


def _info(name: str, factory: str, extra: str = "neural", **aliases: Options) -> CodecInfo:
    return CodecInfo(
        name,
        "wsicomp.codecs.neural.tiles",
        _COMPRESSIONS,
        _OPTIONS,
        factory=factory,
        family="neural codecs",
        extra=extra,
        libraries=("torch", "compressai") if extra else (),
        needs_model=True,
        aliases={alias.replace("_", "-"): options for alias, options in aliases.items()},
    )


CODECS = (
    _info(
        "bmshj2018-factorized",
        "Factorized",
        extra="",
        he_compact={"model": "he-compact"},
        he_fine={"model": "he-fine"},
    ),
    _info("bmshj2018-hyperprior", "Hyperprior"),
    _info("mbt2018-mean", "MeanHyperprior"),
    _info("elic2022-chandelier", "Chandelier"),
)
