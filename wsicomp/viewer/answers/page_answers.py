"""The page of the viewer, its files, and what it is told first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from wsicomp.viewer.exchange import RefusedRequestError, Request, Response, json_response
from wsicomp.viewer.session import Session, described

_MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


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


def page_answer(session: Session, request: Request) -> Response:  # noqa: ARG001 - every route takes both
    """Return the page."""
    return _static("index.html")


def static_answer(session: Session, request: Request) -> Response:  # noqa: ARG001
    """Return a file of the page by its name."""
    return _static("/".join(request.words[1:]))


def session_answer(session: Session, request: Request) -> Response:
    """Return what the page is told first: of the slides, of an archive, or of one slide of it."""
    if session.archive is not None:
        from wsicomp.viewer.answers.archive_answers import archive_session  # noqa: PLC0415 - ledgers are for archives

        return json_response(archive_session(session, request))
    return json_response(described(session, list(session.slides.values())))
