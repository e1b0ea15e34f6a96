"""The extra `neural`: torch and CompressAI, which only some codecs and models need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wsicomp.concurrency.threads import let_idle_threads_sleep
from wsicomp.errors import CodecUnavailableError


@contextmanager
def extra_installed(user: str) -> Iterator[None]:
    """Say what to install where a module of the extra is missing; `user` needs it.

    Raises:
        CodecUnavailableError: what is imported inside is not installed.
    """
    let_idle_threads_sleep()
    try:
        yield
    except ModuleNotFoundError as exc:
        missing = f"the extra neural, of which {exc.name} is missing"
        raise CodecUnavailableError(f"{user} needs {missing}: pip install 'wsicomp[neural]'") from None
