"""Worker processes of a batch that are forked from one that has imported everything, not started anew.

Starting one takes over a second of a core, and the batch's tests start hundreds. A forked one is a process
like any other: it crashes, hangs and is killed alone. `--full` starts them as a batch does.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace

from tests.paths import ROOT

_SERVE = "from tests.forked_workers import serve_forks; serve_forks({}, {!r})"


class ForkedProcess:
    """Stands in for the `subprocess.Popen` of `WorkerProcess`, as far as that uses it."""

    def __init__(self, source, pid):
        self._source, self.pid = source, pid

    @property
    def returncode(self):
        return self._source.ended.get(self.pid)

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        with self._source.news:
            if not self._source.news.wait_for(lambda: self.pid in self._source.ended, timeout):
                raise subprocess.TimeoutExpired("a forked worker", timeout)
        return self.returncode

    def kill(self):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class ForkSource:
    """The process that worker processes are forked from, started when the first one is wanted."""

    def __init__(self, kept_folder):
        self._kept_folder = kept_folder
        self.ended = {}
        self.news = threading.Condition()
        self._lock = threading.Lock()
        self._answers = []
        self._python = self._python_now()
        self._socket = None

    @staticmethod
    def _python_now():
        return sys.executable, os.environ.get("PYTHONPATH")

    def popen(self, command, stdin, stdout, stderr, pass_fds, start_new_session, env):
        """Fork a worker process; start it as usual where a test wants another Python or other modules."""
        if self._python_now() != self._python:
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                start_new_session=start_new_session,
                env=env,
            )
        (connection,) = pass_fds
        with self._lock:
            if self._socket is None:
                self._start()
            wanted = json.dumps({"env": dict(env), "folder": str(Path.cwd())}).encode()
            size = len(wanted).to_bytes(4, "little")
            socket.send_fds(self._socket, [size], [connection, stdout.fileno()])
            self._socket.sendall(wanted)
            with self.news:
                assert self.news.wait_for(lambda: self._answers, 60), "no worker process was forked"
                return ForkedProcess(self, self._answers.pop())

    def _start(self):
        ours, theirs = socket.socketpair()
        paths = [str(ROOT), *filter(None, self._python[1:])]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(theirs.fileno(), str(self._kept_folder))],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        theirs.close()
        self._socket = ours
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self):
        with self._socket.makefile("r") as lines:
            for line in lines:
                kind, pid, code = line.split()
                with self.news:
                    if kind == "forked":
                        self.ended.pop(int(pid), None)  # of an earlier process with this number
                        self._answers.append(int(pid))
                    else:
                        self.ended[int(pid)] = int(code)
                    self.news.notify_all()

    def close(self):
        """End the process, and with it no worker process that has a job."""
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._process.wait()
            self._listener.join()
            self._socket.close()


def forking(source):
    """What `WorkerProcess` takes for the module `subprocess`."""
    names = {name: getattr(subprocess, name) for name in ("DEVNULL", "TimeoutExpired")}
    return SimpleNamespace(Popen=source.popen, **names)


def serve_forks(descriptor, kept_folder):
    """Fork a worker process for each request, tell of each one's end, and end with the other side.

    They share what the tests keep in a folder.
    """
    import cv2  # noqa: F401 - what jobs import
    import imagecodecs  # noqa: F401
    import openslide  # noqa: F401

    import wsicomp.batch.jobs
    import wsicomp.batch.proof
    import wsicomp.batch.target_jobs
    import wsicomp.batch.worker_process  # noqa: F401
    from tests.drawn.kept import keep_in

    keep_in(Path(kept_folder), setattr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = socket.socket(fileno=descriptor)
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ready = selectors.DefaultSelector()
    ready.register(asked, selectors.EVENT_READ)
    ready.register(read, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is asked and not _fork(asked):
                return
            if key.fileobj == read:
                os.read(read, 4096)
                _tell_ends(asked)


def _fork(asked):
    """Fork one worker process; whether there was a request."""
    size, (*descriptors,), _, _ = socket.recv_fds(asked, 4, 2)
    if not size:
        return False
    wanted = b""
    while len(wanted) < int.from_bytes(size, "little"):
        wanted += asked.recv(int.from_bytes(size, "little") - len(wanted))
    pid = os.fork()
    if pid == 0:
        _work(asked, *descriptors, **json.loads(wanted))
    for descriptor in descriptors:
        os.close(descriptor)
    asked.sendall(f"forked {pid} 0\n".encode())
    return True


def _tell_ends(asked):
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            asked.sendall(f"ended {found[0]} {os.waitstatus_to_exitcode(found[1])}\n".encode())


def _work(asked, connection, errors, env, folder):
    """Be a worker process, and never return."""
    from wsicomp.batch.worker_process import serve

    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asked.close()
        os.setsid()
        for standard in (1, 2):
            os.dup2(errors, standard)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(folder)
        serve(connection)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
