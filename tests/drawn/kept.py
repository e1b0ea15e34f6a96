"""What tests ask for again and again, made once: kept in files that the processes of a test run share.

Slides, their textures, and what is computed of their glass depend on their arguments alone.
"""

import functools
import hashlib
import os
import pickle
import shutil
import threading
from contextlib import suppress

import numpy as np

from wsicomp.geometry import Size, TileGrid
from wsicomp.synthetic import block, write
from wsicomp.tissue import bare_glass, glass_color

VALUES = ((block, "densities"), (bare_glass, "_blurred"), (glass_color, "_fitted"))
"""Functions of which each call takes a tenth of a second or more."""


def keep_in(folder, replace):
    """Keep in a folder what these functions return, and drawn slides; `replace` is `setattr`, or pytest's."""
    for module, name in VALUES:
        replace(module, name, _kept_value(folder, getattr(module, name)))
    replace(write, "_draw", _kept_slide(folder, write._draw))


def _kept_value(folder, function):
    @functools.wraps(function)
    def kept(*arguments):
        path = folder / f"{function.__name__}-{_digest(arguments)}"
        with suppress(OSError):
            return pickle.loads(path.read_bytes())
        value = function(*arguments)
        with suppress(OSError):  # of a test that may not write here, or no more than some bytes
            _write_whole(path, lambda mine: mine.write_bytes(pickle.dumps(value)))
        return value

    return kept


def _kept_slide(folder, draw):
    @functools.wraps(draw)
    def kept(path, slide, form, advance):
        drawn = folder / f"slide-{_digest((slide, form))}"
        if os.path.exists(drawn):  # noqa: PTH110 - which is False where a test may not look
            tile, sizes = Size(form.tile_px, form.tile_px), map(slide.size.reduced, form.downsamples)
            advance(sum(TileGrid(size, tile).count for size in sizes))
            shutil.copyfile(drawn, path)
            return
        draw(path, slide, form, advance)
        with suppress(OSError):
            _write_whole(drawn, lambda mine: shutil.copyfile(path, mine))

    return kept


def _digest(arguments):
    found = hashlib.blake2b(digest_size=16)
    for one in arguments:
        is_array = isinstance(one, np.ndarray)
        found.update(repr((one.dtype, one.shape) if is_array else one).encode())
        found.update(np.ascontiguousarray(one) if is_array else b"")
    return found.hexdigest()


def _write_whole(path, write_to):
    """Write a file that others may write at the same time."""
    mine = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    write_to(mine)
    mine.replace(path)
