"""The viewer: from the command to the first full view, panning, memory, and beside openslide-python's server.

The first view is timed from the start of `wsicomp view` until a browser that runs already has drawn every
tile in sight. While the page pans, tiles and frames are counted. Then clients ask for tiles as fast as they
come, and the server's memory is read. Beside it the same clients ask for tiles of the same slide as
openslide-python's `deepzoom_server.py` makes and serves them (`scripts/deepzoom_server.py`; scripts/readers
installs what it needs). Without chromium, which scripts/browser installs, the first two are left out.
"""

import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import large_slides
import psutil
import ratios
import results_page
from usage import parser_of

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.programs import INSTALLED
from tests.viewer import browser

PEER_PYTHON = INSTALLED / "deepzoom/bin/python"
PEER = Path(__file__).with_name("deepzoom_server.py")
FOLDER = Path(".bench")
CLIENTS = 4
OURS, EXACT, DEEPZOOM = "JPEG as stored", "decoded, as PNG", "openslide-python's deepzoom server"
PAN = """
const [done, seconds] = [arguments[1], arguments[0]];
const panes = wsicomp.panes;
panes.moveTo({x: panes.slide.width * 0.2, y: panes.slide.height * 0.3, scale: 1}, true);
const isTile = ({name}) => name.includes('/tiles/');
const tiles = () => performance.getEntriesByType('resource').filter(isTile).length;
performance.setResourceTimingBufferSize(100000);
const [start, before] = [performance.now(), tiles()];
let frames = 0;
const step = () => {
    frames += 1;
    const passed = (performance.now() - start) / 1000;
    const x = panes.slide.width * (0.2 + 0.06 * passed);
    const y = panes.slide.height * (0.3 + 0.03 * Math.sin(passed * 3));
    panes.moveTo({x, y, scale: 1}, true);
    if (passed < seconds) requestAnimationFrame(step);
    else done([(tiles() - before) / passed, frames / passed]);
};
requestAnimationFrame(step);
"""


@dataclass(frozen=True)
class Served:
    """The figures of a server while its clients asked."""

    tiles_per_s: float
    cpu_ms: float
    """Processor time of the server for a tile."""
    peak_mb: float
    """Its largest resident memory until then."""


@contextmanager
def viewer(slide: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`wsicomp view` of a slide, and its address."""
    command = [sys.executable, "-m", "wsicomp", "view", str(slide), "--no-browser", "--json"]
    with started(command) as process:
        assert process.stdout
        yield process, json.loads(process.stdout.readline())["address"]


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process, ended with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def first_view(driver: Any, slide: Path) -> tuple[float, float]:
    """Seconds from the start of the command to its address, and to the full view."""
    start = time.perf_counter()
    with viewer(slide) as (_, address):
        known = time.perf_counter() - start
        show(driver, address)
        full = time.perf_counter() - start
    driver.get("about:blank")
    return known, full


def show(driver: Any, address: str) -> None:
    """Open a page and wait until every tile in sight is drawn."""
    driver.get(address)
    browser.until(lambda: driver.execute_script("return Boolean(window.wsicomp)"), "the page")
    driver.execute_async_script("wsicomp.ready.then(() => arguments[0](true))")


def panned(driver: Any, slide: Path, seconds: float) -> tuple[float, float]:
    """Tiles and frames a second while the page pans over level 0."""
    with viewer(slide) as (_, address):
        show(driver, address)
        driver.set_script_timeout(seconds + 30)
        tiles, frames = driver.execute_async_script(PAN, seconds)
        driver.get("about:blank")
    return tiles, frames


def asked(port: int, paths: list[str]) -> int:
    """Ask for one path after the other, on one connection if the server keeps it; the bytes that came."""
    left = deque(paths)
    total = 0
    while left:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            is_open = True
            while left and is_open:
                request = f"GET {left.popleft()} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
                connection.sendall(request.encode())
                length, is_open = received(connection)
                total += length
    return total


def received(connection: socket.socket) -> tuple[int, bool]:
    """Read one answer; the bytes of its body, and whether the server keeps the connection."""
    data = connection.recv(1 << 18)
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += connection.recv(1 << 18)
    head = data[:end].lower()
    if head.split()[1] != b"200":
        raise RuntimeError(head.decode())
    length = int(head.partition(b"content-length:")[2].split()[0])
    left = length - (len(data) - end - 4)
    while left > 0:
        left -= len(connection.recv(min(left, 1 << 18)))
    return length, b"connection: close" not in head


def load(process: subprocess.Popen[str], port: int, paths: list[str], clients: int) -> Served:
    """Let clients of a process each ask a server for their share of the paths."""
    server = psutil.Process(process.pid)
    with ProcessPoolExecutor(clients, get_context("spawn")) as pool:
        list(pool.map(asked, [port] * clients, [paths[:1]] * clients))
        before, start = sum(server.cpu_times()[:2]), time.perf_counter()
        list(pool.map(asked, [port] * clients, [paths[number::clients] for number in range(clients)]))
        wall, cpu = time.perf_counter() - start, sum(server.cpu_times()[:2]) - before
    return Served(len(paths) / wall, cpu / len(paths) * 1000, peak_mb(server))


def peak_mb(server: psutil.Process) -> float:
    """The largest resident memory of a process in MB."""
    try:
        text = Path(f"/proc/{server.pid}/status").read_text()
    except OSError:
        return server.memory_info().rss / 1e6
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def ours(slide: Path, count: int, query: str, clients: int) -> Served:
    """The viewer's server, asked for tiles of level 0 in random order."""
    with viewer(slide) as (process, address):
        port = int(address.split(":")[2].partition("/")[0])
        token = address.split("/")[3]
        level = session(port, token)["slides"][0]["levels"][0]
        rng = random.Random(3)
        paths = [
            f"/{token}/tiles/1/0/{rng.randrange(level['columns'])}/{rng.randrange(level['rows'])}?{query}"
            for _ in range(count)
        ]
        return load(process, port, paths, clients)


def session(port: int, token: str) -> Any:
    with urlopen(f"http://127.0.0.1:{port}/{token}/session.json") as answer:
        return json.load(answer)


def deepzoom(slide: Path, count: int, clients: int) -> Served:
    """openslide-python's way, asked for tiles of its finest level in random order."""
    with started([str(PEER_PYTHON), str(PEER), str(slide)]) as process:
        assert process.stdout
        port, level, columns, rows = map(int, process.stdout.readline().split())
        rng = random.Random(3)
        paths = [f"/{level}/{rng.randrange(columns)}/{rng.randrange(rows)}" for _ in range(count)]
        return load(process, port, paths, clients)


def in_browser(slide: Path, rounds: int, seconds: float) -> str:
    """The part of the report that needs a browser."""
    if reason := browser.missing():
        return f"Without a browser: {reason}."
    with browser.started() as driver:
        browser.emulate(driver)
        views = [first_view(driver, slide) for _ in range(rounds)]
        motion = [panned(driver, slide, seconds) for _ in range(rounds)]
    known, full = (statistics.median(each) for each in zip(*views, strict=True))
    tiles, frames = (statistics.median(each) for each in zip(*motion, strict=True))
    return (
        f"First full view {full:.2f} s after the start of the command (the address after {known:.2f} s). "
        f"While panning {tiles:.0f} tiles and {frames:.0f} frames a second. Medians of {rounds}."
    )


def table(found: Mapping[str, Served]) -> str:
    """One row for each way to serve tiles."""
    peer = found[DEEPZOOM]
    lines = [
        "| tiles | a second | server's CPU ms a tile | peak MB | as fast | CPU of deepzoom / own |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, one in found.items():
        figures = f"{one.tiles_per_s:.0f} | {one.cpu_ms:.2f} | {one.peak_mb:.0f}"
        faster, less = one.tiles_per_s / peer.tiles_per_s, peer.cpu_ms / one.cpu_ms
        lines.append(f"| {name} | {figures} | {faster:.1f}x | {less:.1f}x |")
    return "\n".join(lines)


def found_ratios(found: Mapping[str, Served]) -> dict[str, float]:
    """The ratios of our server's figures to those of openslide-python's."""
    peer = found[DEEPZOOM]
    return {
        f"{name}, {what}": ratio
        for name in (OURS, EXACT)
        for what, ratio in (
            ("tiles a second", found[name].tiles_per_s / peer.tiles_per_s),
            ("CPU", peer.cpu_ms / found[name].cpu_ms),
        )
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("slide", type=Path, nargs="?", help="an SVS; by default a drawn one of 16384 px")
    parser.add_argument("--tiles", type=int, default=10_000, help="how many each server is asked for")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="connections at once")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in the browser")
    parser.add_argument("--seconds", type=float, default=5, help="how long each round pans")
    results_page.add_options(parser)
    ratios.add_options(parser)
    options = parser.parse_args()
    if not PEER_PYTHON.exists():
        sys.exit(f"bench view: {PEER_PYTHON} is not there; scripts/readers installs it")
    FOLDER.mkdir(exist_ok=True)
    slide = options.slide or large_slides.drawn(FOLDER, 16_384)
    ways: Mapping[str, Callable[[], Served]] = {
        OURS: lambda: ours(slide, options.tiles, "form=auto", options.clients),
        EXACT: lambda: ours(slide, options.tiles, "form=exact", options.clients),
        DEEPZOOM: lambda: deepzoom(slide, max(500, options.tiles // 5), options.clients),
    }
    found = {name: way() for name, way in ways.items()}
    parts = [results_page.machine("openslide-python", "pillow")]
    parts += [in_browser(slide, options.rounds, options.seconds), table(found)]
    results_page.publish(options, "view", "\n\n".join(parts))
    ratios.finish(options, "view", found_ratios(found))


if __name__ == "__main__":
    main()
