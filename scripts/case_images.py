"""The cases of images beside the levels: of odd kinds, like a level, or like a label."""

import numpy as np
import openslide
from case_list import Answer, Case, one

from tests.drawn import labels

CONVERT = "convert SOURCE TARGET --glass keep --codec jpeg"


def beside(answers: list[Answer]) -> str:
    """What OpenSlide shows beside the levels, and whether it is what was drawn."""
    (answer,) = answers
    if answer.code:
        return f"refused: {answer.refusal}"
    found = []
    with openslide.OpenSlide(answer.target) as slide:
        sizes = ", ".join(f"{width} x {height}" for width, height in slide.level_dimensions)
        for name in sorted(slide.associated_images):
            try:
                pixels = np.asarray(slide.associated_images[name].convert("RGB"))
            except openslide.OpenSlideError:
                found.append(f"{name} unreadable")
                break  # OpenSlide repeats an error for all that follows
            drawn = answer.truth.images.get(name)
            is_right = drawn is not None and np.array_equal(pixels, drawn)
            found.append(f"{name} {'as drawn' if is_right else 'otherwise'}")
    return f"{', '.join(found) or 'no images'}; levels {sizes}"


CASES = [
    *(
        Case(f"a label: {kind}", "label as drawn", one(labels.label_of(kind)), CONVERT, beside)
        for kind in labels.KINDS
    ),
    Case("a label with Orientation 3", "label as drawn", one(labels.marked(3)), CONVERT, beside),
    Case(
        "a label with FillOrder 2, LZW", "label as drawn", one(labels.bits_reversed("lzw")), CONVERT, beside
    ),
    Case(
        "a second image of a label's type that shows the slide",
        "thumbnail as drawn",
        one(labels.second_of_a_label_s_type),
        CONVERT,
        beside,
    ),
    Case(
        "a tiled thumbnail of nearly a level's size",
        "the half is the level",
        one(labels.nearly_a_level),
        CONVERT,
        beside,
    ),
]
