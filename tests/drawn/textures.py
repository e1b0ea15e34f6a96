"""The textures of drawn slides, kept in files that the processes of a test run share."""

import os

import numpy as np

from wsicomp.synthetic.structure import Densities, densities


def kept_in(folder):
    """`densities`, from files of a folder, which the first process to need one writes."""

    def kept(kind, mpp):
        path = folder / f"texture-{kind.name}-{mpp}.npz"
        if not path.exists():
            drawn = densities(kind, mpp)
            mine = path.with_suffix(f".{os.getpid()}.npz")
            np.savez(mine, hematoxylin=drawn.hematoxylin, eosin=drawn.eosin)
            mine.replace(path)
        with np.load(path) as arrays:
            return Densities(arrays["hematoxylin"], arrays["eosin"])

    return kept
