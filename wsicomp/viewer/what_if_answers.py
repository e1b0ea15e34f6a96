"""How a view would be by another codec."""

from __future__ import annotations

import json
from collections.abc import Mapping

from wsicomp.viewer.asked_slide import rectangle_of, slide_of
from wsicomp.viewer.codec_dials import OfferedCodec, codec_dials
from wsicomp.viewer.exchange import Request, Response, json_response
from wsicomp.viewer.playground import encode_view
from wsicomp.viewer.session import Session
from wsicomp.viewer.tile_pictures import png_of
from wsicomp.viewer.views import view_of


def codecs_answer(session: Session, request: Request) -> Response:  # noqa: ARG001 - every route takes both
    """Return the codecs that can be tried, with their sliders."""
    return json_response({"codecs": [_offered(each) for each in codec_dials()]})


def _offered(codec: OfferedCodec) -> Mapping[str, object]:
    slider = codec.slider
    dial = (
        None
        if slider is None
        else {
            "option": slider.option,
            "least": slider.least,
            "most": slider.most,
            "default": slider.default,
            "integer": slider.is_whole,
            "high_is_fine": slider.high_is_fine,
            "unit": slider.unit,
        }
    )
    return {
        "name": codec.name,
        "title": codec.title,
        "dial": dial,
        "lossless": codec.lossless,
        "available": codec.is_available,
        "reason": codec.reason,
    }


def playground_answer(session: Session, request: Request) -> Response:
    """Return a view as a codec would store it, as PNG, with its figures in a header."""
    viewed = slide_of(session, request)
    info = viewed.shown.info
    view = view_of(info, rectangle_of(request), request.number("px"))
    with session.work:
        found = encode_view(viewed.shown.slide, view, request.query.get("codec", ""))
    where = view.rectangle(info)
    figures = {
        "bytes": found.bytes,
        "source_bytes": found.source_bytes,
        "bits_per_px": found.bits_per_pixel,
        "ssim": found.ssim,
        "psnr": found.psnr,
        "seconds": found.seconds,
        "codec": found.codec,
        "level": view.level,
        "x": where.x,
        "y": where.y,
        "width": where.width,
        "height": where.height,
    }
    headers = {"Wsicomp-Figures": json.dumps(figures, allow_nan=False)}
    return Response(png_of(found.pixels), "image/png", headers=headers)
