"""How a view would be by another codec, what a conversion would weigh, and what a rectangle holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import cast

from wsicomp.codecs.registry import needs_model, resolved
from wsicomp.codecs.spec_text import codec_values
from wsicomp.viewer.answers.asked_slide import rectangle_of, slide_of
from wsicomp.viewer.exchange import RefusedRequestError, Request, Response, json_response
from wsicomp.viewer.pictures.tile_pictures import png_of
from wsicomp.viewer.pictures.views import MOST_PX, Rectangle, view_of
from wsicomp.viewer.session import Session
from wsicomp.viewer.viewed_slide import ViewedSlide
from wsicomp.viewer.what_if.codec_dials import OfferedCodec, codec_dials, codec_text
from wsicomp.viewer.what_if.estimates import MaskEstimate, RegionsEstimate
from wsicomp.viewer.what_if.outlines import outline_rectangle
from wsicomp.viewer.what_if.playground import encode_view

_MOST_NEURAL_PX = 250_000
"""The most pixels of a view in neural tiles: some second's work of two cores."""


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
    codec = codec_text(request.query.get("codec", ""))
    most_px = _MOST_NEURAL_PX if needs_model(resolved(str(codec_values(codec)["codec"]))[0]) else MOST_PX
    view = view_of(info, rectangle_of(request), request.number("px"), most_px)
    with session.slow_work:
        request.check_wanted()  # a slider asks for more than it waits for
        found = encode_view(viewed.shown.slide, view, codec)
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


def estimate_answer(session: Session, request: Request) -> Response:
    """Return what a conversion that keeps what was drawn would weigh, and the command that makes it."""
    asked = request.value()
    viewed = _stated_slide(session, asked)
    codec, glass = _text(asked, "codec", "auto"), _text(asked, "glass", "blank")
    estimates, drawing = viewed.estimates, asked.get("geojson")
    found: RegionsEstimate | MaskEstimate
    match _text(asked, "use", "regions"):
        case "regions":
            found = estimates.of_regions(drawing, codec, glass)
        case "mask":
            found = estimates.of_mask(drawing, codec, glass)
        case _:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "use: expected one of regions, mask")
    values = asdict(found)
    return json_response({**values.pop("size"), "saved": found.size.saved, **values})


def outline_answer(session: Session, request: Request) -> Response:
    """Return the outline of the tissue in a rectangle."""
    asked = request.value()
    viewed = _stated_slide(session, asked)
    rectangle = Rectangle(*(_number(asked, name) for name in ("x", "y", "width", "height")))
    return json_response(asdict(outline_rectangle(viewed.shown.slide, rectangle)))


def _stated_slide(session: Session, asked: Mapping[str, object]) -> ViewedSlide:
    """Return the slide whose number a request's body states.

    Raises:
        RefusedRequestError: there is no such slide.
    """
    number = asked.get("slide")
    try:
        return session.slide(number if type(number) is int else 0)
    except LookupError:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such slide") from None


def _number(asked: Mapping[str, object], name: str) -> float:
    value = asked.get(name)
    if type(value) not in (int, float):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, f"{name}: expected a number")
    try:
        return float(cast(float, value))
    except OverflowError:
        return math.inf  # which no rectangle has


def _text(asked: Mapping[str, object], name: str, default: str) -> str:
    value = asked.get(name, default)
    if not isinstance(value, str):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, f"{name}: expected a text")
    return value
