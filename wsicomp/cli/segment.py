"""`wsicomp segment`: write the tissue mask alone, and show what a conversion would make of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.options import FINDING_TISSUE, conversion_option
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.config import ConversionConfig, PromptConfig, TissueConfig
from wsicomp.conversion.convert import segment_slide
from wsicomp.errors import ConfigError
from wsicomp.files.atomic import check_outputs
from wsicomp.formats.opening import open_chosen
from wsicomp.options import argument, option, options_of
from wsicomp.progress import Stages
from wsicomp.text.figures import as_percent
from wsicomp.tissue.mask_writer import check_suffix, write_mask

_EPILOG = """\
examples:
  wsicomp segment slide.svs mask.png
      write a picture of 4 um per px
  wsicomp segment slide.svs mask.geojson --audit look.png
      write outlines for QuPath, and draw what a conversion removes
  wsicomp segment slide.svs mask.ome.tiff --magnification 5
      write a pyramid of 2 um per px
  wsicomp segment slide.svs roi.geojson --segmenter sam --box 5200,3100,900,800
      outline the piece of tissue in a box that was drawn roughly
"""


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """Arguments of `wsicomp segment` besides options of a conversion."""

    source: Path = argument("the slide to read")
    mask_file: Path = argument("the mask to write", metavar="MASK")
    audit: Path | None = option(
        None,
        "draw the slide too: the tiles that `wsicomp convert` would remove, the mask with its margin, and "
        "what the guard keeps",
        metavar="PICTURE",
    )


def run_segment(options: SegmentOptions, config: ConversionConfig) -> int:
    """Find the tissue of a slide, or outline a region that is pointed at, and write it as a mask.

    The suffix of MASK says its format: .png, .tif or .tiff (an OME-TIFF, a pyramid), .json or .geojson
    (outlines for QuPath). In pictures 255 is tissue. The mask has no margin yet. Edit it if need be, and
    give it to `wsicomp convert --mask`.

    Segment Anything (--segmenter sam) outlines what a box holds, and nothing else: it is no way to find all
    tissue, and its mask is for `wsicomp convert --roi`, not for --mask. It needs pip install
    'wsicomp[sam]'.
    """
    target, audit = options.mask_file, options.audit
    if audit is None and config.tissue.margin_um != TissueConfig().margin_um:
        raise ConfigError("a mask has no margin: leave `margin_um` out, or draw it by `audit`")
    inputs = (options.source, config.tissue.weights, config.prompts.points, config.prompts.sam_weights)
    check_suffix(target)
    check_outputs([target] if audit is None else [target, audit], inputs, config.run.overwrite)
    with closing(open_chosen(options.source, config.output)) as slide, progress_bars() as show:
        mask = segment_slide(slide, config, audit, Stages(show))
        is_region = config.tissue.segmenter == "sam"
        write_mask(target, mask, slide.info, config.run.overwrite, "Region" if is_region else "Tissue")
    rows, columns = mask.shape
    scale = f"{mask.scale_x:.4g} level-0 px a mask px"
    inside = f"{as_percent(mask.tissue_fraction)} {'region' if is_region else 'tissue'}"
    say(f"{target}: {columns} x {rows} px, {scale}, {inside}, {mask.source}")
    for note in mask.notes:
        say(f"  note: {note}")
    return 0


_CONVERSION = (
    *(each for each in FINDING_TISSUE if each.name != "margin_um"),
    conversion_option("margin_um", "in PICTURE, keep so many um around tissue; MASK has no margin"),
    *options_of(PromptConfig).values(),
    conversion_option("z", group="options"),
    conversion_option("overwrite", "replace MASK and PICTURE if they exist", group="options"),
)
COMMANDS = (Command("segment", (SegmentOptions,), run_segment, conversion=_CONVERSION, epilog=_EPILOG),)
