"""Tiles of slides, how those of two slides differ, and how alike a view of them is."""

from __future__ import annotations

import math

from wsicomp.text.escaping import printable
from wsicomp.viewer.answers.asked_slide import index_of, rectangle_of, slide_of
from wsicomp.viewer.exchange import Request, Response, json_response
from wsicomp.viewer.pictures.differences import difference_tile, likeness_of_view
from wsicomp.viewer.pictures.tile_pictures import (
    TilePicture,
    passed_through,
    png_of,
    thumbnail_of,
    tile_picture,
)
from wsicomp.viewer.pictures.views import MOST_PX, view_of
from wsicomp.viewer.session import Session

_THUMBNAIL_PX = 512


def tile_answer(session: Session, request: Request) -> Response:
    """Return a tile: its own JPEG untouched where it has one, else a picture made of its pixels."""
    viewed = slide_of(session, request)
    index = index_of(viewed, request, 2)
    exact, colored = request.query.get("form") == "exact", request.query.get("icc") == "1"
    if not exact and not colored:
        stream = passed_through(viewed.shown, index)
        if stream is not None:
            return Response(stream, "image/jpeg", is_lasting=True)
    colors = viewed.colors if colored else None
    key = "tile", viewed.number, index, exact, colored
    picture = session.kept(key, lambda: tile_picture(viewed.shown, index, exact, colors))
    own = viewed.shown.own_tile(index)
    if picture.damage and own is not None and viewed.provenance is not None:
        viewed.outcomes.note_damaged(own)
    return picture_response(picture)


def difference_answer(session: Session, request: Request) -> Response:
    """Return how a tile of one slide differs from another slide, as PNG."""
    first, second = slide_of(session, request, 1), slide_of(session, request, 2)
    index = index_of(first, request, 3)

    def made() -> TilePicture:
        return TilePicture(png_of(difference_tile(first.shown, second.shown, index)), "image/png")

    return picture_response(session.kept(("difference", first.number, second.number, index), made))


def thumbnail_answer(session: Session, request: Request) -> Response:
    """Return a small picture of a slide."""
    viewed = slide_of(session, request)
    key = "thumbnail", viewed.number
    return picture_response(session.kept(key, lambda: thumbnail_of(viewed.shown, _THUMBNAIL_PX)))


def picture_response(picture: TilePicture) -> Response:
    """Return a picture as an answer, with a header that says what is wrong with a damaged one."""
    if picture.damage:
        reason = printable(" ".join(picture.damage.split())).encode("ascii", "replace").decode()
        return Response(picture.data, picture.media_type, headers={"Wsicomp-Damage": reason})
    return Response(picture.data, picture.media_type, is_lasting=True)


def likeness_answer(session: Session, request: Request) -> Response:
    """Return SSIM, PSNR and the largest difference of a view of two slides, or of its middle if it is large.

    `share` is how much of the view was compared.
    """
    first, second = slide_of(session, request, 1), slide_of(session, request, 2)
    view = view_of(first.shown.info, rectangle_of(request), request.number("px"), MOST_PX)
    with session.work:
        request.check_wanted()
        found = likeness_of_view(first.shown, second.shown, view)
    values = {"ssim": found.ssim, "psnr": _finite(found.psnr), "exact": found.most == 0, "most": found.most}
    return json_response({**values, "share": view.share})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
