"""The addresses of the viewer, and the functions that answer them.

An address names slides, levels and tiles by whole numbers, never a path. What answers is loaded when it is
first asked for: the first picture need not wait for what finds tissue, or reads a batch's ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from importlib import import_module
from typing import TypeAlias, cast

from wsicomp.errors import ConfigError, MaskError, WsicompError
from wsicomp.viewer.exchange import RefusedRequestError, Request, Response, json_response
from wsicomp.viewer.session import Session

Route: TypeAlias = Callable[[Session, Request], Response]

ROUTES: Mapping[tuple[str, str], str] = {
    ("GET", ""): "page_answers.page_answer",
    ("GET", "static"): "page_answers.static_answer",
    ("GET", "session.json"): "page_answers.session_answer",
    ("GET", "tiles"): "tile_answers.tile_answer",
    ("GET", "difference"): "tile_answers.difference_answer",
    ("GET", "similarity"): "tile_answers.likeness_answer",
    ("GET", "thumbnail"): "tile_answers.thumbnail_answer",
    ("GET", "outcomes"): "layer_answers.outcomes_answer",
    ("GET", "mask"): "layer_answers.mask_answer",
    ("GET", "worst"): "layer_answers.worst_answer",
    ("GET", "annotations"): "layer_answers.annotations_answer",
    ("GET", "associated"): "layer_answers.associated_answer",
    ("GET", "playground.json"): "what_if_answers.codecs_answer",
    ("GET", "playground"): "what_if_answers.playground_answer",
    ("POST", "estimate"): "what_if_answers.estimate_answer",
    ("POST", "outline"): "what_if_answers.outline_answer",
    ("GET", "archive.json"): "archive_answers.archive_answer",
    ("GET", "entry-thumbnail"): "archive_answers.archive_thumbnail",
    ("GET", "results"): "archive_answers.results_answer",
}
"""For the method and the first word of an address, the module and the function that answers it."""


@cache
def route_of(method: str, word: str) -> Route:
    """Return the function that answers addresses with this first word.

    Raises:
        RefusedRequestError: there is none.
    """
    name = ROUTES.get((method, word))
    if name is None:
        is_known = any(word == known for _, known in ROUTES)
        status = HTTPStatus.METHOD_NOT_ALLOWED if is_known else HTTPStatus.NOT_FOUND
        raise RefusedRequestError(status, "no such address")
    module, _, function = name.partition(".")
    return cast(Route, getattr(import_module(f"wsicomp.viewer.answers.{module}"), function))


def answer(session: Session, method: str, request: Request) -> Response:
    """Return the answer to a request; what is wrong with it is an answer too.

    No answer names a path of this machine.
    """
    try:
        with session.in_use():
            return route_of(method, request.words[0])(session, request)
    except RefusedRequestError as exc:
        return json_response({"error": exc.message}, exc.status)
    except WsicompError as exc:
        is_asked_wrong = isinstance(exc, (ConfigError, MaskError))
        status = HTTPStatus.BAD_REQUEST if is_asked_wrong else HTTPStatus.SERVICE_UNAVAILABLE
        return json_response({"error": ": ".join(filter(None, (exc.place, exc.message)))}, status)
