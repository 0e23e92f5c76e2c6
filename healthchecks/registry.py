"""Checks by name. One is known by being there: a module of this package that defines `ask`.

Looking does not import anything; a check is imported when a configuration names it.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

from healthchecks.base import Ask, Subject, Verdict
from healthchecks.guard import verdict_of


class CheckModule(Protocol):
    """What `load` returns: a module with the check's options and its question."""

    Options: type[Any]
    ask: Ask


class UnknownCheck(LookupError):
    """No such check, or what the name leads to is none; the message lists what there is."""


@cache
def known_checks() -> tuple[str, ...]:
    """The names of the checks in this package, sorted."""
    return tuple(sorted(_with_ask(Path(__file__).parent.glob("*.py"))))


def _with_ask(files: Iterable[Path]) -> Iterable[str]:
    for file in files:
        body = ast.parse(file.read_text("utf-8")).body
        if any(isinstance(node, ast.FunctionDef) and node.name == "ask" for node in body):
            yield file.stem


def load(name: str) -> CheckModule:
    """The check's module. `name` is a known one; others are `package.module` or `package.module:ask`."""
    path = name.removesuffix(":ask") if "." in name else name
    if "." not in name and name not in known_checks():
        raise UnknownCheck(_advice(name))
    if not all(part.isidentifier() for part in path.split(".")):
        raise UnknownCheck(f"{name!r} is not a check: write package.module for one from outside")
    try:
        module = importlib.import_module(path if "." in path else f"healthchecks.{path}")
    except Exception as error:
        kind = type(error).__name__
        raise UnknownCheck(f"check {name!r} cannot be imported: {kind}: {error}. {_list()}") from error
    if not callable(getattr(module, "ask", None)) or not is_dataclass(getattr(module, "Options", None)):
        raise UnknownCheck(f"{name!r} is not a check: it needs a dataclass Options and a function ask")
    return cast(CheckModule, module)


def ask_safely(module: CheckModule, options: Any, subject: Subject) -> Verdict:
    """The check's verdict; anything that it raises, or answers instead of a verdict, is unknown."""
    return verdict_of(lambda: module.ask(options, subject))


def _advice(name: str) -> str:
    nearest = difflib.get_close_matches(name.lower().replace("-", "_"), known_checks(), n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    return f"there is no check {name!r}{hint} {_list()}"


def _list() -> str:
    return f"Known: {', '.join(known_checks())}; or package.module for one from outside."
