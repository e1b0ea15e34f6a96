"""The check for missing extras, before anything is read."""

from __future__ import annotations

from importlib.util import find_spec

from wsicomp.errors import MissingExtraError


def require(*modules: str) -> None:
    """Check that modules of extras are installed, without importing them.

    Raises:
        MissingExtraError: a module is not installed; the message has the pip command.
    """
    extras = "neural,train" if "torch" in modules else "train"
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(f"{module} is not installed; pip install 'wsicomp[{extras}]'")
