"""The hotline's own listener: a socket in the state folder, threads of its own, nothing in common with the engine.

A job that hangs, a store that is locked and a platform that does not answer leave it free to take the next call.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from rollout.hotline.converse import Answer, Trouble, converse
from rollout.hotline.peer import person, uid_of
from rollout.hotline.place import SOCKET, bound, connected
from rollout.hotline.request import MOST_BYTES, BadRequest, Request, parse_request
from rollout.state_dir import is_for_group, make_folder

AT_ONCE = 8
READ_S = 5.0
"""All of a request has to be here by then."""
PING_S = 1.0
BACKLOG = 16


class Hotline:
    """Answers at `<folder>/hotline.sock`, for at most AT_ONCE clients; those beyond go on directly."""

    def __init__(self, folder: Path, answer: Answer, trouble: Trouble) -> None:
        self.path = folder / SOCKET
        self._answer, self._trouble = answer, trouble
        self._listener: socket.socket | None = None
        self._id: tuple[int, int] | None = None
        self._closed = threading.Event()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._talking: set[threading.Thread] = set()

    def open(self) -> bool:
        """Begin to listen; False where another living process does. What a dead or frozen one left is replaced."""
        make_folder(self.path.parent)
        if is_answered(self.path):
            return False
        aside = self.path.with_name(f".{SOCKET}.{os.getpid()}")
        aside.unlink(missing_ok=True)
        shared = is_for_group(self.path.parent)
        listener = bound(str(aside), 0o660 if shared else 0o600)
        try:
            if shared:
                aside.chmod(0o660)  # whatever the umask
            listener.listen(BACKLOG)
            seen = aside.stat()
            aside.replace(self.path)
        except BaseException:
            listener.close()
            aside.unlink(missing_ok=True)
            raise
        self._listener, self._id = listener, (seen.st_dev, seen.st_ino)
        threading.Thread(target=self._take_calls, args=(listener,), daemon=True, name="hotline").start()
        return True

    @property
    def is_ours(self) -> bool:
        """Does the socket that clients find still lead here?"""
        try:
            seen = self.path.stat()
        except OSError:
            return False
        return self._listener is not None and (seen.st_dev, seen.st_ino) == self._id

    def close(self, patience_s: float = 0.0) -> None:
        """Take no more calls; those that are being answered may go on for so long."""
        self._closed.set()
        if self.is_ours:
            self.path.unlink(missing_ok=True)
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a call
            self._listener.close()
        each_s = patience_s / max(1, len(self._talking))
        for thread in list(self._talking):
            thread.join(each_s)

    def _take_calls(self, listener: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                channel, _ = listener.accept()
            except OSError as error:
                if not self._closed.wait(0.2):  # such as no descriptors left: that may pass
                    self._trouble("hotline", error)
                continue
            if not self._places.acquire(blocking=False):
                channel.close()  # the client, left without an answer, does it by himself
                continue
            thread = threading.Thread(target=self._serve, args=(channel,), daemon=True, name="hotline call")
            self._talking.add(thread)
            thread.start()

    def _serve(self, channel: socket.socket) -> None:
        try:
            with channel:
                who = person(uid_of(channel))
                request = _read(channel)
                if request is not None:
                    converse(channel.sendall, request, who, self._answer, self._trouble)
        except BadRequest as error:
            self._trouble("hotline", error)
        except OSError:
            pass  # it hung up
        finally:
            self._talking.discard(threading.current_thread())
            self._places.release()


def is_answered(path: Path) -> bool:
    """Does a living process answer there?"""
    try:
        with connected(str(path), PING_S) as channel:
            channel.settimeout(PING_S)
            channel.sendall(b"ping\n")
            return channel.recv(16).startswith(b"pong")
    except OSError:
        return False


def _read(channel: socket.socket) -> Request | None:
    """What is asked, None for a ping or for nothing. Raises BadRequest, OSError."""
    channel.settimeout(READ_S)
    late = threading.Timer(READ_S, lambda: _shut(channel))  # one that drips has no more time than one that hangs
    late.daemon = True
    late.start()
    try:
        raw = b""
        while b"\n" not in raw:
            if len(raw) > MOST_BYTES:
                raise BadRequest(f"a request has at most {MOST_BYTES} bytes")
            more = channel.recv(4096)
            if not more:
                return None
            raw += more
    finally:
        late.cancel()
    line = raw.partition(b"\n")[0]
    if line == b"ping":
        channel.sendall(b"pong\n")
        return None
    return parse_request(line)


def _shut(channel: socket.socket) -> None:
    with suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)
