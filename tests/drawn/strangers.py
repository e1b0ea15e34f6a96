"""Files that `wsicomp.open_slide` meets in a slide's place: pictures, torsos, and what is no picture."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

PICTURES = ("picture.png", "picture.jpg", "strips.tiff", "grey.png", "alpha.png")


def write_picture(path):
    """A plain picture in the format that its name says; its pixels are returned."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    mode = {"grey": "L", "alpha": "RGBA"}.get(path.stem, "RGB")
    image = Image.fromarray(pixels).convert(mode)
    image.save(path)
    return np.asarray(image)


def write_strangers(folder):
    """What is no slide and no picture, by name."""
    write_slide(folder / "whole.svs", SyntheticSlide(Size(300, 200), seed=1), SyntheticFormat())
    whole = (folder / "whole.svs").read_bytes()
    contents = {
        "empty.svs": b"",
        "text.svs": b"hello wsicomp",
        "zeros.svs": bytes(5000),
        "six bytes.tiff": whole[:6],
        "header.tiff": whole[:8],
        "half.svs": whole[: len(whole) // 2],
        "named.tiff": b"II*\0 wsicomp 0.2.0",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return tuple(folder / name for name in contents)


@functools.cache  # Pillow writes the time into it
def profile_that_pillow_rewrites():
    """An ICC profile of other bytes than those that Pillow's profile object writes of it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    padded = profile + bytes(8)
    profile = len(padded).to_bytes(4, "big") + padded[4:]
    assert ImageCms.ImageCmsProfile(io.BytesIO(profile)).tobytes() != profile
    return profile
