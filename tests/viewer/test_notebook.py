"""Slides in a notebook: the frame, what it shows, and its end."""

import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import openslide
import pytest
from PIL import Image

import wsicomp
from tests.batch.trees import write_slide
from tests.viewer.browser import complaints, until
from tests.viewer.served import serving
from wsicomp import ConfigError, ConversionConfig, SlideReadError

IN_FRAME = "return document.querySelectorAll('.pane-title h2').length"


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    write_slide(folder / "slide.svs", side=300)
    wsicomp.convert(folder / "slide.svs", folder / "small.svs", ConversionConfig.of(segmenter="threshold"))
    return folder / "slide.svs", folder / "small.svs"


def get(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read()


def roles(view):
    return [
        (slide["name"], slide["role"]) for slide in json.loads(get(view.address + "session.json"))["slides"]
    ]


def test_a_view_serves_its_slides_until_it_is_closed(slides):
    with wsicomp.view(*slides) as shown:
        assert roles(shown) == [("slide.svs", "source"), ("small.svs", "conversion")]
        assert shown.address in repr(shown)
        assert f'<iframe src="{shown.address}"' in shown._repr_html_()
        assert 'height="720"' in shown._repr_html_()
    with pytest.raises(urllib.error.URLError):
        get(shown.address)
    assert "closed" in repr(shown)
    assert "<iframe" not in shown._repr_html_()
    shown.close()


def test_open_slides_are_shown_and_stay_open(slides):
    with openslide.open_slide(slides[0]) as theirs, wsicomp.open_slide(slides[1]) as ours:
        with wsicomp.view(theirs, ours) as shown:
            assert roles(shown) == [("slide.svs", "source"), ("small.svs", "conversion")]
            tile = get(f"{shown.address}tiles/1/0/0/0?form=exact")
        assert tile.startswith(b"\x89PNG")
        assert theirs.read_region((0, 0), 0, (8, 8)).size == ours.read_region((0, 0), 0, (8, 8)).size


def test_a_slide_of_any_class_is_shown_by_what_it_reads(slides):
    picture = openslide.ImageSlide(Image.new("RGB", (700, 500), (10, 200, 30)))
    with wsicomp.view(picture) as shown:
        assert roles(shown) == [("ImageSlide", "source")]
        tile = get(f"{shown.address}tiles/1/0/0/0?form=exact")
    assert Image.open(io.BytesIO(tile)).getpixel((5, 5)) == (10, 200, 30)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda a, b: wsicomp.view(a, b, b, b, b), ConfigError, "5 slides; expected at most 4"),
        (lambda a, b: wsicomp.view(a, height=5), ConfigError, "expected 100 to 10000"),
        (lambda a, b: wsicomp.view(""), SlideReadError, "empty path"),
        (lambda a, b: wsicomp.view(a, a.with_name("none.svs")), SlideReadError, "no such file"),
        (lambda a, b: wsicomp.view(a, port=1_000_000), ConfigError, "expected 0 to 65535"),
    ],
)
def test_what_cannot_be_shown_is_refused(slides, call, error, words):
    with pytest.raises(error, match=words):
        call(*slides)


def test_the_interpreter_ends_though_a_view_is_open(slides):
    code = f"import wsicomp; v = wsicomp.view({str(slides[0])!r}); print(v.address)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("http://127.0.0.1:")
    assert done.stderr == ""


@pytest.fixture
def notebook(tmp_path):
    """The address of a page of another server, as a notebook's, and the folder of its files."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://localhost:{server.server_port}/", tmp_path
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_frame_shows_the_slides_in_a_page_of_another_origin(browser, notebook, slides):
    address, folder = notebook
    with wsicomp.view(*slides) as shown:
        page = f'<!doctype html><link rel="icon" href="data:,"><p>A cell</p>{shown._repr_html_()}'
        (folder / "page.html").write_text(page)
        browser.get(address + "page.html")
        browser.switch_to.frame(browser.find_element("tag name", "iframe"))
        until(lambda: browser.execute_script(IN_FRAME) >= 2, "two panes in the frame")
        until(lambda: browser.execute_script("return window.wsicomp?.panes.place != null"), "the slide")
        browser.switch_to.default_content()
        browser.get("about:blank")


def test_a_viewer_of_the_command_line_is_in_no_frame(browser, notebook, slides):
    address, folder = notebook
    with serving(*slides) as server:
        page = f'<!doctype html><link rel="icon" href="data:,"><iframe src="{server.address}"></iframe>'
        (folder / "page.html").write_text(page)
        browser.get(address + "page.html")
        said = until(lambda: complaints(browser), "a refusal")
    assert any("frame-ancestors" in each for each in said)
