"""The addresses of the viewer, and the functions that answer them.

An address names slides, levels and tiles by whole numbers, never a path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TypeAlias

from wsicomp.errors import ConfigError, WsicompError
from wsicomp.viewer.archive_answers import archive_answer, archive_session, archive_thumbnail
from wsicomp.viewer.asked_slide import index_of, slide_of
from wsicomp.viewer.differences import difference_tile
from wsicomp.viewer.exchange import RefusedRequestError, Request, Response, json_response
from wsicomp.viewer.layer_answers import (
    annotations_answer,
    associated_answer,
    mask_answer,
    outcomes_answer,
    worst_answer,
)
from wsicomp.viewer.session import Session, described
from wsicomp.viewer.tile_pictures import TilePicture, passed_through, png_of, thumbnail_of, tile_picture
from wsicomp.viewer.what_if_answers import codecs_answer, likeness_answer, playground_answer

Route: TypeAlias = Callable[[Session, Request], Response]

_MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_THUMBNAIL_PX = 512


@cache
def _static_files() -> Mapping[str, bytes]:
    """Return the files of the page by their addresses."""
    found: dict[str, bytes] = {}

    def add(folder: object, prefix: str) -> None:
        for each in folder.iterdir():  # type: ignore[attr-defined]
            if each.is_dir():
                add(each, f"{prefix}{each.name}/")
            elif any(each.name.endswith(suffix) for suffix in _MEDIA_TYPES):
                found[prefix + each.name] = each.read_bytes()

    add(files("wsicomp.viewer") / "static", "")
    return found


def _static(name: str) -> Response:
    data = _static_files().get(name)
    if data is None:
        raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such address")
    return Response(data, _MEDIA_TYPES[name[name.rindex(".") :]])


def _page(session: Session, request: Request) -> Response:  # noqa: ARG001 - every route takes both
    return _static("index.html")


def _static_file(session: Session, request: Request) -> Response:  # noqa: ARG001
    return _static("/".join(request.words[1:]))


def _session(session: Session, request: Request) -> Response:
    if session.archive is not None:
        return json_response(archive_session(session, request))
    return json_response(described(session, list(session.slides.values())))


def _tile(session: Session, request: Request) -> Response:
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
    if picture.damage and viewed.provenance is not None:
        viewed.outcomes.note_damaged(index)
    return picture_response(picture)


def _difference(session: Session, request: Request) -> Response:
    first, second = slide_of(session, request, 1), slide_of(session, request, 2)
    index = index_of(first, request, 3)

    def made() -> TilePicture:
        return TilePicture(png_of(difference_tile(first.shown, second.shown, index)), "image/png")

    return picture_response(session.kept(("difference", first.number, second.number, index), made))


def _thumbnail(session: Session, request: Request) -> Response:
    viewed = slide_of(session, request)
    key = "thumbnail", viewed.number
    return picture_response(session.kept(key, lambda: thumbnail_of(viewed.shown, _THUMBNAIL_PX)))


def picture_response(picture: TilePicture) -> Response:
    """Return a picture as an answer, with a header that says what is wrong with a damaged one."""
    if picture.damage:
        reason = picture.damage.encode("ascii", "replace").decode()
        return Response(picture.data, picture.media_type, headers={"Wsicomp-Damage": reason})
    return Response(picture.data, picture.media_type, is_lasting=True)


ROUTES: Mapping[tuple[str, str], Route] = {
    ("GET", ""): _page,
    ("GET", "static"): _static_file,
    ("GET", "session.json"): _session,
    ("GET", "tiles"): _tile,
    ("GET", "difference"): _difference,
    ("GET", "thumbnail"): _thumbnail,
    ("GET", "outcomes"): outcomes_answer,
    ("GET", "mask"): mask_answer,
    ("GET", "worst"): worst_answer,
    ("GET", "annotations"): annotations_answer,
    ("GET", "associated"): associated_answer,
    ("GET", "similarity"): likeness_answer,
    ("GET", "playground.json"): codecs_answer,
    ("GET", "playground"): playground_answer,
    ("GET", "archive.json"): archive_answer,
    ("GET", "entry-thumbnail"): archive_thumbnail,
}
"""For the method and the first word of an address, the function that answers it."""


def answer(session: Session, method: str, request: Request) -> Response:
    """Return the answer to a request; what is wrong with it is an answer too.

    No answer names a path of this machine.
    """
    try:
        route = ROUTES.get((method, request.words[0]))
        if route is None:
            is_known = any(name == request.words[0] for _, name in ROUTES)
            status = HTTPStatus.METHOD_NOT_ALLOWED if is_known else HTTPStatus.NOT_FOUND
            raise RefusedRequestError(status, "no such address")
        return route(session, request)
    except RefusedRequestError as exc:
        return json_response({"error": exc.message}, exc.status)
    except WsicompError as exc:
        is_asked_wrong = isinstance(exc, ConfigError)
        status = HTTPStatus.BAD_REQUEST if is_asked_wrong else HTTPStatus.SERVICE_UNAVAILABLE
        return json_response({"error": ": ".join(filter(None, (exc.place, exc.message)))}, status)
