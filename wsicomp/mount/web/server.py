"""An HTTP server of an archive's originals, any bytes of them, for programs on this machine.

It listens on the loopback address alone, and answers requests that name it so: a page of another host cannot
make a browser ask in its name. Nothing can be written.
"""

from __future__ import annotations

import errno
import hmac
import logging
import mimetypes
import os
import re
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from email.message import Message
from hashlib import blake2b
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from wsicomp.errors import ConfigError, WsicompError
from wsicomp.files.inputs import given_path, reason
from wsicomp.formats.originals.unit_cache import UnitCache
from wsicomp.mount.archives import check_archive
from wsicomp.mount.held_originals import held_originals, open_held
from wsicomp.mount.open_files import Handle, OpenFiles
from wsicomp.mount.options import TreeOptions
from wsicomp.mount.patience import Patience
from wsicomp.mount.shown import ShownFile, ShownFolder, ShownLink
from wsicomp.mount.tree import ArchiveTree
from wsicomp.mount.web.conditions import ByteSpan, FileState, asked_spans, now_s, status_of
from wsicomp.mount.web.pages import folder_json, folder_page
from wsicomp.text.escaping import printable
from wsicomp.version import PROGRAM

_log = logging.getLogger(__name__)

StrPath = str | os.PathLike[str]

_LOOPBACK = "127.0.0.1"
_NAMES = (_LOOPBACK, "localhost", "[::1]")
_HTTP_PORT = 80
_MOST_CONNECTIONS = 128
_IDLE_S = 30.0
_STEP_BYTES = 1 << 20
_BINARY = "application/octet-stream"
_ASK_AGAIN = {"Cache-Control": "no-cache"}
_ORIGIN = re.compile(r"(https?)://([\w.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", re.ASCII)
_OWN_PORTS = {"http": _HTTP_PORT, "https": 443}
_TOLD_TO_PAGES = "Accept-Ranges, Content-Length, Content-Range, ETag, Last-Modified"
_ASKED_BY_PAGES = "Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range"
_PRIVATE = "Access-Control-{}-Private-Network"


class ArchiveServer(ThreadingHTTPServer):
    """A server of an archive's originals over HTTP, for programs on this machine, until it is closed.

    It is found at `address`, and answers while `serve_forever` runs. Closing it closes all files.

    Args:
        archive: A batch's archive, any other folder, or one file.
        port: The port to listen on; 0 for any that is free.
        options: How the tree is read.
        has_token: Whether addresses begin with a random token, so that of this machine's users only those
            who are told it can ask.
        allow_origin: The origin whose pages may ask in a browser, such as "https://viewer.lab"; "*" for any
            that know the token, None for none but its own.

    Raises:
        ConfigError: It cannot listen there, or `allow_origin` is no origin, or "*" without a token.
        SlideReadError: There is no such archive, or it cannot be read.

    Examples:
        >>> with wsicomp.ArchiveServer("archive", 8080) as server:  # doctest: +SKIP
        ...     server.serve_forever()
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(
        self,
        archive: StrPath,
        port: int = 0,
        options: TreeOptions | None = None,
        has_token: bool = True,
        allow_origin: str | None = None,
    ) -> None:
        self.allow_origin = None if allow_origin is None else _checked_origin(allow_origin, has_token)
        """The origin whose pages may ask, as browsers write it."""
        options = options or TreeOptions()
        cache = UnitCache(options.cache_mb << 20)
        check_archive(given_path(archive))
        self.tree = ArchiveTree(given_path(archive), held_originals, Patience(options.timeout_s))
        self.files = OpenFiles(self.tree, lambda path: open_held(path, cache))
        self._room = BoundedSemaphore(_MOST_CONNECTIONS)
        try:
            super().__init__((_LOOPBACK, port), _Handler)
        except OSError as exc:
            message = f"it cannot listen on port {port} ({reason(exc)}); choose another"
            raise ConfigError(message) from exc
        end = "" if self.server_port == _HTTP_PORT else f":{self.server_port}"
        self.hosts = frozenset(f"{name}{part}" for name in _NAMES for part in {end, f":{self.server_port}"})
        self.start = f"/{secrets.token_urlsafe(16)}/" if has_token else "/"
        self.address = f"http://{_LOOPBACK}{end}{self.start}"

    def server_bind(self) -> None:
        """Bind the socket without asking a name server for this machine's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, once there are not too many."""
        self._room.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log an error without what was asked for: a program that goes away is no fault."""
        _log.debug("a request ended early", exc_info=True)

    def server_close(self) -> None:
        """Close the socket and all files."""
        super().server_close()
        self.files.close_all()
        self.tree.patience.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: ArchiveServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    server_version, sys_version = PROGRAM, ""

    def parse_request(self) -> bool:
        """Read what is asked for; where a body may follow, which is never read, nothing is read behind it."""
        is_sound = super().parse_request()
        if is_sound and _may_have_body(self.headers):
            self.close_connection = True
        return is_sound

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _refuse(self) -> None:
        self.close_connection = True  # what it sends is not read
        self._end(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_DELETE = do_PATCH = _refuse  # noqa: N815 - as the library calls them

    def do_OPTIONS(self) -> None:
        """Tell a browser what a page of the allowed origin may ask."""
        if self.server.allow_origin is None:
            self._refuse()
        elif self._is_let_in():
            said = {
                "Access-Control-Allow-Methods": "GET, HEAD",
                "Access-Control-Allow-Headers": _ASKED_BY_PAGES,
            }
            if self.headers.get(_PRIVATE.format("Request")) == "true":
                said[_PRIVATE.format("Allow")] = "true"
            self._end(HTTPStatus.NO_CONTENT, said, has_length=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer a request that cannot be read, without a page that repeats it."""
        self.close_connection = True
        with suppress(ValueError):
            self._end(HTTPStatus(code))

    def _is_let_in(self) -> bool:
        """Return whether a request names this machine, and the token; answer it where it does not."""
        if (self.headers.get("Host") or "").lower() not in self.server.hosts:
            self.close_connection = True
            self._end(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        if not _begins_with(self.path, self.server.start):
            self.close_connection = True
            self._end(HTTPStatus.FORBIDDEN)
            return False
        return True

    def _answer(self) -> None:
        if not self._is_let_in():
            return
        path = _tree_path(self.path[len(self.server.start) - 1 :])
        if path is None:
            self._end(HTTPStatus.NOT_FOUND)
            return
        try:
            self._answer_path(path)
        except (BrokenPipeError, ConnectionError, TimeoutError):
            raise
        except OSError as exc:
            self._fail(path, exc)
        except Exception as exc:  # of a stranger's file; the server outlives it
            _log.error("%s: %s", printable(path), type(exc).__name__)
            _log.debug("that request", exc_info=True)
            self.close_connection = True
            self._end(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _answer_path(self, path: str) -> None:
        shown = self.server.tree.find(path.removesuffix("/"))
        if isinstance(shown, ShownLink) or (isinstance(shown, ShownFile) and path.endswith("/")):
            self._end(HTTPStatus.NOT_FOUND)
        elif isinstance(shown, ShownFolder):
            self._send_folder(path)
        else:
            self._send_file(path)

    def _fail(self, path: str, exc: OSError) -> None:
        """Answer that something cannot be read; where the answer has begun, cut it off."""
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            self._end(HTTPStatus.NOT_FOUND)
        elif exc.errno in (errno.EACCES, errno.EPERM):
            self._end(HTTPStatus.FORBIDDEN)
        else:
            _log.error("%s: %s", printable(path), exc if isinstance(exc, WsicompError) else exc.strerror)
            self._end(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _send_folder(self, path: str) -> None:
        parts = urlsplit(self.path)
        if path and not path.endswith("/"):
            last = parts.path.rpartition("/")[2]
            self._end(HTTPStatus.MOVED_PERMANENTLY, {"Location": f"./{last}/"})
            return
        children = self.server.tree.children(path.removesuffix("/"))
        if parts.query == "json" or "application/json" in self.headers.get("Accept", ""):
            self._send_whole("application/json", folder_json(children))
        else:
            self._send_whole("text/html; charset=utf-8", folder_page(path, children))

    def _send_whole(self, kind: str, data: bytes) -> None:
        self._begin(
            HTTPStatus.OK,
            {
                "Content-Type": kind,
                "Content-Length": str(len(data)),
                "Vary": "Accept",
                **_ASK_AGAIN,
            },
        )
        if self.command == "GET":
            self.wfile.write(data)

    def _send_file(self, path: str) -> None:
        number, handle = self.server.files.open(path)
        try:
            self._send_opened(number, handle)
        finally:
            self.server.files.close(number)

    def _send_opened(self, number: int, handle: Handle) -> None:
        state = _state(handle.shown)
        known = {"ETag": state.tag, "Last-Modified": state.changed, "Accept-Ranges": "bytes", **_ASK_AGAIN}
        fields = {name.lower(): value for name, value in self.headers.items()}
        status = status_of(fields, state)
        if status is not HTTPStatus.OK:
            self._end(status, known, has_length=status is not HTTPStatus.NOT_MODIFIED)
            return
        spans = asked_spans(fields, state) if self.command == "GET" else None
        kind = _kind(handle.path)
        if spans == ():
            unmet = {**known, "Content-Range": f"bytes */{state.total_bytes}"}
            self._end(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, unmet)
        elif spans is None:
            whole = ByteSpan(0, state.total_bytes)
            self._send_parts(number, HTTPStatus.OK, {**known, "Content-Type": kind}, [(b"", whole)], b"")
        elif len(spans) == 1:
            said = {**known, "Content-Type": kind, "Content-Range": _content_range(spans[0], state)}
            self._send_parts(number, HTTPStatus.PARTIAL_CONTENT, said, [(b"", spans[0])], b"")
        else:
            mark = secrets.token_hex(16)
            said = {**known, "Content-Type": f"multipart/byteranges; boundary={mark}"}
            parts = [(_part_head(mark, kind, span, state), span) for span in spans]
            self._send_parts(number, HTTPStatus.PARTIAL_CONTENT, said, parts, f"\r\n--{mark}--\r\n".encode())

    def _send_parts(
        self,
        number: int,
        status: HTTPStatus,
        said: dict[str, str],
        parts: Sequence[tuple[bytes, ByteSpan]],
        end: bytes,
    ) -> None:
        """Send ranges of a file, each behind what is said of it.

        The first bytes are read before anything is sent, so that their damage is an error of the server.
        """
        length = sum(len(head) + span.end - span.start for head, span in parts) + len(end)
        said = {**said, "Content-Length": str(length)}
        if self.command == "HEAD":
            self._begin(status, said)
            return
        blocks = self._blocks(number, parts, end)
        first = next(blocks)
        self._begin(status, said)
        self.wfile.write(first)
        try:
            for block in blocks:
                self.wfile.write(block)
        except (BrokenPipeError, ConnectionError, TimeoutError):
            raise
        except OSError as exc:
            _log.error("%s: %s", printable(self.path), exc if isinstance(exc, WsicompError) else exc.strerror)
            self.close_connection = True  # fewer bytes than were announced: the other side knows

    def _blocks(self, number: int, parts: Sequence[tuple[bytes, ByteSpan]], end: bytes) -> Iterator[bytes]:
        for head, span in parts:
            if head:
                yield head
            for start in range(span.start, span.end, _STEP_BYTES):
                wanted = min(_STEP_BYTES, span.end - start)
                data = self.server.files.read(number, start, wanted)
                if len(data) < wanted:
                    raise OSError(errno.ESTALE, "it became shorter meanwhile")
                yield data
        yield end

    def _end(self, status: HTTPStatus, said: dict[str, str] | None = None, has_length: bool = True) -> None:
        """Answer without a body."""
        self._begin(status, {**(said or {}), **({"Content-Length": "0"} if has_length else {})})

    def _begin(self, status: HTTPStatus, said: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in said.items():
            self.send_header(name, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if self.server.allow_origin is not None:
            self.send_header("Access-Control-Allow-Origin", self.server.allow_origin)
            self.send_header("Access-Control-Expose-Headers", _TOLD_TO_PAGES)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _checked_origin(text: str, has_token: bool) -> str:
    """Return an origin as a browser writes it: in lower case, and without the port of its scheme.

    Raises:
        ConfigError: it is none, or any without a token.
    """
    if text == "*":
        if not has_token:
            said = "`allow_origin` is '*' without a token: any website that somebody on this machine visits"
            raise ConfigError(f"{said} could read the slides; name one origin, or keep the token")
        return text
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        raise ConfigError(f"`allow_origin` is {text!r}; name an origin as https://viewer.lab or *")
    scheme, host, port = found.groups()
    is_its_own = port is None or int(port) == _OWN_PORTS[scheme]
    return f"{scheme}://{host}" if is_its_own else f"{scheme}://{host}:{int(port)}"


def _may_have_body(fields: Message) -> bool:
    """Return whether a request's fields announce a body, or leave open where they end."""
    lengths = {text.strip() for text in fields.get_all("Content-Length", [])}
    return "Transfer-Encoding" in fields or bool(lengths - {"0"}) or bool(fields.defects)


def _begins_with(address: str, start: str) -> bool:
    return hmac.compare_digest(address[: len(start)].encode(), start.encode())


def _tree_path(address: str) -> str | None:
    """Return the path in the tree that an address names; None for one that names none."""
    try:
        raw = unquote_to_bytes(urlsplit(address).path)
    except ValueError:
        return None
    path = raw.decode("utf-8", "surrogateescape")
    parts = path.removeprefix("/").removesuffix("/").split("/")
    if not path.startswith("/") or "\0" in path or (parts != [""] and {"", ".", ".."} & {*parts}):
        return None
    return path.removeprefix("/")


def _state(shown: ShownFile) -> FileState:
    identity = blake2b(repr((shown.version, shown.bytes)).encode("utf-8", "surrogateescape"), digest_size=16)
    changed_s = min(max(0, shown.mtime_ns // 10**9), now_s())
    return FileState(shown.bytes, f'"{identity.hexdigest()}"', changed_s)


def _kind(path: str) -> str:
    """Return the media type of a file; pages and the like are no more than bytes, for they could run here."""
    kind = mimetypes.guess_type(path)[0] or _BINARY
    return kind if kind.startswith("image/") and "svg" not in kind else _BINARY


def _content_range(span: ByteSpan, state: FileState) -> str:
    return f"bytes {span.start}-{span.end - 1}/{state.total_bytes}"


def _part_head(mark: str, kind: str, span: ByteSpan, state: FileState) -> bytes:
    lines = (
        f"\r\n--{mark}",
        f"Content-Type: {kind}",
        f"Content-Range: {_content_range(span, state)}",
        "\r\n",
    )
    return "\r\n".join(lines).encode()
