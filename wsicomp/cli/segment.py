"""`wsicomp segment`: the tissue mask alone, and what a conversion would make of it."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from wsicomp.atomic import check_outputs
from wsicomp.cli.options import add_plane_option, add_segmenter_options, parsed_config
from wsicomp.cli.parsers import Subparsers, add_command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.conversion.convert import segment_slide
from wsicomp.formats.opening import open_slide
from wsicomp.progress import Stages
from wsicomp.text_format import as_percent
from wsicomp.tissue.mask_writer import check_suffix, write_mask

_DESCRIPTION = """\
Find the tissue of a slide and write it as a mask.

MASK is a PNG or a pyramidal OME-TIFF, 255 where there is tissue, or GeoJSON outlines for QuPath: its name's
end says which. It has no margin yet, can be edited, and can be given to `wsicomp convert --mask`."""

_EPILOG = """\
examples:
  wsicomp segment slide.svs mask.png                        4 um per pixel
  wsicomp segment slide.svs mask.geojson --audit look.png   outlines for QuPath, and what a conversion removes
  wsicomp segment slide.svs mask.ome.tiff --magnification 5
"""


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "segment",
        "write the tissue mask of a slide",
        _DESCRIPTION,
        epilog=_EPILOG,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("source", type=Path, help="the slide")
    parser.add_argument("mask_file", type=Path, metavar="MASK", help="the mask to write")
    parser.add_argument(
        "--audit",
        type=Path,
        metavar="PICTURE",
        help="also draw the slide with the tiles that `wsicomp convert` would remove, "
        "the mask with its margin, and what the guard saves",
    )
    add_segmenter_options(parser.add_argument_group("finding tissue"))
    add_plane_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the files if they exist")
    parser.set_defaults(run=run_segment)


def run_segment(options: argparse.Namespace) -> int:
    """Segment and write."""
    config = parsed_config(options, "segment")
    if config is None:
        return 2
    target: Path = options.mask_file
    audit: Path | None = getattr(options, "audit", None)
    inputs = (options.source, config.tissue.weights)
    check_suffix(target)
    check_outputs([target] if audit is None else [target, audit], inputs, config.run.overwrite)
    with closing(open_slide(options.source, config.output.z)) as slide, progress_bars() as show:
        mask = segment_slide(slide, config, audit, Stages(show))
        write_mask(target, mask, slide.info, config.run.overwrite)
    rows, columns = mask.pixels.shape
    scale = f"{mask.scale_x:.4g} level-0 px a mask px"
    say(f"{target}: {columns} x {rows} px, {scale}, {as_percent(mask.tissue_fraction)} tissue, {mask.source}")
    for note in mask.notes:
        say(f"  note: {note}")
    return 0
