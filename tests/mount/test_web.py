"""An archive over HTTP: any bytes of its originals, to this machine alone."""

import contextlib
import email
import http.client
import io
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.command_line import run_command
from tests.mount.conftest import write_conversion
from tests.paths import ROOT
from wsicomp import ConfigError
from wsicomp.mount.web.server import ArchiveServer


@pytest.fixture
def serve():
    """Start a server of an archive in this process; ended behind the test."""
    servers = []

    def started(archive, port=0, has_token=True, allow_origin=None):
        server = ArchiveServer(archive, port, None, has_token, allow_origin)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server, path, method="GET", **fields):
    """(status, headers, body) of one request behind the token; fields are spelled with underscores."""
    return ask_plainly(server, server.start.removesuffix("/") + path, method, **fields)


def ask_plainly(server, path, method="GET", **fields):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    try:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture
def one(drawn, serve):
    """A server, the bytes of a slide in it, and what is said of the slide."""
    data = (drawn / "sources/one.svs").read_bytes()
    server = serve(drawn / "archive")
    return server, data, ask(server, "/one.svs", "HEAD")[1]


def test_a_file_is_sent_whole(one):
    server, data, said = one
    status, headers, body = ask(server, "/one.svs")
    assert (status, body == data) == (200, True)
    assert headers["Content-Length"] == said["Content-Length"] == str(len(data))
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Last-Modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert headers["ETag"] == said["ETag"]
    assert headers["ETag"][0] == headers["ETag"][-1] == '"'
    assert ask(server, "/one.svs", "HEAD")[2] == b""


def test_pages_of_one_origin_may_ask_where_that_is_wanted(one, drawn, serve):
    closed, data, _ = one
    preflight = {
        "Origin": "https://viewer.lab",
        "Access_Control_Request_Method": "GET",
        "Access_Control_Request_Headers": "range",
        "Access_Control_Request_Private_Network": "true",
    }
    assert ask(closed, "/one.svs", "OPTIONS", **preflight)[0] == 405
    assert "Access-Control-Allow-Origin" not in ask(closed, "/one.svs", Origin="https://viewer.lab")[1]
    server = serve(drawn / "archive", allow_origin="https://viewer.lab")
    status, headers, body = ask(server, "/one.svs", "OPTIONS", **preflight)
    assert (status, body) == (204, b"")
    assert headers["Access-Control-Allow-Origin"] == "https://viewer.lab"
    assert headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert "Range" in headers["Access-Control-Allow-Headers"].split(", ")
    assert headers["Access-Control-Allow-Private-Network"] == "true"
    status, headers, body = ask(server, "/one.svs", Origin="https://viewer.lab", Range="bytes=5-9")
    assert (status, body) == (206, data[5:10])
    assert headers["Access-Control-Allow-Origin"] == "https://viewer.lab"
    assert {"Content-Range", "ETag"} <= set(headers["Access-Control-Expose-Headers"].split(", "))
    assert ask_plainly(server, "/one.svs", "OPTIONS", **preflight)[0] == 403, "without the token"
    assert ask(server, "/one.svs", "OPTIONS", **preflight, Host="viewer.lab")[0] == 421


@pytest.mark.parametrize(
    "origin", ["", "viewer.lab", "https://viewer.lab/", "https://a\r\nSet-Cookie: b", "*,*"]
)
def test_what_is_no_origin_is_refused(drawn, origin):
    code, _, err = run_command("serve", drawn / "archive", "--allow-origin", origin)
    assert (code, err.count("\n")) == (2, 1)
    assert "--allow-origin is" in err


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://Viewer.lab:443", "https://viewer.lab"),
        ("HTTP://[::A]:80", "http://[::a]"),
        ("http://viewer.lab:443", "http://viewer.lab:443"),
        ("https://viewer.lab:0080", "https://viewer.lab:80"),
        ("*", "*"),
    ],
)
def test_an_origin_is_sent_as_browsers_write_it(drawn, serve, given, sent):
    assert ask(serve(drawn / "archive", allow_origin=given), "/")[1]["Access-Control-Allow-Origin"] == sent


def test_not_every_website_may_read_what_needs_no_token(drawn, serve):
    code, _, err = run_command("serve", drawn / "archive", "--no-token", "--allow-origin", "*")
    assert (code, err.count("\n")) == (2, 1)
    assert "--allow-origin is '*' without a token: any website" in err
    server = serve(drawn / "archive", has_token=False, allow_origin="https://viewer.lab")
    assert ask_plainly(server, "/one.svs", "HEAD")[0] == 200


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-1099", 100, 1100),
        ("bytes=100-", 100, None),
        ("bytes=-500", -500, None),
        ("bytes=0-99999999999999", 0, None),
        ("bytes=-99999999999999", 0, None),
        ("Bytes= 5-9 ", 5, 10),
        ("bytes=5-9,99999999999-", 5, 10),
        ("bytes=100-18446744073709551615", 100, None),
        ("bytes=-18446744073709551615", 0, None),
        ("bytes=00000000000000000000000000000000000100-109", 100, 110),
    ],
)
def test_a_range_is_sent_alone(one, asked, start, end):
    server, data, _ = one
    status, headers, body = ask(server, "/one.svs", Range=asked)
    wanted = data[start:end]
    first = len(data) + start if start < 0 else start
    assert (status, body == wanted) == (206, True)
    assert headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(data)}"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=",
        "bytes=-",
        "bytes=9-5",
        "bytes=a-b",
        "lines=0-1",
        "bytes",
        "bytes=0-1,x",
        "bytes=" + "0-1," * 101,
        "bytes=0-,0-,0-",
        "bytes=\xd9\xa1-5",
    ],
)
def test_a_range_that_says_nothing_sound_is_not_heeded(one, asked):
    server, data, _ = one
    status, headers, body = ask(server, "/one.svs", Range=asked)
    assert (status, body == data, "Content-Range" in headers) == (200, True, False)


@pytest.mark.parametrize(
    "asked", ["bytes=99999999999-", "bytes=9999999999999999999999-", "bytes=-0", "bytes=99999999999-,-0"]
)
def test_a_range_beyond_the_end_cannot_be_sent(one, asked):
    server, data, _ = one
    status, headers, body = ask(server, "/one.svs", Range=asked)
    assert (status, headers["Content-Range"], body) == (416, f"bytes */{len(data)}", b"")


def test_several_ranges_come_as_parts(one):
    server, data, _ = one
    status, headers, body = ask(server, "/one.svs", Range="bytes=0-9,-7, 1000-2999")
    assert status == 206
    message = email.message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
    assert message.get_content_type() == "multipart/byteranges"
    wanted = [(0, 10), (len(data) - 7, len(data)), (1000, 3000)]
    for part, (start, end) in zip(message.get_payload(), wanted, strict=True):
        assert part["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
    whole = body.split(b"\r\n\r\n")
    assert len(body) == int(headers["Content-Length"])
    assert all(
        any(data[start:end] in piece for piece in whole) or data[start:end] in body for start, end in wanted
    )


OLD, LATER = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2021 00:00:00 GMT"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"If_None_Match": "TAG"}, 304),
        ({"If_None_Match": 'W/TAG, "x"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"x"', "If_Modified_Since": LATER}, 200),
        ({"If_Modified_Since": LATER}, 304),
        ({"If_Modified_Since": "CHANGED"}, 304),
        ({"If_Modified_Since": OLD}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Match": "TAG"}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": "W/TAG"}, 412),
        ({"If_Match": '"x"'}, 412),
        ({"If_Unmodified_Since": OLD}, 412),
        ({"If_Unmodified_Since": "CHANGED"}, 200),
        ({"Range": "bytes=0-1", "If_Range": "TAG"}, 206),
        ({"Range": "bytes=0-1", "If_Range": "W/TAG"}, 200),
        ({"Range": "bytes=0-1", "If_Range": '"x"'}, 200),
        ({"Range": "bytes=0-1", "If_Range": "CHANGED"}, 206),
        ({"Range": "bytes=0-1", "If_Range": LATER}, 200),
        ({"Range": "bytes=0-1", "If_Match": '"x"'}, 412),
        ({"Range": "bytes=0-1", "If_None_Match": "TAG"}, 304),
    ],
)
def test_conditions_are_heeded(one, fields, status):
    server, _, said = one
    filled = {
        name: value.replace("TAG", said["ETag"]).replace("CHANGED", said["Last-Modified"])
        for name, value in fields.items()
    }
    found, headers, body = ask(server, "/one.svs", **filled)
    assert found == status
    assert headers["ETag"] == said["ETag"]
    assert bool(body) == (status in (200, 206))


def test_a_range_is_of_no_use_to_head(one):
    server, data, _ = one
    status, headers, _ = ask(server, "/one.svs", "HEAD", Range="bytes=0-1")
    assert (status, headers["Content-Length"]) == (200, str(len(data)))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "announced",
    [
        "Content-Length: {}",
        "Content-Length: 0\r\nContent-Length: {}",
        "Transfer-Encoding: chunked",
        "X : y\r\nContent-Length: {}",
    ],
)
def test_what_is_in_a_body_is_no_request(drawn, serve, method, announced):
    server = serve(drawn / "archive", allow_origin="https://viewer.lab")
    host = f"Host: 127.0.0.1:{server.server_port}\r\n"
    inner = f"GET {server.start}notes.txt HTTP/1.1\r\n{host}\r\n"
    outer = f"{method} {server.start} HTTP/1.1\r\n{host}{announced.format(len(inner))}\r\n\r\n"
    assert said_to(server, outer + inner).count(b"HTTP/1.1 ") == 1


def test_requests_without_a_body_share_a_connection(one):
    asked = f"HEAD {one[0].start} HTTP/1.1\r\nHost: 127.0.0.1:{one[0].server_port}\r\nContent-Length: 0\r\n"
    said = said_to(one[0], f"{asked}\r\n{asked}Connection: close\r\n\r\n")
    assert said.count(b"HTTP/1.1 200 ") == 2


def said_to(server, text):
    """All that the server says to a program that sends this text, until one of them ends."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65536):
                said += data
        return said


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_reading_is_allowed(one, method):
    status, headers, _ = ask(one[0], "/one.svs", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/../sources/one.svs",
        "/%2e%2e/sources/one.svs",
        "/sub/..%2f..%2fsources/one.svs",
        "//etc/passwd",
        "/sub//two.tif",
        "/missing",
        "/one.svs/",
        "/one.svs/x",
        "/%00",
        "/.",
        "/link",
        "/.wsicomp",
        "/" + "x" * 300,
    ],
)
def test_no_path_leads_out_of_the_tree(trees, serve, path):
    sources, archive = trees
    (archive / "link").symlink_to(sources / "one.svs")
    (archive / ".wsicomp").mkdir()
    assert ask(serve(archive), path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil:80"])
def test_a_request_under_another_name_is_refused(one, host):
    assert ask(one[0], "/one.svs", Host=host)[0] == 421


def test_only_who_has_the_token_is_answered(drawn, serve):
    server = serve(drawn / "archive")
    other = server.start[:-2] + ("x" if server.start[-2] != "x" else "y")
    for path in (
        "/",
        "/one.svs",
        f"{other}/one.svs",
        server.start.removesuffix("/"),
    ):
        assert ask_plainly(server, path)[0] == 403
    assert server.address.endswith(server.start)
    assert ask_plainly(server, f"{server.start}one.svs", "HEAD")[0] == 200
    assert ask_plainly(serve(drawn / "archive", has_token=False), "/one.svs", "HEAD")[0] == 200


def test_it_listens_on_the_loopback_address_alone(one):
    assert one[0].server_address[0] == "127.0.0.1"
    assert ask(one[0], "/one.svs", "HEAD", Host=f"localhost:{one[0].server_port}")[0] == 200


def test_folders_are_listed_as_pages_and_as_json(trees, serve):
    _, archive = trees
    name = 'a <b>&"#?%é\n.txt'
    (archive / "sub" / name).write_text("x")
    server = serve(archive)
    status, headers, body = ask(server, "/sub", Accept="application/json")
    assert (status, headers["Location"]) == (301, "./sub/")
    status, headers, body = ask(server, "/sub/", Accept="application/json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    rows = {row["name"]: row for row in json.loads(body)}
    assert {*rows} == {"two.tif", "table.csv", name}
    assert rows["two.tif"]["bytes"] == int(ask(server, "/sub/two.tif", "HEAD")[1]["Content-Length"])
    assert json.loads(ask(server, "/sub/?json")[2]) == json.loads(body)
    for row in rows.values():
        assert ask(server, "/sub/" + row["href"], "HEAD")[0] == 200
    status, headers, body = ask(server, "/sub/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<b>" not in body
    assert f'href="{quote(name, safe="")}"'.encode() in body
    assert b'href="sub/"' in ask(server, "/")[2]


def test_a_name_that_is_no_text_can_be_asked_for(trees, serve):
    _, archive = trees
    (archive / os.fsdecode(b"\xff.txt")).write_text("x")
    server = serve(archive)
    hrefs = [row["href"] for row in json.loads(ask(server, "/?json")[2])]
    assert "%FF.txt" in hrefs
    assert ask(server, "/%FF.txt")[2] == b"x"


def test_damage_is_an_error_and_no_bytes(trees, serve, caplog):
    sources, archive = trees
    before, path = (sources / "one.svs").read_bytes(), archive / "one.svs.tiff"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)
    server = serve(archive)
    found = set()
    for start in range(0, len(before), 8192):
        end = min(start + 8192, len(before))
        status, _, body = ask(server, "/one.svs", Range=f"bytes={start}-{end - 1}")
        found.add(status)
        assert (status, body) in ((206, before[start:end]), (500, b""))
    assert found == {206, 500}
    assert ask(server, "/one.svs")[::2] == (500, b"")
    assert "damaged" in caplog.text


def test_another_file_has_another_tag(trees, serve, tmp_path):
    _, archive = trees
    server = serve(archive)
    tag = ask(server, "/one.svs", "HEAD")[1]["ETag"]
    write_conversion(tmp_path / "other/one.svs", tmp_path / "other/one.svs.tiff", seed=9)
    (tmp_path / "other/one.svs.tiff").replace(archive / "one.svs.tiff")
    status, headers, body = ask(server, "/one.svs", Range="bytes=0-9", If_Range=tag)
    assert (status, headers["ETag"] != tag) == (200, True)
    assert body == (tmp_path / "other/one.svs").read_bytes()


def test_many_programs_read_at_once(one):
    server, data, _ = one

    def read(seed):
        start = random.Random(seed).randrange(len(data))
        return ask(server, "/one.svs", Range=f"bytes={start}-")[2] == data[start:]

    with ThreadPoolExecutor(64) as readers:
        assert all(readers.map(read, range(200)))


def test_a_port_that_is_taken_is_told_in_a_line(drawn, serve):
    server = serve(drawn / "archive")
    with pytest.raises(ConfigError, match=f"cannot listen on port {server.server_port}"):
        ArchiveServer(drawn / "archive", server.server_port)
    code, _, err = run_command("serve", drawn / "archive", "--port", server.server_port)
    assert (code, err.count("\n")) == (2, 1)


def test_fsspec_and_tifffile_read_a_slide(one):
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    tifffile = pytest.importorskip("tifffile")
    server, data, _ = one
    address = f"{server.address}one.svs"
    with fsspec.open(address, block_size=10_000) as file, tifffile.TiffFile(file) as found:
        level = found.pages[0].asarray()
    with tifffile.TiffFile(io.BytesIO(data)) as source:
        assert (level == source.pages[0].asarray()).all()
    names = fsspec.filesystem("http").ls(server.address, detail=False)
    assert address in names


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="GDAL's programs are not installed")
def test_gdal_reads_a_slide(one, drawn):
    def checksum(path):
        out = subprocess.run(
            ["gdalinfo", "-checksum", path], capture_output=True, check=True, text=True
        ).stdout
        return [line for line in out.splitlines() if "Checksum" in line or "Size is" in line]

    assert checksum(f"/vsicurl/{one[0].address}one.svs") == checksum(drawn / "sources/one.svs")


def test_the_command_serves_until_it_is_ended(drawn):
    command = [sys.executable, "-m", "wsicomp", "serve", drawn / "archive", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        address = json.loads(process.stdout.readline())["address"]
        _, _, host, token, _ = address.split("/")
        connection = http.client.HTTPConnection(host)
        connection.request("GET", f"/{token}/sub/two.tif")
        assert connection.getresponse().read() == (drawn / "sources/sub/two.tif").read_bytes()
        connection.close()
        process.terminate()
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0
