"""The check for missing extras, before anything is read."""

from __future__ import annotations

from importlib.util import find_spec

from wsicomp.errors import MissingExtraError


def require(extras: str, *modules: str) -> None:
    """Check that modules of extras are installed, without importing them.

    >>> require("train", "numpy")

    Raises:
        MissingExtraError: a module is not installed; the message has the pip command for `extras`.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(f"{module} is not installed; pip install 'wsicomp[{extras}]'")
