"""Tiles that the viewer serves are the slide's own, by other decoders; so is their difference."""

from __future__ import annotations

import io
import json
import random
import struct
from contextlib import closing

import cv2
import numpy as np
import openslide
import pytest
import simplejpeg
import tifffile
from PIL import Image

from tests import layouts, tiffs
from tests.drawn import forged
from tests.viewer.browser import until
from tests.viewer.served import ask, serving
from wsicomp.errors import ConfigError, SlideReadError
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.viewer.answers import tile_answers
from wsicomp.viewer.layers.annotations import AnnotationFiles
from wsicomp.viewer.layers.outcomes import TileCode
from wsicomp.viewer.pictures import shown_slide
from wsicomp.viewer.pictures.shown_slide import open_shown
from wsicomp.viewer.session import Session


def decoded(answer):
    assert answer.status == 200, answer.body
    return np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB"))


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """A source, its copy with glass painted white, and a lossy conversion."""
    import wsicomp

    folder = tmp_path_factory.mktemp("tiles")
    source = folder / "slide.svs"
    forged.draw_tissue(source)
    wsicomp.convert(source, folder / "copied.svs", forged.COPIED)
    lossy = forged.KEPT.changed(codec="jpeg", quality=30, overwrite=True)
    wsicomp.convert(source, folder / "lossy.svs", lossy)
    packed = forged.RESTORABLE
    wsicomp.convert(source, folder / "packed.tiff", packed)
    return source, folder / "copied.svs", folder / "lossy.svs", folder / "packed.tiff"


def test_a_jpeg_tile_passes_through_and_shows_what_openslide_shows(slides):
    source, copied, lossy, packed = slides
    with serving(source, copied, lossy, packed) as server, tifffile.TiffFile(source) as file:
        for number, path in enumerate((source, copied, lossy), 1):
            answer = ask(server, f"tiles/{number}/0/1/1")
            assert answer.headers["Content-Type"] == "image/jpeg"
            found = decoded(answer)
            side = found.shape[0]
            with openslide.OpenSlide(path) as slide:
                shown = slide.read_region((side, side), 0, (side, side)).convert("RGB")
            assert np.array_equal(found, np.asarray(shown)), path.name
        stored = file.pages[0]
        own = file.filehandle
        number = 1 * (-(-stored.imagewidth // stored.tilewidth)) + 1
        own.seek(stored.dataoffsets[number])
        scan = own.read(stored.databytecounts[number])[-200:]
        assert ask(server, "tiles/1/0/1/1").body.endswith(scan)
        assert ask(server, "tiles/4/0/1/1").body == ask(server, "tiles/1/0/1/1").body, (
            "JPEG XL comes back as JPEG"
        )


def test_an_exact_tile_is_png_of_the_pixels_that_openslide_shows(slides):
    source, *_ = slides
    with serving(source) as server, openslide.OpenSlide(source) as slide:
        answer = ask(server, "tiles/1/0/0/2?form=exact")
        assert answer.headers["Content-Type"] == "image/png"
        found = decoded(answer)
        rows, columns = found.shape[:2]
        side = json.loads(ask(server, "session.json").body)["slides"][0]["levels"][0]["tile_height"]
        shown = slide.read_region((0, 2 * side), 0, (columns, rows)).convert("RGB")
        assert np.array_equal(found, np.asarray(shown))


def test_the_difference_of_a_copied_tile_is_zero_and_of_an_encoded_one_that_of_its_pixels(slides):
    source, copied, lossy, packed = slides
    with serving(source, copied, lossy, packed) as server:
        tiles = [(column, row) for column in range(2) for row in range(2)]
        zero = [not decoded(ask(server, f"difference/1/4/0/{c}/{r}")).any() for c, r in tiles]
        assert all(zero), "packed without loss"
        found = decoded(ask(server, "difference/1/3/0/1/1"))
        side = found.shape[0]
        shown = []
        for path in (source, lossy):
            with openslide.OpenSlide(path) as slide:
                region = slide.read_region((side, side), 0, (side, side)).convert("RGB")
                shown.append(np.asarray(region).astype(int))
        assert np.array_equal(found, abs(shown[0] - shown[1]))
        assert found.any()


def test_a_level_that_a_file_lacks_is_made_of_means(tmp_path):
    path = tmp_path / "one.svs"
    picture = tiffs.picture(2300, 1900)
    with tifffile.TiffWriter(path) as file:
        file.write(picture, tile=(256, 256), compression="deflate", photometric="rgb")
    with closing(open_shown(path)) as shown:
        assert [level.own for level in shown.levels] == [0, None]
        made = shown.levels[1]
        region = Region(10, 20, 300, 250)
        found = shown.read(1, region)
        whole = picture[80 : 80 + 1000, 40 : 40 + 1200]
        expected = cv2.resize(whole, (300, 250), interpolation=cv2.INTER_AREA)
        assert made.size.width == 2300 // 4
        assert np.abs(found.astype(int) - expected).max() <= 1
        last = TileIndex(1, made.grid.columns - 1, made.grid.rows - 1)
        assert shown.read(1, shown.tile_region(last)).size > 0
        with pytest.raises(LookupError):
            shown.tile_region(TileIndex(1, 99, 0))


def test_a_coarse_picture_of_a_fine_level_is_read_in_parts(tmp_path, monkeypatch):
    path = tmp_path / "one.svs"
    with tifffile.TiffWriter(path) as file:
        file.write(tiffs.picture(1000, 700), tile=(256, 256), compression="deflate", photometric="rgb")
    with closing(open_shown(path)) as shown:
        asked = -100, -50, 1200, 800, Size(150, 100)
        whole = shown.read_scaled(*asked)
        read, sizes = shown.read, []

        def noted(level, region):
            sizes.append(region.width * region.height)
            return read(level, region)

        monkeypatch.setattr(shown, "read", noted)
        monkeypatch.setattr(shown_slide, "_MOST_READ_PX", 20_000)
        parts = shown.read_scaled(*asked)
        assert len(sizes) > 30
        assert max(sizes) <= 20_000
        assert np.abs(parts.astype(int) - whole).max() <= 1


def test_damage_under_a_made_level_is_a_picture_that_says_so(tmp_path):
    import wsicomp

    source, broken = tmp_path / "one.tiff", tmp_path / "broken.tiff"
    with tifffile.TiffWriter(source) as file:
        picture = tiffs.picture(1300, 600)
        file.write(picture, tile=(256, 256), compression="jpeg", photometric="rgb")
    wsicomp.convert(source, broken, forged.KEPT.changed(codec="jpeg", quality=30))
    with tifffile.TiffFile(broken) as file:
        offset, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    with broken.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    with serving(broken) as server:
        answer = ask(server, "tiles/1/1/0/0")
        assert answer.status == 200
        assert answer.headers["Wsicomp-Damage"].startswith("damaged: ")


def test_a_conversion_that_begins_lower_lies_over_its_source(slides, tmp_path):
    import wsicomp

    source, *_ = slides
    lower = tmp_path / "lower.tiff"
    wsicomp.convert(source, lower, forged.PACKED.changed(glass="keep", from_level=1))
    with serving(source, lower) as server:
        first, second = json.loads(ask(server, "session.json").body)["slides"]
        assert second["scale"] == pytest.approx(first["width"] / second["width"])
        assert second["scale"] > 1.5
        found = decoded(ask(server, "difference/1/2/1/0/0"))
        assert not found.any(), "the level is the same one"


def test_a_damaged_tile_is_a_picture_that_says_so_and_is_counted(slides, tmp_path):
    _, copied, *_ = slides
    broken = tmp_path / "broken.svs"
    broken.write_bytes(copied.read_bytes())
    with tifffile.TiffFile(broken) as file:
        counts = file.pages[0].databytecounts
        number = int(np.argmax(counts))
        columns = -(-file.pages[0].imagewidth // file.pages[0].tilewidth)
        offset = file.pages[0].dataoffsets[number] + counts[number] // 2
    with broken.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x13\x37\x13\x37")
    column, row = number % columns, number // columns
    with serving(broken) as server:
        answer = ask(server, f"tiles/1/0/{column}/{row}")
        assert answer.status == 200
        assert answer.headers["Wsicomp-Damage"].startswith("damaged: ")
        assert "broken" not in answer.headers["Wsicomp-Damage"]
        assert json.loads(ask(server, "outcomes/1").body)["levels"][0]["counts"]["damaged"] == 1
        assert ask(server, "tiles/1/0/0/0").status == 200, "the server lives on"
    with serving(broken) as server:
        until(lambda: json.loads(ask(server, "outcomes/1").body)["damage"]["done"], "the search for damage")
        found = json.loads(ask(server, "outcomes/1").body)
        assert found["levels"][0]["counts"]["damaged"] == found["damage"]["damaged"] == 1
        assert ask(server, "outcomes/1/0").body.count(TileCode.DAMAGED) == 1


def test_pictures_and_what_openslide_reads_are_shown_too(tmp_path):
    picture = tiffs.picture(700, 300)
    Image.fromarray(picture).save(tmp_path / "section.png")
    with serving(tmp_path / "section.png") as server:
        assert np.array_equal(decoded(ask(server, "tiles/1/0/0/0?form=exact")), picture[:256, :256])
    with pytest.raises(SlideReadError):
        Session().open(tmp_path / "nothing.svs")


def test_nothing_is_saved_by_another_slide(slides, tmp_path):
    source, copied, *_ = slides
    other = tmp_path / "other.png"
    Image.fromarray(tiffs.picture(300, 200)).save(other)
    with serving(source, copied, other) as server:
        _, conversion, unlike = json.loads(ask(server, "session.json").body)["slides"]
    assert conversion["saved"] == 1 - conversion["bytes"] / source.stat().st_size
    assert unlike["saved"] is None


def test_label_and_macro_are_shown_only_where_the_user_asks(slides):
    source, *_ = slides
    with serving(source) as server:
        assert json.loads(ask(server, "session.json").body)["slides"][0]["associated"] == []
        assert ask(server, "associated/1/label").status == 404
    with serving(source, show_label=True) as server:
        for name in json.loads(ask(server, "session.json").body)["slides"][0]["associated"]:
            assert decoded(ask(server, f"associated/1/{name}")).size > 0


def test_likeness_of_a_view_is_that_of_its_pixels(slides, monkeypatch):
    from skimage.metrics import structural_similarity

    source, copied, lossy, _ = slides
    place = "x=64&y=64&width=300&height=200&px=300"
    with serving(source, copied, lossy) as server:
        found = json.loads(ask(server, f"similarity/1/3?{place}").body)
        assert json.loads(ask(server, f"similarity/1/1?{place}").body) == {
            "ssim": 1.0,
            "psnr": None,
            "exact": True,
            "most": 0,
            "share": 1.0,
        }
        monkeypatch.setattr(tile_answers, "MOST_PX", 300 * 50)
        part = json.loads(ask(server, f"similarity/1/1?{place}").body)
        assert part["exact"]
        assert part["share"] == pytest.approx(0.25, abs=0.01)
    shown = []
    for path in (source, lossy):
        with openslide.OpenSlide(path) as slide:
            shown.append(np.asarray(slide.read_region((64, 64), 0, (300, 200)).convert("RGB")))
    by_others = structural_similarity(
        *shown, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert found["ssim"] == pytest.approx(by_others, abs=0.02)
    assert found["most"] == np.abs(shown[0].astype(int) - shown[1]).max()
    assert not found["exact"]


def test_a_tile_of_the_playground_is_what_its_figures_say(slides):
    source, *_ = slides
    with serving(source) as server:
        answer = ask(server, "playground/1?x=0&y=0&width=256&height=256&px=256&codec=jpeg:20")
        figures = json.loads(answer.headers["Wsicomp-Figures"])
        assert decoded(answer).shape[1] == pytest.approx(figures["width"], abs=1)
        assert 0 < figures["bytes"] < figures["source_bytes"]
        assert ask(server, "playground/1?x=0&y=0&width=nan&height=9&px=9&codec=jpeg").status == 400
        assert ask(server, "playground/1?x=0&y=0&width=9&height=9&px=9&codec=/etc/passwd").status == 400


def test_damage_on_a_level_that_is_made_is_shown_and_counted_once(tmp_path):
    import wsicomp

    source, broken = tmp_path / "one.tif", tmp_path / "broken.tif"
    with tifffile.TiffWriter(source) as file:
        options = {"compression": "jpeg", "photometric": "ycbcr", "resolutionunit": "CENTIMETER"}
        file.write(tiffs.picture(2300, 1900), tile=(256, 256), resolution=(20000, 20000), **options)
    wsicomp.convert(source, broken, forged.COPIED)
    with tifffile.TiffFile(broken) as file:
        number = int(np.argmax(file.pages[0].databytecounts))
        offset = file.pages[0].dataoffsets[number] + file.pages[0].databytecounts[number] // 2
    with broken.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x13\x37\x13\x37")
    with serving(broken) as server:
        levels = json.loads(ask(server, "session.json").body)["slides"][0]["levels"]
        assert len(levels) > len(json.loads(ask(server, "outcomes/1").body)["levels"])
        answers = [ask(server, f"tiles/1/{len(levels) - 1}/{c}/0") for c in range(levels[-1]["columns"])]
        assert {answer.status for answer in answers} == {200}
        assert any(answer.headers["Wsicomp-Damage"] for answer in answers)
        until(lambda: json.loads(ask(server, "outcomes/1").body)["damage"]["done"], "the search for damage")
        found = json.loads(ask(server, "outcomes/1").body)
        assert [level["counts"].get("damaged", 0) for level in found["levels"]] == [1]


def test_a_tile_that_cannot_be_read_hides_no_other_on_a_level_that_is_made(tmp_path):
    path = tmp_path / "clear.tif"
    picture = np.dstack((tiffs.picture(2300, 1900), np.full((1900, 2300), 255, np.uint8)))
    picture[300:310, 300:310, 3] = 0
    with tifffile.TiffWriter(path) as file:
        file.write(
            picture, tile=(256, 256), compression="deflate", photometric="rgb", extrasamples=["unassalpha"]
        )
    with serving(path) as server:
        level = json.loads(ask(server, "session.json").body)["slides"][0]["levels"][1]
        answer = ask(server, "tiles/1/1/0/0?form=exact")
    assert level["downsample"] == 4
    assert "transparent" in answer.headers["Wsicomp-Damage"]
    shown = cv2.resize(picture[:, :2048, :3], (512, 475), interpolation=cv2.INTER_AREA)
    is_shown = np.abs(decoded(answer)[150:450, 150:400].astype(int) - shown[150:450, 150:400]).max(2) <= 1
    assert is_shown.mean() > 0.98, "all but the line of the cross"


def test_what_a_browser_would_turn_or_recolour_a_tile_by_is_left_out(tmp_path):
    """JPEGTables and tiles with Exif that turns the picture, an ICC profile and a comment."""
    path = tmp_path / "slide.svs"
    stream = bytes(simplejpeg.encode_jpeg(tiffs.picture(256, 256), 90))
    turned = Image.Exif()
    turned[0x0112] = 6
    foreign = (
        (b"\xfe", b"a patient"),
        (b"\xe1", turned.tobytes()),
        (b"\xe2", b"ICC_PROFILE\0\1\1" + bytes(5000)),
    )
    segments = b"".join(b"\xff" + code + struct.pack(">H", len(body) + 2) + body for code, body in foreign)
    for tables, tile in ((segments, b""), (b"", segments)):
        page = layouts.Image(256, 256, [stream[:2] + tile + stream[2:]], (256, 256))
        if tables:
            page.tags = {347: ("B", stream[:2] + tables + b"\xff\xd9")}
        path.write_bytes(layouts.lay_out([page], random.Random(1)))
        with serving(path) as server:
            answer = ask(server, "tiles/1/0/0/0")
        assert np.array_equal(decoded(answer), np.asarray(Image.open(io.BytesIO(stream))))
        assert stream.endswith(answer.body[-200:]), "it passed through"
        for text in (b"patient", b"Exif", b"ICC_PROFILE"):
            assert text not in answer.body


def test_levels_far_apart_have_one_made_between_them(tmp_path):
    path = tmp_path / "far.tif"
    picture = tiffs.picture(2300, 1900)
    options = {"tile": (256, 256), "compression": "deflate", "photometric": "rgb"}
    with tifffile.TiffWriter(path) as file:
        file.write(picture, **options)
        file.write(picture[::16, ::16], subfiletype=1, **options)
    with closing(open_shown(path)) as shown:
        assert [(level.own, round(level.downsample)) for level in shown.levels] == [
            (0, 1),
            (None, 4),
            (1, 16),
        ]
        assert np.array_equal(shown.read(2, Region(0, 0, 144, 119)), picture[::16, ::16])
        assert shown.number_of(1) == 2
        assert shown.own_tile(TileIndex(2, 0, 0)) == TileIndex(1, 0, 0)
        assert shown.own_tile(TileIndex(1, 0, 0)) is None
    with serving(path, path) as server:
        region = "x=0&y=0&width=2300&height=1900&px=140"
        assert json.loads(ask(server, f"similarity/1/2?{region}").body)["exact"]
        region = "x=0&y=0&width=2300&height=1900&px=600"
        assert json.loads(ask(server, f"similarity/1/2?{region}").body)["exact"]


@pytest.mark.parametrize("shape", [(3, 9001), (9001, 2)])
def test_a_slide_of_few_rows_or_columns_keeps_its_length_on_levels_that_are_made(tmp_path, shape):
    path = tmp_path / "thin.tif"
    picture = tiffs.picture(shape[1], shape[0])
    with tifffile.TiffWriter(path) as file:
        file.write(picture, tile=(256, 256), compression="deflate", photometric="rgb")
    with closing(open_shown(path)) as shown:
        _, made, coarse = shown.levels
        assert (made.downsample, coarse.downsample) == (4, 16)
        found = shown.read(1, Region(0, 0, made.size.width, made.size.height))
        whole = picture[:9000, :9000]
        expected = cv2.resize(whole, (made.size.width, made.size.height), interpolation=cv2.INTER_AREA)
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_large_stored_tile_is_decoded_once_for_all_pictures_of_it(tmp_path, monkeypatch):
    path = tmp_path / "large.tif"
    picture = tiffs.picture(2300, 1900)
    with tifffile.TiffWriter(path) as file:
        file.write(picture, tile=(2048, 2048), compression="deflate", photometric="rgb")
    with closing(open_shown(path)) as shown:
        asked = []
        read = shown.slide.read_region
        monkeypatch.setattr(shown.slide, "read_region", lambda *where: asked.append(where) or read(*where))
        grid = shown.levels[0].grid
        for row in range(grid.rows):
            for column in range(grid.columns):
                region = grid.region(column, row)
                rows = slice(region.y, region.y + region.height)
                columns = slice(region.x, region.x + region.width)
                assert np.array_equal(shown.read(0, region), picture[rows, columns])
        shown.read(1, Region(0, 0, 575, 475))
        assert len(asked) == 2


def test_outlines_of_a_file_are_served_and_a_wrong_file_is_refused(slides, tmp_path):
    source, *_ = slides
    outlines = tmp_path / "outlines.geojson"
    square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
    feature = {"type": "Feature", "geometry": square, "properties": {"name": "a"}}
    outlines.write_text(json.dumps([feature]))
    wrong = tmp_path / "wrong.geojson"
    wrong.write_text('{"type": "Feature", "x": nothing}')
    with serving(source, annotations=(outlines, wrong)) as server:
        assert json.loads(ask(server, "annotations/0").body)["features"] == [feature]
        refused = ask(server, "annotations/1")
        assert refused.status == 400
        assert str(tmp_path).encode() not in refused.body


def test_a_file_of_outlines_is_read_again_only_when_it_changed(tmp_path, monkeypatch):
    outlines = tmp_path / "outlines.geojson"
    outlines.write_text("[]")
    files = AnnotationFiles((outlines,))
    first = files.to_json(0)
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was read again"))
    assert files.to_json(0) is first
    monkeypatch.undo()
    outlines.write_text('[{"type": "Feature"}]')
    assert json.loads(files.to_json(0))["features"] == [{"type": "Feature"}]


def test_numbers_of_outlines_that_json_does_not_know_become_null(slides, tmp_path):
    source, *_ = slides
    outlines = tmp_path / "cells.geojson"
    feature = (
        '{"type": "Feature", "geometry": {"type": "Point", "coordinates": [NaN, -1e400]}, "properties": %s}'
    )
    outlines.write_text(feature % '{"name": "NaN", "measurements": {"Circularity": NaN, "Area": 7.5}}')
    with serving(source, annotations=(outlines,)) as server:
        (found,) = json.loads(ask(server, "annotations/0").body)["features"]
    assert found["geometry"]["coordinates"] == [None, None]
    assert found["properties"] == {"name": "NaN"}


def test_a_viewer_that_cannot_listen_says_where(slides):
    from wsicomp.viewer.server import ViewerServer

    with closing(Session()) as session, ViewerServer(session) as server:
        with pytest.raises(ConfigError, match=f"port {server.server_port}"):
            ViewerServer(session, port=server.server_port)
        with pytest.raises(ConfigError, match=r"nowhere\.invalid"):
            ViewerServer(session, "nowhere.invalid")
