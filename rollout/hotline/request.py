"""What is asked on the hotline, read and bounded: one line of JSON, whoever sent it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rollout.actor import FOR, LONGEST_CLAIM
from rollout.hotline.client import VERSION

MOST_BYTES = 16 * 1024
MOST_WORDS = 64
LONGEST_WORD = 4000
NOT_THEIRS = ("--config", "--server", "--token-file")
"""The server has a fleet file of its own, and is asked for nothing else than that fleet."""
NOBODYS = ("--provider", "--region", "--profile", "--role", "--external-id", "--endpoint-url")
"""They would have the server's credentials move any traffic that they can, or shown to an endpoint of the asker's."""


class BadRequest(ValueError):
    """What was sent is no request; the message says what is wanted."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command line that begins with `rollback`, and what the asking job says of itself (empty: nothing)."""

    arguments: tuple[str, ...]
    claim: str = ""

    def actor(self, who: str) -> str:
        """Who is known to ask, and after him what he claims, which decides nothing."""
        return f"{who}{FOR}{self.claim}" if self.claim else who


def parse_request(raw: bytes) -> Request:
    """Raises BadRequest."""
    if len(raw) > MOST_BYTES:
        raise BadRequest(f"a request has at most {MOST_BYTES} bytes")
    try:
        asked: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequest("a request is one line of JSON") from None
    if not isinstance(asked, dict) or asked.get("v") != VERSION or isinstance(asked["v"], bool):
        raise BadRequest(f'a request is a mapping with "v": {VERSION}')
    arguments, claim = asked.get("arguments"), asked.get("claim", "")
    if not isinstance(arguments, list) or not 0 < len(arguments) <= MOST_WORDS:
        raise BadRequest(f'"arguments" is a list of 1 to {MOST_WORDS} texts')
    if not all(isinstance(word, str) and len(word) <= LONGEST_WORD and "\0" not in word for word in arguments):
        raise BadRequest(f"an argument is a text of at most {LONGEST_WORD} characters")
    if not isinstance(claim, str):
        raise BadRequest('"claim" is a text')
    if found := next((name for name in NOBODYS for word in arguments if word.partition("=")[0] == name), ""):
        raise BadRequest(f"{found} is not answered here: without a fleet file, ask the platform from where you are")
    wanted = _without(arguments)
    if not wanted or wanted[0] != "rollback":
        raise BadRequest("only `rollback` is answered here, as the first word")
    return Request(tuple(wanted), _plain(claim))


def _without(arguments: list[str]) -> list[str]:
    """The command line without what names a fleet file or a server; the command itself comes first."""
    kept, words = list[str](), iter(arguments)
    for word in words:
        if word in NOT_THEIRS:
            next(words, None)
        elif not word.startswith(tuple(f"{name}=" for name in NOT_THEIRS)):
            kept.append(word)
    if "rollback" in kept:
        at = kept.index("rollback")
        kept = ["rollback", *kept[:at], *kept[at + 1 :]]
    return kept


def _plain(text: str) -> str:
    """Printable ASCII on one line, as claims of CI jobs are."""
    return "".join(each if " " <= each <= "~" else "?" for each in text[:LONGEST_CLAIM])
