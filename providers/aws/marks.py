"""The hold mark, and the weights that a move of several routes goes to, as tags of a listener or rule. Pure, and only
the standard library: the emergency path is built on it, too.

A value may have 256 letters, digits and `+ - = . _ : / @`. A space is kept as `_`; everything else, byte by byte in
UTF-8, as `=` and two hexadecimal digits; a text that is empty as `=` alone.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping

from providers.contract.routing import HoldMark
from providers.contract.slots import SLOTS, Slot, Weights

MARK = "rollout-manager:mark"
BY = "rollout-manager:mark-by"
REASON = "rollout-manager:mark-reason"
DECLARING = "rollout-manager:declaring"
KEYS = (MARK, BY, REASON)
LONGEST = 256
PLAIN = set("+-.:/@")
UNREADABLE = "unreadable"


def tags_of(mark: HoldMark) -> dict[str, str]:
    """The mark as tags; what does not fit is cut off between two characters."""
    head = f"{int(mark.epoch)} {mark.active} {float(mark.at)!r} "
    return {
        MARK: head + encoded(mark.rollout, LONGEST - len(head)),
        BY: encoded(mark.by),
        REASON: encoded(mark.reason),
    }


def mark_of(tags: Mapping[str, str], serving: Slot = "blue") -> HoldMark | None:
    """The mark in the tags. One that cannot be read is a mark nevertheless, with what can be read of it; where it does
    not say which slot is to have the traffic, `serving` is."""
    if MARK not in tags:
        return None
    text = tags[MARK]
    try:
        epoch, active, at, rollout = text.split(" ")
        if active in SLOTS and math.isfinite(float(at)):
            slot: Slot = "green" if active == "green" else "blue"
            return HoldMark(
                decoded(rollout), int(epoch), slot, decoded(tags[BY]), float(at), decoded(tags.get(REASON, "="))
            )
    except (ValueError, KeyError):
        pass
    return _partly(text, tags, serving)


def unreadable(why: str, serving: Slot) -> HoldMark:
    """For where nobody can tell whether there is one."""
    return HoldMark(UNREADABLE, 0, serving, UNREADABLE, 0.0, why)


def of_mark(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that are the mark's."""
    return {key: tags[key] for key in KEYS if key in tags}


def declaring_text(weights: Weights) -> str:
    return " ".join(f"{slot}={weights[slot]}" for slot in SLOTS)


def declaring_of(tags: Mapping[str, str]) -> Weights | None:
    """None where nothing is declared, or nothing that anybody can read."""
    match = re.fullmatch(r"blue=([0-9]{1,3}) green=([0-9]{1,3})", tags.get(DECLARING, ""))
    found: dict[Slot, int] = {"blue": int(match[1]), "green": int(match[2])} if match else {}
    return found if found and sum(found.values()) == 100 else None


def encoded(text: str, longest: int = LONGEST) -> str:
    pieces, length = [], 0
    for character in text:
        piece = _piece(character)
        if length + len(piece) > longest:
            break
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces) or "="


def decoded(value: str) -> str:
    """Raises ValueError for what `encoded` cannot have made."""
    if value == "=":
        return ""
    found = bytearray()
    for piece in re.split(r"(=[0-9A-F]{2})", value):
        if re.fullmatch(r"=[0-9A-F]{2}", piece):
            found.append(int(piece[1:], 16))
        elif "=" in piece:
            raise ValueError(f"{value!r}: an = that begins nothing")
        else:
            found += piece.replace("_", " ").encode("utf-8", "surrogatepass")
    return found.decode("utf-8", "surrogatepass")


def _piece(character: str) -> str:
    if character == " ":
        return "_"
    # Letters beyond the first plane count twice for some, and not at all for others.
    if character in PLAIN or (ord(character) < 0x10000 and unicodedata.category(character)[0] in "LN"):
        return character
    return "".join(f"={byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _partly(text: str, tags: Mapping[str, str], serving: Slot) -> HoldMark:
    parts = re.split(r"[\s,;=]+", text)
    epoch = next((int(part) for part in parts if re.fullmatch(r"[0-9]{1,18}", part)), 0)
    named = [slot for slot in SLOTS if slot in parts]
    rollout = text.split(" ")[-1]
    return HoldMark(
        rollout=_legible(rollout) or UNREADABLE,
        epoch=epoch,
        active=named[0] if len(named) == 1 else serving,
        by=_legible(tags.get(BY, "")) or UNREADABLE,
        at=0.0,
        reason=f"{UNREADABLE} mark {text!r} {_legible(tags.get(REASON, ''))}".rstrip(),
    )


def _legible(value: str) -> str:
    try:
        return decoded(value)
    except ValueError:
        return value
