"""Text from outside (checks, people, platforms) made harmless to look at: on one line, nothing hidden, not endless."""

from __future__ import annotations

import unicodedata

LONGEST = 2000
_HIDDEN = ("Cc", "Cf", "Cs")
"""Control characters, marks that turn the direction of text or join letters unseen, and halves of characters."""


def clean(text: object, longest: int = LONGEST) -> str:
    """The same text with white space as single spaces and what cannot be seen written out, such as `\\u202e`."""
    line = " ".join(str(text).split())
    cut = len(line) - longest
    if cut > 0:
        line = line[:longest]
    if not (line.isascii() and line.isprintable()):
        line = "".join(_shown(letter) for letter in line)
    return f"{line}… ({cut} more characters, which the journal has)" if cut > 0 else line


def _shown(letter: str) -> str:
    code = ord(letter)
    if unicodedata.category(letter) in _HIDDEN or code & 0xFFFE == 0xFFFE:
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return letter
