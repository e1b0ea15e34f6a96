"""A command of wsicomp in a process of its own: how it ended, its seconds, its peak memory, what it wrote."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_LIMIT_S = 60
_LIMIT_BYTES = 10 << 30
_SAID = 110


def measured(arguments: list[str], written: str = "") -> str:
    """The command's end in a few words; `written` is a file whose bytes are told too."""
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "wsicomp", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=told,
            preexec_fn=_bounded,  # noqa: PLW1509 - there are no threads here
        )
        start = time.monotonic()
        done, status, usage = 0, 0, None
        while not done and time.monotonic() - start < _LIMIT_S:
            done, status, usage = os.wait4(child.pid, os.WNOHANG)
            time.sleep(0.02)
        if not done:
            child.kill()
            _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        lines = told.read().decode("utf-8", "replace").strip().splitlines()
    assert usage is not None, "it was waited for"
    end = f"stopped after {_LIMIT_S} s" if not done else f"exit {child.returncode}"
    size = (
        f", wrote {Path(written).stat().st_size / 1e6:.1f} MB" if written and Path(written).exists() else ""
    )
    said = f": {lines[-1][-_SAID:]}" if child.returncode and done and lines else ""
    return f"{end}, {seconds:.1f} s, {usage.ru_maxrss / 1024:.0f} MB{size}{said}"


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))
