"""Placeholders in a PromQL query of the owner's: filled in as label values, escaped; nothing is evaluated here.

A placeholder stands inside of a quoted string, so what it stands for can be nothing but text: `{slot="{slot}"}`. Behind
`=~` and `!~` it is escaped as a regular expression too; `{instances}` stands only there, as one alternative each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LONGEST = 4000
PLACEHOLDERS = ("slot", "service", "instances")
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_UNPRINTABLE = re.compile(r"[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")
# A comment, or a string in one of the three quotes; a quote that is left over opens a string that never ends.
_TOKEN = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`|["'`]""")
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")


def used(query: str) -> set[str]:
    """The placeholders in a query."""
    return {found[1] for found in _PLACEHOLDER.finditer(query)}


def raise_if_unfit(query: str) -> None:
    """ValueError for a query that cannot be filled in safely."""
    if not query.strip() or len(query) > LONGEST or _UNPRINTABLE.search(query):
        raise ValueError(f"a query is PromQL: plain text of at most {LONGEST} characters")
    fill(query, dict.fromkeys(PLACEHOLDERS, ()))


def fill(query: str, values: Mapping[str, Sequence[str]]) -> str:
    """The query with each placeholder replaced by its values; ValueError where one stands outside of a string."""
    filled, end = "", 0
    for token in _TOKEN.finditer(query):
        filled += _outside(query[end : token.start()])
        text, end = token[0], token.end()
        if len(text) == 1 and text != "#":
            raise ValueError("query: a string in it never ends")
        if text.startswith("#"):
            continue
        if text.startswith("`") and _PLACEHOLDER.search(text):
            raise ValueError("query: a placeholder stands in double quotes; between backticks nothing can be escaped")
        filled += _filled(text, values, is_regex=bool(re.search(r"[=!]~\s*$", filled)))
    return filled + _outside(query[end:])


def _outside(text: str) -> str:
    if found := _PLACEHOLDER.search(text):
        raise ValueError(f'query: {found[0]} stands in double quotes, such as slot="{{slot}}"')
    return text


def _filled(text: str, values: Mapping[str, Sequence[str]], is_regex: bool) -> str:
    def put(found: re.Match[str]) -> str:
        name = found[1]
        if name == "instances" and not is_regex:
            raise ValueError('query: {instances} are several: it stands behind =~ or !~, as instance=~"{instances}"')
        each = [_regex(value) if is_regex else value for value in values[name]]
        return _escaped(f"(?:{'|'.join(each)})" if is_regex else "".join(each), text[0])

    return _PLACEHOLDER.sub(put, text)


def _regex(value: str) -> str:
    return _META.sub(lambda found: f"\\{found[0]}", value)


def _escaped(value: str, quote: str) -> str:
    plain = value.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return _UNPRINTABLE.sub("\ufffd", plain).replace("\n", "\\n").replace("\t", "\\t")
