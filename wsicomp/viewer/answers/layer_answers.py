"""What lies over a slide: what became of its tiles, its tissue, its worst tiles, outlines; and its label."""

from __future__ import annotations

from http import HTTPStatus

from wsicomp.viewer.answers.asked_slide import converted_of, slide_of
from wsicomp.viewer.exchange import RefusedRequestError, Request, Response, json_response
from wsicomp.viewer.pictures.tile_pictures import picture_of_associated
from wsicomp.viewer.session import Session

_PNG = "image/png"


def outcomes_answer(session: Session, request: Request) -> Response:
    """Return the legend and the counts of each level; with a level in the address its tiles' codes.

    The first request begins to look for damaged tiles; `damage` says how far that is.
    """
    viewed = slide_of(session, request)
    converted_of(viewed)
    outcomes = viewed.outcomes
    if len(request.words) < 3:
        viewed.damage.start()
        damage = viewed.damage.to_json()  # before the counts, which then are at least as new
        return json_response({**outcomes.to_json(), "damage": damage})
    try:
        return Response(outcomes.codes(request.whole(2)), "application/octet-stream")
    except IndexError:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such level") from None


def mask_answer(session: Session, request: Request) -> Response:
    """Return what the tissue mask is; the picture itself where the address ends in ".png"."""
    name = request.words[1] if len(request.words) > 1 else ""
    number = Request((request.words[0], name.removesuffix(".png")))
    layer = slide_of(session, number).tissue.get()
    return Response(layer.png, _PNG) if name.endswith(".png") else json_response(layer.to_json())


def worst_answer(session: Session, request: Request) -> Response:
    """Return the worst tiles of a conversion as far as they are known; asking begins to measure."""
    viewed = slide_of(session, request)
    converted_of(viewed)
    if viewed.worst is None:
        values = {"state": "unavailable", "reason": "its source is not shown beside it", "tiles": []}
        return json_response({**values, "measured": 0, "of": 0})
    viewed.worst.start()
    return json_response(viewed.worst.to_json())


def annotations_answer(session: Session, request: Request) -> Response:
    """Return the outlines of a file that the viewer was started with, as a GeoJSON FeatureCollection."""
    try:
        return Response(session.annotations.to_json(request.whole(1)))
    except IndexError:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such annotations") from None


def associated_answer(session: Session, request: Request) -> Response:
    """Return label, macro or thumbnail as a picture, where the user asked for them."""
    viewed = slide_of(session, request)
    name = request.words[2] if len(request.words) > 2 else ""
    image = viewed.shown.info.associated_images.get(name)
    if image is None or not session.options.show_label:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such picture; `show_label` shows label and macro")
    key = "associated", viewed.number, name
    picture = session.kept(key, lambda: picture_of_associated(image))
    return Response(picture.data, picture.media_type)
