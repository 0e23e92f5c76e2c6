"""One conversation on the hotline: what is asked is done in a thread of its own, and told line by line meanwhile.

A client that goes away changes nothing: what was begun is brought to its end.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from rollout.hotline.request import Request

ALIVE_S = 1.0
"""How often a client is told that somebody still works for it."""

Say = Callable[..., None]
Answer = Callable[[Request, str, Say], int]
"""Does what is asked for whoever asks (his name), tells of it, and returns the exit code."""
Send = Callable[[bytes], None]
Trouble = Callable[[str, BaseException], None]


def converse(send: Send, request: Request, who: str, answer: Answer, trouble: Trouble) -> None:
    """Answer one request; returns when all of it is said. What breaks is told to `trouble`, and ends the answer early,
    so that the client does it by himself."""
    talk = _Talk(send)
    talk.tell({"alive": True})
    ended = threading.Event()
    code: list[int] = []

    def work() -> None:
        try:
            code.append(answer(request, who, talk.say))
        except Exception as error:  # a fault of ours must not keep the client from going on directly
            trouble("hotline", error)
        finally:
            ended.set()

    threading.Thread(target=work, daemon=True, name="rollback for the hotline").start()
    while not ended.wait(ALIVE_S):
        talk.tell({"alive": True})
    talk.tell({"exit": code[0] if code else None})


class _Talk:
    """Lines to one client, from several threads; one that hangs up is not talked to any more."""

    def __init__(self, send: Send) -> None:
        self._send, self._guard, self._gone = send, threading.Lock(), False

    def say(self, line: str, **facts: Any) -> None:
        self.tell({"say": line, "facts": facts})

    def tell(self, told: dict[str, Any]) -> None:
        raw = (json.dumps(told, default=str) + "\n").encode()
        with self._guard:
            if self._gone:
                return
            try:
                self._send(raw)
            except OSError:
                self._gone = True
