"""The commands that are printed at night work as they are printed: with what this command line had to name, too."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import NamedTuple

PLACE = ("region", "profile", "role", "external_id", "endpoint_url")
"""Where a provider looks when there is no card."""
_ROLLBACK = re.compile(r"\brollout rollback\b(?! --help)")
_OTHER = re.compile(r"\brollout (?=(?:abort|adopt|doctor|resume|start|status|wave) )")


class Again(NamedTuple):
    """What a command typed from a line of ours needs beside what the line says: options with a blank before them."""

    fleet: str = ""
    rollback: str = ""

    @classmethod
    def of(cls, asked: argparse.Namespace, *, is_found: bool) -> Again:
        """`is_found`: from here the fleet file is found without being named."""
        named = {name: getattr(asked, name) for name in ("config", "server", "provider", *PLACE)}
        named["config"] = None if is_found else named["config"]
        given = {name: _option(name, value) for name, value in named.items() if value}
        return cls(given.get("config", ""), "".join(given.values()))

    def in_line(self, line: str) -> str:
        """The line, its commands completed."""
        if not self.rollback:
            return line
        line = _ROLLBACK.sub(lambda found: found[0] + self.rollback, line)
        return _OTHER.sub(lambda found: f"rollout{self.fleet} ", line)


def _option(name: str, value: str) -> str:
    return f" --{name.replace('_', '-')} {shlex.quote(value)}"
