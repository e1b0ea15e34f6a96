"""Requests that no page of ours sends: the server refuses them, tells nothing, and lives on."""

import json
import logging
import os
import resource
import socket
import threading
import time

import psutil
import pytest

from tests.viewer.hostile_requests import ADDRESSES, BODIES, GARBAGE, NUMBERS, REGIONS
from tests.viewer.served import ask, send, serving
from wsicomp.errors import ConfigError
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.viewer.answers import what_if_answers
from wsicomp.viewer.answers.tile_answers import picture_response
from wsicomp.viewer.pictures.tile_pictures import TilePicture
from wsicomp.viewer.routes import answer
from wsicomp.viewer.server import MOST_BODY_BYTES, _host_names

TILE = "tiles/1/0/0/0"
FORM = SyntheticFormat(downsamples=(1, 4))


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("attacked") / "Patient Jane.svs"
    write_slide(path, SyntheticSlide(Size(2000, 1500), seed=3), FORM)
    return path


@pytest.fixture(scope="module")
def one_server(slide):
    with serving(slide) as server:
        yield server


@pytest.fixture
def server(one_server, caplog):
    """A server that answers after each test as it did before, and has logged no fault."""
    with caplog.at_level(logging.DEBUG, "wsicomp.viewer"):
        yield one_server
    assert ask(one_server, TILE).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def assert_tells_nothing(answer, server):
    """No path, no trace of our code, no token, no name of the slide."""
    text = answer if isinstance(answer, bytes) else answer.body + str(answer.headers).encode()
    told = (str(server.session.slides[1].shown.info.path.parent), "Traceback", ".py", "Python", "Jane")
    assert [each for each in (*told, server.token) if each.encode() in text] == []


def assert_refused(answer, server, *statuses):
    assert answer.status in statuses, answer
    assert list(json.loads(answer.body)) == ["error"]
    assert_tells_nothing(answer, server)


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "example.org:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1:{port}.example.org",
        "127.0.0.1:{port}@example.org",
        "",
        "127.0.0.1:{port}, example.org",
        "0.0.0.0:{port}",
        "localhost.:{port}",
    ],
)
def test_a_foreign_host_is_refused(server, host):
    host = host.format(port=server.server_port)
    for address in ("", TILE, "static/main.js", "session.json"):
        assert_refused(ask(server, address, Host=host), server, 421)


def test_a_request_without_host_is_refused(server):
    found = send(server, f"GET /{server.token}/ HTTP/1.0\r\n\r\n".encode())
    assert found.startswith(b"HTTP/1.1 421 ")
    assert_tells_nothing(found, server)


def test_the_names_of_this_machine_are_answered(server):
    for name in ("127.0.0.1", "localhost", "LocalHost"):
        assert ask(server, TILE, Host=f"{name}:{server.server_port}").status == 200


def test_browsers_leave_out_the_port_that_is_usual():
    assert {"localhost", "localhost:80", "[::1]"} <= set(_host_names("127.0.0.1", 80))
    assert set(_host_names("127.0.0.1", 8000)) == {"localhost:8000", "127.0.0.1:8000", "[::1]:8000"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/x/",
        "//",
        "/{start}/",
        "/{token}x/",
        "/{token}%00/",
        "/ {token}/",
        "/x/{token}/",
        "/../{token}/",
        "/%2e%2e/",
        "*",
        "/?{token}",
        "/{swapped}/session.json",
        "/%C3%A9/",
    ],
)
def test_without_the_token_nothing_is_answered(server, path):
    token = server.token
    path = path.format(token=token, start=token[:-1], swapped=token.swapcase())
    found = send(server, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode())
    status = int(found.split()[1])
    assert status in (400, 403), found
    assert_tells_nothing(found, server)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_reaches_another_file(server, address):
    answer = ask(server, address)
    if answer.status == 200:  # as a word more behind an address that needs none
        assert answer.body == ask(server, "session.json").body
    else:
        assert_refused(answer, server, 400, 404)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_malformed_number_is_refused(server, number):
    for address in (f"{number}/0/0/0", f"1/{number}/0/0", f"1/0/{number}/0", f"1/0/0/{number}"):
        assert_refused(ask(server, f"tiles/{address}"), server, 400, 404)
        assert_refused(ask(server, f"difference/1/{address}"), server, 400, 404)
    for kind in ("outcomes", "mask", "worst", "thumbnail", "annotations", "associated"):
        assert_refused(ask(server, f"{kind}/{number}"), server, 400, 404)


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_that_cannot_be_is_refused_or_bounded(server, region):
    process = psutil.Process()
    before = process.memory_info().rss
    for address in ("similarity/1/1", "playground/1"):
        answer = ask(server, f"{address}?{region}&codec=jpeg:60")
        assert answer.status in (200, 400, 404), answer
        assert_tells_nothing(answer, server)
    assert process.memory_info().rss - before < 200e6


def post(server, address, body, **headers):
    headers.setdefault("Content_Type", "application/json")
    return ask(server, address, "POST", body, **headers)


POSTS = ["estimate", "outline"]


@pytest.mark.parametrize("address", POSTS)
def test_a_body_that_is_too_large_is_not_read(server, address):
    stated = post(server, address, b"{}", Content_Length=str(MOST_BODY_BYTES + 1))
    assert_refused(stated, server, 413)
    for length in ("9" * 400, "-1", "+1", "0x10", "1e3", "", "²".encode().decode("latin-1"), "1, 1", "1_0"):
        assert_refused(post(server, address, b"{}", Content_Length=length), server, 411, 413)


@pytest.mark.parametrize("address", POSTS)
def test_a_body_in_chunks_is_refused(server, address):
    head = f"POST /{server.token}/{address} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = send(server, head.encode() + b"FFFFFFFF\r\n" + b"x" * 100_000)
    assert found.startswith(b"HTTP/1.1 411 ") or not found
    assert found.count(b"HTTP/1.1") <= 1


def test_the_rest_of_a_refused_body_is_no_request(server):
    smuggled = f"GET /{server.token}/{TILE} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n"
    for heads in (
        "Content-Length: 0",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: 9999999",
    ):
        head = (
            f"POST /{server.token}/estimate HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n{heads}\r\n"
        )
        found = send(server, f"{head}\r\n{smuggled}".encode())
        assert found.count(b"HTTP/1.1 200") == 0
    head = f"GET /{server.token}/session.json HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
    found = send(server, f"{head}Content-Length: {len(smuggled)}\r\n\r\n{smuggled}".encode())
    assert found.count(b"HTTP/1.1 200") == 0


@pytest.mark.parametrize("address", POSTS)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json"]
)
def test_what_a_foreign_form_can_send_is_refused(server, address, kind):
    assert_refused(post(server, address, b"{}", Content_Type=kind), server, 415)


@pytest.mark.parametrize("address", POSTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": ""},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}.example.org"},
        {"Origin": "http://localhost:{port}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://127.0.0.1:{port}", "Sec_Fetch_Site": "cross-site"},
    ],
    ids=str,
)
def test_a_post_of_another_page_is_refused(server, address, headers):
    headers = {name: value.format(port=server.server_port) for name, value in headers.items()}
    assert_refused(post(server, address, b"{}", **headers), server, 403)


@pytest.mark.parametrize("address", POSTS)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:70].decode("latin-1"))
def test_a_body_of_nonsense_is_refused(server, address, body):
    assert_refused(post(server, address, body), server, 400, 404, 503)


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 500]
)
def test_no_other_method_is_answered(server, method):
    for address in ("", TILE, "estimate"):
        answer = ask(server, address, method)
        assert_refused(answer, server, 400, 405, 501)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_picture_is_not_posted_and_an_estimate_not_got(server):
    assert_refused(post(server, TILE, b"{}"), server, 404, 405)
    for address in POSTS:
        assert_refused(ask(server, address), server, 404, 405)


def test_head_is_answered_without_a_body(server):
    answer = ask(server, TILE, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(ask(server, TILE).body)


def test_every_answer_forbids_what_a_page_could_do_with_it(server):
    for address in ("", TILE, "session.json", "nothing"):
        headers = ask(server, address).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Server"] is None
        assert headers["Access-Control-Allow-Origin"] is None
    policy = ask(server, "").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("data", GARBAGE, ids=lambda data: repr(data[:40]))
def test_garbage_is_refused(server, data):
    host = f"127.0.0.1:{server.server_port}"
    found = send(server, data.replace(b"{token}", server.token.encode()).replace(b"{host}", host.encode()))
    assert b"HTTP/1.1 200" not in found
    assert b"<" not in found
    assert_tells_nothing(found, server)


def test_a_thousand_parallel_requests_are_all_answered(server, monkeypatch):
    """More than there are connections, sent before the first is answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    monkeypatch.setattr(
        "wsicomp.viewer.server.answer", lambda *arguments: time.sleep(0.1) or answer(*arguments)
    )
    addresses = (TILE, "tiles/1/1/0/0?form=exact", "session.json")
    expected = [ask(server, address).body for address in addresses]
    heads = [
        f"GET /{server.token}/{address} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
        "Connection: close\r\n\r\n"
        for address in addresses
    ]
    connections = [opened(server, 1, heads[number % 3].encode())[0] for number in range(1000)]
    right = 0
    for number, connection in enumerate(connections):
        with connection, connection.makefile("rb") as incoming:
            right += incoming.read().endswith(b"\r\n\r\n" + expected[number % 3])
    assert right == 1000


def opened(server, count, start):
    """Connections that have sent only the start of a request."""
    found = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.server_port), timeout=30)
        connection.sendall(start)
        found.append(connection)
    return found


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /",
        b"POST /{token}/estimate HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000\r\n\r\n{",
    ],
    ids=["silent", "slow head", "slow body"],
)
def test_connections_that_say_nothing_keep_nobody_out(server, start):
    host = f"127.0.0.1:{server.server_port}"
    before = threading.active_count()
    held = opened(
        server, 400, start.replace(b"{token}", server.token.encode()).replace(b"{host}", host.encode())
    )
    try:
        assert [ask(server, TILE).status for _ in range(20)] == [200] * 20
        assert threading.active_count() - before < 200
    finally:
        for connection in held:
            connection.close()


def test_bombs_of_headers_take_bounded_memory(server):
    process = psutil.Process()
    before = process.memory_info().rss
    bomb = b"GET / HTTP/1.1\r\n" + (b"X: " + b"a" * 60_000 + b"\r\n") * 90
    held = opened(server, 100, b"")
    try:
        for connection in held:
            connection.settimeout(2)
            try:
                connection.sendall(bomb)
            except OSError:
                continue  # it was refused before its end
        assert ask(server, TILE).status == 200
        assert process.memory_info().rss - before < 300e6
    finally:
        for connection in held:
            connection.close()


def test_what_a_file_makes_a_decoder_say_adds_no_header():
    picture = TilePicture(b"", "image/png", "bad\r\nSet-Cookie: a=b\r\n\r\n<p>\x00\u2028\x85")
    (said,) = picture_response(picture).headers.values()
    assert said.isascii()
    assert said.isprintable()


def test_a_connection_that_is_left_alone_is_closed_without_a_word(server, monkeypatch, capfd):
    monkeypatch.setattr("wsicomp.viewer.server._Handler.timeout", 0.1)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        assert connection.recv(1) == b""
    assert capfd.readouterr() == ("", "")


def test_no_tile_waits_for_tries_and_those_that_nobody_waits_for_are_not_made(slide, monkeypatch):
    begun, may_end, made = threading.Event(), threading.Event(), []

    def encode(_slide, _view, codec):
        made.append(codec)
        begun.set()
        may_end.wait(30)
        raise ConfigError("tried")

    monkeypatch.setattr(what_if_answers, "encode_view", encode)
    place = "x=0&y=0&width=500&height=500&px=100"
    with serving(slide) as server:
        tries = [
            opened(
                server,
                1,
                f"GET /{server.token}/playground/1?{place}&codec=jpeg:{quality} HTTP/1.1\r\n"
                f"Host: 127.0.0.1:{server.server_port}\r\n\r\n".encode(),
            )[0]
            for quality in range(40, 60)
        ]
        assert begun.wait(30)
        assert ask(server, f"{TILE}?form=exact").status == 200
        assert len(made) == 1
        for each in tries:
            each.close()
        may_end.set()
        assert ask(server, f"playground/1?{place}&codec=jpeg:60").status == 400
    assert made[1:] == ["jpeg:60"]


@pytest.fixture(scope="module")
def bytes_of_a_slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("changed") / "slide.svs"
    write_slide(path, SyntheticSlide(Size(1500, 1000), seed=4), FORM)
    return path.read_bytes()


@pytest.mark.parametrize("way", ["removed", "cut", "emptied", "zeroed", "replaced"])
def test_a_slide_that_changes_under_the_server_is_told_as_damage(bytes_of_a_slide, way, tmp_path, caplog):
    path = tmp_path / "Patient Jane.svs"
    size = path.write_bytes(bytes_of_a_slide)
    with serving(path) as server:
        assert ask(server, TILE).status == 200
        match way:
            case "removed":
                path.unlink()
            case "cut":
                os.truncate(path, size // 3)
            case "emptied":
                os.truncate(path, 0)
            case "zeroed":
                path.write_bytes(b"\0" * size)
            case "replaced":
                _other(tmp_path).replace(path)
        answers = [
            ask(server, address)
            for address in (
                "session.json",
                "thumbnail/1",
                "similarity/1/1?x=0&y=0&width=500&height=500&px=100",
            )
        ]
        for form in ("auto", "exact"):
            for row in range(4):
                tiles = [ask(server, f"tiles/1/0/{column}/{row}?form={form}") for column in range(6)]
                tiles += [ask(server, f"difference/1/1/0/{column}/{row}") for column in range(6)]
                answers += tiles
        for answer in answers[1:]:
            assert answer.status in (200, 404, 503)  # 404: an address that this viewer has not
            assert_tells_nothing(answer, server)
        damaged = [
            answer.headers["Wsicomp-Damage"] for answer in answers if "Wsicomp-Damage" in answer.headers
        ]
        assert bool(damaged) == (way in ("cut", "emptied", "zeroed"))
    assert "Traceback" not in caplog.text


def _other(folder):
    other = folder / "other.svs"
    write_slide(other, SyntheticSlide(Size(900, 900), seed=5), FORM)
    return other
