"""Commands on a terminal, as a person sees them."""

import contextlib
import os
import pty
import subprocess
import sys


def on_a_terminal(*words):
    """Run a command of wsicomp; return its exit code and what it wrote to the terminal as standard error.

    All is read as it comes: a full terminal stops its writer.
    """
    reading, terminal = pty.openpty()
    command = [sys.executable, "-m", "wsicomp", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal) as run:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux says that nobody can write any more
            while part := os.read(reading, 100_000):
                shown += part
    os.close(reading)
    return run.returncode, shown
