"""history, report and explain as a user runs them: streams, exit codes, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rollout import wiring
from rollout.commands import tell
from rollout.fleet_journal import FleetJournal
from rollout.tell.writing import CannotWrite, write_out
from tests.core.scene import ROLLOUT, World, phase_is
from tests.core.test_job import failing_live
from tests.tell.kit import Shape, Told

AGES = ("--since", "2000-01-01")  # the world's clock stands at the beginning of 2026


def failed(told: Told) -> World:
    """A rollout that was put back by itself."""
    world = told.world()
    world.asking(failing_live)
    world.drive()
    return world


# History


def test_history_is_a_table_and_data(told: Told) -> None:
    """What happened is only to be had by reading journals."""
    world = failed(told)
    FleetJournal(world.store.db).append("held", "shop", {"actor": "ci", "reason": "deploy"}, world.clock.now())
    FleetJournal(world.store.db).append("restored", "", {"by": "ops"}, world.clock.now())
    FleetJournal(world.store.db).append("held", "other", {"actor": "ci", "reason": "no"}, world.clock.now())
    code, out, err = told.run("history", *AGES)
    assert (code, err) == (0, "") and "shop-1" in out and "restored" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    events = told.document("history", *AGES)["events"]
    assert [event["kind"] for event in events] == ["held", "restored", "held", "rollout"]
    assert [event["service"] for event in events] == ["other", None, "shop", "shop"]
    assert [event["kind"] for event in told.document("history", "shop", *AGES)["events"]] == [
        "restored",
        "held",
        "rollout",
    ]
    limited = told.document("history", "--limit", "1", *AGES)
    assert len(limited["events"]) == 1 and limited["left_off"] == 3
    assert "3 older ones are left off" in told.run("history", "--limit", "1", *AGES)[1]


def test_history_of_nothing_is_no_error(told: Told) -> None:
    """A script over a new fleet fails."""
    told.world().store.close()
    code, out, _ = told.run("history", "--since", "1h")
    assert code == 0 and "shop-1" in out  # open since long ago, and still
    (told.folder / ".rollout" / "rollout.db").unlink()
    code, out, _ = told.run("history", "shop")
    assert code == 0 and "nothing happened since 30d" in out
    assert not (told.folder / ".rollout" / "rollout.db").exists()


@pytest.mark.parametrize(
    "arguments", [("shpo",), ("--since", "yesterday"), ("--limit", "0"), ("--since", "9999-01-01")]
)
def test_history_refuses_what_it_does_not_understand(told: Told, arguments: tuple[str, ...]) -> None:
    """A mistyped service has no history, and that is taken for good news."""
    told.world()
    code, out, err = told.run("history", *arguments)
    assert code == 2 and out == "" and err


# Report


def test_a_report_on_stdout_and_as_data(told: Told) -> None:
    """A pipeline cannot attach the report to its ticket."""
    failed(told)
    code, out, err = told.run("report", "shop")
    assert (code, err) == (0, "") and out.startswith("# Report of rollout `shop-1`\n")
    code, html, _ = told.run("report", ROLLOUT, "--format", "html")
    assert code == 0 and "turning back" in Shape(html).text
    data = told.document("report", "shop")
    assert data["report"] == 1 and data["integrity"]["state"] == "whole" and data["by_hand"]["closed"] == "rolled_back"


def test_a_report_goes_into_a_file_whole_or_not_at_all(told: Told) -> None:
    """A disk that is full leaves half a report where the last good one was."""
    failed(told)
    out = told.folder / "report.html"
    code, said, err = told.run("report", "shop", "--out", str(out))
    assert (code, said.strip()) == (0, "") and f"wrote {out} (html, {out.stat().st_size} bytes)" in err
    first = out.read_bytes()
    assert Shape(first.decode()).tags and told.run("report", "shop", "--out", str(out))[0] == 0
    assert out.read_bytes() == first and [path.name for path in told.folder.glob("*report*")] == ["report.html"]
    markdown = told.folder / "report.md"
    document = told.document("report", "shop", "--out", str(markdown))
    assert document == {"id": ROLLOUT, "out": str(markdown), "format": "markdown", "bytes": markdown.stat().st_size}
    assert markdown.read_text() == told.run("report", "shop")[1]


def test_a_report_is_refused_where_it_cannot_be_written(told: Told) -> None:
    """The report is nowhere, and the command says that all is well."""
    failed(told)
    for out, why in (
        (told.folder, "is a folder"),
        (told.folder / "no" / "r.md", "cannot be written"),
        (Path("/dev/null"), "no file"),
    ):
        code, said, err = told.run("report", "shop", "--out", str(out))
        assert code == 2 and said == "" and why in err
    assert told.run("report", "shop", "--format", "pdf")[0] == 2
    assert told.run("report", "nobody")[0] == 2


def test_what_cannot_be_replaced_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed write destroys the report of the last time."""
    path = tmp_path / "report.md"
    write_out(path, "good")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="No space left"):
        write_out(path, "better")
    assert path.read_text() == "good" and [each.name for each in tmp_path.iterdir()] == ["report.md"]


def test_another_rollouts_card_is_not_shown(told: Told) -> None:
    """The way back of the next rollout is printed on the report of the last one."""
    world = failed(told)
    path = world.cards.path("shop")
    path.write_text(path.read_text().replace('"rollout": "shop-1"', '"rollout": "shop-2"'))
    assert told.document("report", "shop")["by_hand"] is None


@pytest.mark.parametrize("card", ["{", "[]", '{"rollout": 1}'])
def test_a_damaged_card_is_said_and_breaks_no_report(told: Told, card: str) -> None:
    """A damaged file on the way back keeps the report from being made."""
    world = failed(told)
    world.cards.path("shop").write_text(card)
    code, out, err = told.run("report", "shop")
    assert code == 0 and out.startswith("# Report") and "cannot be read" in err


def test_a_platforms_own_commands_are_printed(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact commands that the platform's module knows are not on the break-glass page."""
    world = told.world()
    world.drive(phase_is("warm"))
    module: Any = ModuleType("providers.memory.rollback")
    module.by_hand = lambda target, weights: [f"vendor {target['service']} {weights['blue']}"]
    monkeypatch.setattr(wiring, "thin_rollback", lambda provider: module)
    assert told.document("report", "shop")["by_hand"]["commands"] == ["vendor shop 100"]
    assert "vendor shop 100" in told.run("report", "shop")[1]

    def broken(target: Any, weights: Any) -> list[str]:
        raise RuntimeError("no region")

    module.by_hand = broken
    code, out, err = told.run("report", "shop")
    assert code == 0 and "no region" in err and '"service": "shop"' in out


def test_a_broken_chain_is_said_beside_the_report(told: Told) -> None:
    """The report of an edited journal is sent on unseen."""
    world = failed(told)
    with world.store.db.transaction() as db:
        db.execute("UPDATE journal SET data = '{}' WHERE kind = 'recovered' OR seq = 2")
        db.execute("UPDATE journal SET at = at + 1 WHERE seq = 2")
    code, out, err = told.run("report", "shop")
    assert code == 0 and "BROKEN" in out and "does not match its hash" in err


# Explain


def test_explain_in_words_and_as_data(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """At three in the morning, the only answer is a table of hashes."""
    world = told.world()
    world.drive(phase_is("warm"))
    monkeypatch.setattr(wiring.SystemClock, "now", lambda clock: world.clock.now())
    code, out, err = told.run("explain", "shop")
    assert (code, err) == (0, "") and "shop-1 was promoted: green serves" in out and "read now" in out
    assert "rollout rollback shop" in out and "nobody drives it now" in out
    data = told.document("explain", ROLLOUT)
    assert (data["situation"], data["traffic_read"], data["image"]) == ("warm", "live", "base-2")


def test_explain_at_a_moment(told: Told) -> None:
    """What was true at two o'clock has to be pieced together from a journal."""
    world = failed(told)
    code, out, _ = told.run("explain", "shop", "--at", "2026-01-01T00:00:09Z")
    assert code == 0 and "is being proven at gate live:1:50" in out and "green 50 % (base-2)" in out
    assert "What was to come next" in out and "tester: opened it" in out
    data = told.document("explain", "shop", "--at", "2026-01-01T00:00:12Z")
    assert (data["situation"], data["traffic"], data["active_slot"]) == (
        "rolling_back",
        {"blue": 100, "green": 0},
        "blue",
    )
    assert told.document("explain", "shop", "--at", "1s")["situation"] == "closed_rolled_back"
    before = told.document("explain", "shop", "--at", "2025-12-31T00:00:00Z")
    assert before["situation"] == "none" and before["first"]["image"] == "base-1"
    assert "had begun by" in told.run("explain", "shop", "--at", "2025-12-31T00:00:00Z")[1]
    code, _, err = told.run("explain", ROLLOUT, "--at", "2025-12-31T00:00:00Z")
    assert code == 2 and "had not begun" in err
    world.store.close()


@pytest.mark.parametrize("at", ["yesterday", "2030-13-01", "9999-01-01"])
def test_explain_refuses_a_moment_that_is_none(told: Told, at: str) -> None:
    """The answer is about another moment than was asked for."""
    told.world()
    code, out, err = told.run("explain", "shop", "--at", at)
    assert code == 2 and out == "" and "allowed" in err


def test_a_rollout_that_is_driven_meanwhile_is_read_at_one_moment(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that is made while the rollout runs says that its journal is broken."""
    world = told.world()
    world.drive(phase_is("proving"))
    made, jobs = wiring.Installation(told.folder / "fleet.yaml"), [3]
    entries = type(made.store).entries

    def entries_while_driven(store: Any, rollout: str, after: int = 0) -> Any:
        if jobs[0]:
            jobs[0] -= 1
            world.passes(3.0)
            world.job()
        return entries(store, rollout, after)

    row = made.store.rollout(ROLLOUT)
    monkeypatch.setattr(type(made.store), "entries", entries_while_driven)
    case = tell.case_now(made, row)
    assert len(case.entries) == case.row.head_seq and jobs[0] == 0


def test_the_commands_of_others_do_not_pay_for_these(tmp_path: Path) -> None:
    """Every command starts slower because one of them writes reports."""
    program = (
        "import json, sys; import rollout.commands.tell;"
        "print(json.dumps(sorted(name for name in sys.modules if name.startswith(('rollout.tell', 'rich', 'html')))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not {name for name in loaded if name.startswith("rollout.tell.")}
