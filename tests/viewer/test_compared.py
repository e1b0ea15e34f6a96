"""The results of a comparison in a viewer: every link leads to what it names."""

import base64
import io
import json
import re
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.viewer.browser import until, until_is
from tests.viewer.served import serving_session
from wsicomp.comparison import ComparisonOptions, compare_slides, parse_codecs
from wsicomp.comparison.api import compared_files
from wsicomp.config import ConversionConfig
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region, Size
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.viewer.exchange import Request
from wsicomp.viewer.folder.compared import show_comparison
from wsicomp.viewer.routes import answer
from wsicomp.viewer.session import Session

CODECS = "jpeg:40,jpegxl:2"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The files that were compared, the results and their folder."""
    folder = tmp_path_factory.mktemp("compared")
    for number in (1, 2):
        write_slide(folder / f"{number}.svs", SyntheticSlide(Size(1000, 900), seed=number))
    sources = [folder / "1.svs", folder / "2.svs"]
    base = ConversionConfig.of(segmenter="threshold", workers=1)
    options = ComparisonOptions(
        codecs=parse_codecs(CODECS), glass=("keep",), sample=20, base=base, curve_tiles=0
    )
    found = compare_slides(sources, folder / "out", options)
    return sources, found, folder / "out"


@pytest.fixture
def session(compared):
    sources, found, out = compared
    with closing(Session()) as shown:
        show_comparison(shown, found, out, compared_files(sources, found))
        yield shown


def page(session):
    return answer(session, "GET", Request(("results",)))


def links(session):
    return [text.replace("&amp;", "&") for text in re.findall(r'href="([^"]+)"', page(session).data.decode())]


def test_the_page_on_the_disk_has_no_links_and_the_served_one_has(compared, session):
    assert "href=" not in (compared[2] / "index.html").read_text()
    served = page(session)
    assert served.media_type.startswith("text/html")
    assert "frame-ancestors 'none'" in served.headers["Content-Security-Policy"]
    crops = [crop for slide in compared[1].slides for crop in slide.crops]
    assert crops
    assert len(links(session)) >= len(crops) + len(compared[1].slides)


def test_every_link_opens_the_slide_that_it_stands_by(session):
    for link in links(session):
        query = parse_qs(urlsplit(link).query)
        found = answer(session, "GET", Request(("session.json",), {"entry": query["entry"][0]}))
        assert json.loads(found.data)["title"] == f"{query['entry'][0]}.svs"
        assert set(query.get("codec", [])) <= {"jpeg:40", "jpegxl:2"}
    assert any("codec=" in link for link in links(session))


def test_a_piece_of_tissue_is_where_it_says(compared):
    sources, found, _ = compared
    for path, slide in zip(sources, found.slides, strict=True):
        with closing(open_reader(path)) as reader:
            for crop in slide.crops:
                level = int(crop.index.split()[1])
                size = reader.info.levels[level].size
                sides = np.multiply(crop.place, (size.width, size.height) * 2)
                there = reader.read_region(level, Region(*map(int, np.rint(sides))))
                data = base64.b64decode(crop.source.partition(",")[2])
                assert np.array_equal(there, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_a_viewer_without_a_comparison_has_no_results():
    assert page(Session()).status == 404


def test_a_link_shows_the_piece_with_its_codec(browser, session):
    link = next(each for each in links(session) if "codec=jpeg%3A40" in each)
    with serving_session(session) as server:
        browser.get(f"{server.address}results")
        browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
        until(lambda: browser.find_elements("css selector", f'a[href="{link}"]'), "the link")[0].click()
        words = until(lambda: browser.find_elements("css selector", ".figures"), "the playground")[0]
        until(lambda: "This view as JPEG" in words.text and "SSIM" in words.text, "the view as JPEG")
        x, y, *_ = urlsplit(link).fragment.split(",")
        place = "return [wsicomp.panes.target.x, wsicomp.panes.target.y]"
        until_is(lambda: browser.execute_script(place), pytest.approx([int(x), int(y)], abs=1), "the place")
        browser.find_element("link text", "The comparison").click()
        until(lambda: browser.find_elements("css selector", "figure"), "the results")
        browser.get("about:blank")
