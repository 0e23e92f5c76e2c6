"""What the tests of history, report and explain share: hostile text, a rollout that met all of it, the commands."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Subject, Verdict
from rollout import entry as program
from rollout.journal import GENESIS, Entry, next_entry
from rollout.plan import CheckSpec
from rollout.rows import Row
from rollout.tell.case import Case, case_of
from rollout.tell.standing import standing_of
from rollout.tell.words import words_of
from tests.core.scene import FLEET, ROLLOUT, World, a_plan

HOLE = "outside-text"
"""Stands in a case wherever somebody else's text goes; `filled` puts another one there."""

HOSTILE = (
    "<script>alert(1)</script>",
    "</title></style></pre></code><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "[click](javascript:alert(1)) ![x](http://example.com/x.png) <http://example.com>",
    "http://example.com/ www.example.com me@example.com @everyone #12",
    "a | b | c\n| --- | --- |\n\n# A heading\n- [x] approved\n> quoted\n```\nfence\n```",
    "`` ` ``` backticks ` `",
    "ends in a backslash \\",
    "\\| and \\` and \\\\|",
    "\x00\x1b[31mred\x1b[0m\x07 \r\n \x85 \u2028 \u2029 bell",
    "\u202etxt.exe\u202c \u2066\u2067\u2069 \u200b \ufeff \u061c",
    "\ud800 half, \U000e0041 tag, \uffff no letter",
    "long " * 5000,
    "x" * 50_000,
    "&lt;b&gt; &amp; &#60;",
    "{original} {0} %s $(id) ${PATH} {{ 7*7 }}",
    "1. one\n2. two\n\n    code\n\n***\n---\n===",
)


def entry(kind: str, step: str = "", *, at: float = 0.0, seq: int = 1, **data: Any) -> Entry:
    return next_entry(ROLLOUT, seq, GENESIS, at=at, epoch=1, kind=kind, step=step, data=data)


def case_now(world: World) -> Case:
    return case_of(world.row, world.store.entries(ROLLOUT), world.store.wait(ROLLOUT))


def standing(world: World, **more: Any) -> dict[str, Any]:
    return standing_of(case_now(world), world.clock.now(), **more)


def words(world: World, **more: Any) -> str:
    return words_of(standing(world, **more), 80)


# A case that is full of somebody else's text


def a_ledger(text: str = HOLE) -> dict[str, Any]:
    """As the vulnerabilities check keeps it, with two hosts a side."""

    def advisory(number: int, original: list[str], replacement: list[str]) -> dict[str, Any]:
        package = {"ecosystem": "PyPI", "name": text, "old": ["1.0", "1.1"], "new": ["2.0"] if replacement else []}
        return {
            "id": f"CVE-{number} {text}",
            "ids": [text],
            "summary": text,
            "packages": [package],
            "fixed_versions": ["2.0"],
            "original_hosts": original,
            "replacement_hosts": replacement,
        }

    old, new = [f"old-1 {text}", "old-2"], [f"new-1 {text}", "new-2"]
    return {
        "fixed": [advisory(1, old, []), advisory(2, old[:1], [])],
        "remaining": [advisory(3, old, new)],
        "introduced": [advisory(4, [], new[:1])],
        "undecided": [advisory(5, old[1:], [])],
        "unknown": [{"side": "replacement", "hosts": new[1:], "subject": text, "reason": text}],
        "unseen": [text],
        "counts": {"fixed": 2, "remaining": 1, "introduced": 1, "undecided": 1, "unknown": 1},
        "cut": False,
        "database_digest": text,
        "database_records": 7,
        "database_newest": text,
    }


def saying(text: str, *, fails_live: bool = True) -> Any:
    """Checks that answer with a text, and with a ledger at the proof."""

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        share = subject.readings.traffic().route.share("green")
        if subject.role == "replacement" and share and fails_live:
            return Verdict.failed(text, said=text, more=[text])
        ledger = a_ledger(text) if subject.role == "replacement" else {"said": text}
        return Verdict.passed(text, **ledger)

    return ask


def outside_case(folder: Path) -> tuple[Case, Any]:
    """A rollout that was approved, failed under traffic, and was put back, with HOLE wherever people and checks speak;
    and its rollback card."""
    plan = a_plan(approval="required", patch=replace(a_plan().patch, reference=HOLE, provenance={"from": HOLE}))
    world = World(folder, plan, ask=saying(HOLE))
    world.drive(lambda world: world.row.outcome == "waiting_approval")
    said = {"by": HOLE, "ref": HOLE, "reason": HOLE}
    for kind in ("approved", "paused", "resumed", "something_new"):
        world.store.decide(ROLLOUT, world.row.head_seq, kind, {**said, "plan_hash": HOLE}, world.clock.now())
    world.drive()
    case, card = case_now(world), world.cards.read("shop")
    world.store.close()
    opened = replace(case.entries[0], data={**case.entries[0].data, "actor": HOLE, "reason": HOLE, "ref": HOLE})
    row = replace(case.row, actor=HOLE, reason=HOLE)
    assert card is not None
    return case_of(row, [opened, *case.entries[1:]]), replace(card, target={"key": HOLE, HOLE: [HOLE]}, closed="")


def filled(case: Case, text: str) -> Case:
    """The same case with another text in every hole."""
    row: Row = replace(
        case.row,
        actor=text,
        reason=text,
        plan=fill(case.row.plan, text),
    )
    return case_of(row, [replace(each, data=fill(each.data, text)) for each in case.entries])


def fill(value: Any, text: str) -> Any:
    if isinstance(value, str):
        return value.replace(HOLE, text)
    if isinstance(value, Mapping):
        return {fill(key, text): fill(inner, text) for key, inner in value.items()}
    return [fill(inner, text) for inner in value] if isinstance(value, list | tuple) else value


def is_plain(text: str) -> bool:
    """Nothing in it steers a terminal, turns the direction of text, or cannot be encoded."""
    return all(unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or letter == "\n" for letter in text)


# HTML


class Shape(HTMLParser):
    """The tags of a page in order; fails at one that is not closed where it should be, or has what it may not have."""

    VOID = ("meta",)
    TAGS = re.compile(
        "html|head|meta|title|style|body|h[123]|bdi|dl|dt|dd|p|ol|li|pre|code|div|table|thead|tbody|tr|th|td|figure"
        "|svg|path|line|text"
    )
    ATTRIBUTES = re.compile(
        "lang|charset|http-equiv|content|name|class|viewbox|role|aria-label|d|x|y|x1|x2|y1|y2|text-anchor"
    )

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.said = list[str](), list[str](), list[str]()
        self.meta, self.paths = dict[str, str](), list[str]()
        self.feed(page)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert self.TAGS.fullmatch(tag) and all(map(self.ATTRIBUTES.fullmatch, given)), (tag, given)
        self.tags.append(tag)
        if tag == "meta":
            self.meta[given.get("http-equiv") or given.get("name") or "charset"] = given.get("content", "")
        if tag == "path":
            self.paths.append(given["d"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def text(self) -> str:
        return "".join(self.said)


# Commands


@dataclass
class Told:
    """`rollout …` in this process, over the store of the world in `folder`."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def world(self, **more: Any) -> World:
        """A world whose store and cards lie where the fleet file says."""
        (self.folder / "fleet.yaml").write_text(FLEET)
        (self.folder / ".rollout").mkdir(exist_ok=True)
        return World(self.folder / ".rollout", **more)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self.capsys.readouterr()
        code = program.run([*arguments, "--config", str(self.folder / "fleet.yaml")])
        out, err = self.capsys.readouterr()
        return code, out, err

    def document(self, *arguments: str) -> dict[str, Any]:
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, (out, err)
        document: dict[str, Any] = json.loads(out)
        return document
