"""Whatever happens is told: in a sentence, in a summary with the next command, in an exit code."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import exits
from rollout.journal import Entry, Journal
from rollout.phases import PHASES
from rollout.rows import Wait
from rollout.summary import LEDGER, advisories, last_route, needs_a_driver, next_command, stand, summarise, why
from rollout.telling import age, brief, count, sentence, shares, short, waiting
from tests.core.scene import HOLDER, ROLLOUT, World, a_plan, phase_is
from tests.core.test_job import failing_live

SOURCES = sorted((Path(__file__).parents[2] / "rollout").rglob("*.py"))
SILENT = {"intended", "waiting"}  # the screen shows waits live; an intent is told when it is done
KEYS = {"outcome"}  # where an outcome is looked up, not said
OUTCOMES = {"promoted", "rolled_back", "aborted", "halted", "waiting_approval", "running"}


def kinds_written() -> set[str]:
    """Every kind of entry that the sources write: the constants handed to what writes entries."""
    position = {"note": 0, "_fail": 0, "_say": 2, "decide": 2, "append": 2, "_write": 2, "_append": 3}
    found = set[str]()
    for call in (
        node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in position and len(call.args) > position[name]:
            given = call.args[position[name]]
            if isinstance(given, ast.Constant) and isinstance(given.value, str) and given.value.isidentifier():
                found.add(given.value)
    return found


DATA: dict[str, dict[str, Any]] = {
    "opened": {"actor": "me"},
    "entered": {},
    "done": {"value": {"weights": {"blue": 90, "green": 10}}},
    "failed": {"reason": "no"},
    "ended": {"outcome": "failed", "reason": "late"},
    "troubled": {"reason": "Throttled: slow down"},
    "recovered": {},
    "verdict_changed": {"check": "http", "answer": "fail", "summary": "503"},
    "roll_back_decided": {"kind": "abort", "actor": "oncall", "reason": "slow", "readiness": "2 of 2"},
    "warm_ended": {"by": "me"},
    "halted": {"reason": "edited"},
    "resumed": {"by": "me"},
    "approved": {"by": "boss"},
    "paused": {"by": "me", "reason": "the sale begins"},
    "adopted": {"by": "me", "reason": "by hand", "route": {"blue": 100, "green": 0}, "active": "blue"},
    "warned": {"about": "failing", "reason": "http: 503"},
    "cleared": {"about": "failing"},
    "closed": {"outcome": "promoted"},
}
STEPS = {"entered": "warm", "done": "swap:1:10", "closed": "retired"}


def entry(kind: str, step: str = "", /, **data: Any) -> Entry:
    """An entry of this kind."""
    return Entry(ROLLOUT, 1, 100.0, 1, kind, step, data, "", "")


def test_every_kind_that_is_written_is_told_or_silent_on_purpose() -> None:
    """Something happens to a rollout and nobody hears of it."""
    kinds = kinds_written()
    assert {"opened", "intended", "done", "roll_back_decided", "approved", "resumed"} <= kinds
    assert kinds <= set(DATA) | SILENT


@pytest.mark.parametrize("kind", sorted(DATA))
def test_a_kind_is_told_in_a_sentence(kind: str) -> None:
    """The screen stays empty while something important happens."""
    assert sentence(entry(kind, STEPS.get(kind, "step"), **DATA[kind]))


@pytest.mark.parametrize("kind", sorted(SILENT))
def test_silent_kinds_are_silent(kind: str) -> None:
    """The screen is full of what only replay needs."""
    assert sentence(entry(kind, "x")) is None


@pytest.mark.parametrize("phase", [name for name in PHASES if name != "opened"])
def test_every_phase_is_told(phase: str) -> None:
    """A phase passes in silence."""
    assert sentence(entry("entered", phase))


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (entry("done", "swap:1:10", value={"weights": {"green": 10, "blue": 90}}), "traffic: blue 90 %, green 10 %"),
        (entry("done", "back:swap", value={"weights": {"blue": 100, "green": 0}}), "traffic: blue 100 %, green 0 %"),
        (entry("done", "back:hold", value={"blue": 100, "green": 0}), None),
        (entry("done", "grow:1", value={"capacity": 2}), None),
        (entry("ended", "proof", outcome="passed", why="3 passes"), "gate proof passed (3 passes)"),
        (entry("ended", "healthy", outcome="met", seen="2 of 2"), "healthy: 2 of 2"),
        (entry("ended", "observed:1:10", outcome="met", seen="x"), None),
        (entry("ended", "back:gone", outcome="gave_up", seen="1 left"), "back:gone: went on without it (1 left)"),
        (entry("ended", "approval", outcome="approved", by="boss"), None),
        (
            entry("troubled", "between steps", reason="Throttled: slow down"),
            "trouble: Throttled: slow down; trying again",
        ),
        (entry("recovered", "between steps"), "recovered"),
        (
            entry("roll_back_decided", kind="rollback", actor="oncall", reason="slow", readiness="2 of 2"),
            "turning back, as oncall asked: slow",
        ),
        (
            entry("roll_back_decided", kind="gate", actor="rollout", reason="slow", readiness="2 of 2 healthy"),
            "turning back by itself; 2 of 2 healthy",
        ),
        (entry("paused", by="me", reason="the sale begins"), "paused by me: the sale begins"),
        (entry("paused", by="me", reason=""), "paused by me: no reason given"),
        (
            entry("adopted", by="me", reason="x", route={"blue": 100, "green": 0}, active="blue"),
            "me took what serves now as it is: blue 100 %",
        ),
        (entry("warned", about="failing", reason="http: 503"), "warning: http: 503"),
        (
            entry("cleared", about="failing"),
            "no longer so: what serves fails its checks while the way back is open",
        ),
        (entry("cleared", about="something new"), "no longer so: something new"),
        (entry("waiting", "paused:7", seen="paused by me: sale"), "stands still: paused by me: sale"),
        (entry("waiting", "held", seen="paused by ci: deploy"), "stands still: paused by ci: deploy"),
        (entry("waiting", "live:1:10", gate="live"), None),
        (entry("failed", "launch", reason="boot\x1b[2J\x07 failed\nat 3"), "failed: boot�[2J� failed at 3"),
        (entry("something new"), None),
    ],
)
def test_sentences(told: Entry, text: str | None) -> None:
    """A person reads something else than what happened."""
    assert sentence(told) == text


def test_shares_are_told_in_one_order() -> None:
    """Blue and green change places between two lines."""
    assert shares({"green": 1, "blue": 99}) == "blue 99 %, green 1 %"


def test_a_wait_says_what_was_seen_and_how_long_it_may_take() -> None:
    """A person cannot tell a slow rollout from a stuck one."""
    wait = Wait("healthy", 0.0, 60.0, 1.0, {"for": "2 targets", "seen": "1 of 2 healthy"})
    assert waiting(wait, 20.0) == "healthy: 1 of 2 healthy, 40 s left"
    assert waiting(wait, 90.0).endswith("0 s left")
    assert waiting(Wait("x", 0.0, None, 1.0, {"for": "approval"}), 5.0) == "x: approval"
    assert waiting(Wait("proof", 0.0, None, 1.0, {"gate": "replacement"}), 5.0) == "proof: gate replacement"


def test_a_pause_is_told_as_what_it_is() -> None:
    """A paused rollout looks as if it were stuck, and nobody asks the person who paused it."""
    for step in ("paused:7", "held"):
        wait = Wait(step, 0.0, None, 1.0, {"for": "a person", "seen": "paused by me: the sale begins"})
        assert waiting(wait, 5.0) == "paused by me: the sale begins"


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        (None, "-"),
        ("base-2", "base-2"),
        ("sha256:" + "ab" * 32, "sha256:abababababab"),
        ("ami-0123456789abcdef0", "ami-0123456789abcdef0"),
        ("projects/p/global/images/web-2026-11-21", "…bal/images/web-2026-11-21"[-28:]),
    ],
)
def test_an_image_is_told_shortly(image: str | None, shown: str) -> None:
    """A digest fills the line, and what is beside it cannot be read."""
    told = short(image)
    assert len(told) <= 28
    assert told == shown or (image and told.startswith("…") and image.endswith(told[1:]) and len(told) == 28)


@pytest.mark.parametrize(
    ("seconds", "told"), [(-3, "0 s"), (4.4, "4 s"), (99, "99 s"), (130, "2 min"), (7200, "2 h"), (10 * 86400, "10 d")]
)
def test_an_age_is_told_shortly(seconds: float, told: str) -> None:
    """A person has to divide by 3600 at night."""
    assert age(seconds) == told


@given(st.one_of(st.integers(0, 10**15), st.floats(0, 1e15)))
def test_a_count_never_widens_its_column(value: float) -> None:
    """A busy service breaks the table, and its columns are read as each other's."""
    told = count(value)
    assert len(told) <= 8
    unit = {"k": 1e3, "M": 1e6, "G": 1e9}.get(told[-1], 1)
    assert float(told.rstrip("kMG")) * unit == pytest.approx(value, rel=0.06, abs=0.06)


@given(st.text())
def test_what_was_written_elsewhere_cannot_steer_a_terminal(text: str) -> None:
    """An error message of a platform moves the cursor, or hides what went wrong."""
    assert brief(text).isprintable()


@pytest.mark.parametrize("ask_fails", [False, True])
def test_every_entry_of_a_real_rollout_can_be_told(world: World, ask_fails: bool) -> None:
    """Progress ends in a traceback in the middle of a rollout."""
    if ask_fails:
        world.asking(failing_live)
    world.drive()
    told = [sentence(each) for each in world.journal.entries]
    assert told[-1] == ("closed: rolled_back" if ask_fails else "closed: promoted")
    assert any(text and text.startswith("traffic: blue 50 %") for text in told)


# Exit codes


def test_every_outcome_has_a_code() -> None:
    """A pipeline takes a rollback for a success."""
    assert {outcome: exits.code_for(outcome) for outcome in OUTCOMES} == {
        "promoted": 0,
        "rolled_back": 4,
        "aborted": 4,
        "halted": 5,
        "waiting_approval": 3,
        "running": 7,
    }


def test_every_outcome_that_is_written_has_a_code() -> None:
    """A new outcome ends commands with a KeyError."""
    written = set[str]()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg in ("outcome", "outcome_now"):
                constants = [leaf.value for leaf in ast.walk(node.value) if isinstance(leaf, ast.Constant)]
                written |= {value for value in constants if isinstance(value, str)}
    assert {"halted", "running", "waiting_approval"} <= written
    assert written <= OUTCOMES | KEYS


def test_codes_are_the_contract() -> None:
    """Scripts of a user break with an upgrade."""
    names = [name for name in dir(exits) if name.isupper() and not name.startswith("_")]
    assert {name: getattr(exits, name) for name in names} == {
        "DONE": 0,
        "INTERNAL": 1,
        "USAGE": 2,
        "APPROVAL_NEEDED": 3,
        "ROLLED_BACK": 4,
        "PERSON_NEEDED": 5,
        "LOCKED": 6,
        "TIMED_OUT": 7,
        "STALE_PLAN": 8,
        "CHANGES_PENDING": 10,
        "INTERRUPTED": 130,
    }


def test_an_unknown_outcome_is_not_success() -> None:
    """What nobody understands exits with 0."""
    with pytest.raises(KeyError):
        exits.code_for("surprise")


# Summaries


def summary(world: World, **more: Any) -> dict[str, Any]:
    """How the rollout stands now."""
    return summarise(world.row, world.journal.entries, now=world.clock.now(), **more)


def test_a_summary_has_what_scripts_need_at_every_moment(world: World) -> None:
    """A script that follows a rollout meets a missing key in the middle of it."""
    needed = {"id", "service", "phase", "outcome", "active_slot", "image", "exit_code", "next", "way_back"}
    for _ in range(200):
        found = summary(world)
        assert needed <= set(found) and json.dumps(found)
        if world.row.closed_at is not None:
            break
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        world.job()
    assert (found["phase"], found["outcome"], found["exit_code"]) == ("retired", "promoted", 0)
    assert (found["active_slot"], found["image"], found["next"]) == ("green", "base-2", None)


def test_traffic_is_told_as_read_or_as_journalled(world: World) -> None:
    """A person relies on a number that is not what it is said to be."""
    assert summary(world)["traffic"] is None and summary(world)["active_slot"] is None
    world.drive(phase_is("baking"))
    told = summary(world)
    assert (told["traffic"], told["traffic_read"]) == ({"blue": 0, "green": 100}, "journal")
    live = summary(world, route={"blue": 100, "green": 0})
    assert (live["traffic"], live["traffic_read"]) == ({"blue": 100, "green": 0}, "live")
    assert (live["active_slot"], live["image"]) == ("blue", "base-1")


def test_the_way_back_is_offered_exactly_while_it_is_open(world: World) -> None:
    """A person is offered a rollback that will be refused, or not told of one that would work."""
    assert summary(world)["way_back"] is None
    world.drive(phase_is("shifting"))
    assert summary(world)["way_back"] == "rollout rollback shop"
    world.drive(phase_is("warm"))
    warm = summary(world)
    assert warm["way_back"] and warm["way_back_until"] > world.clock.now()
    world.passes(61)
    assert summary(world)["way_back"] is None
    world.drive()
    assert summary(world)["way_back"] is None


def test_a_reason_is_told_for_what_went_wrong(world: World) -> None:
    """A person sees that it was rolled back and has to search for why."""
    assert why(world.journal) == ""
    world.asking(failing_live)
    world.drive()
    assert "errors under traffic" in summary(world)["reason"]


def test_the_last_route_is_the_one_that_was_done(world: World) -> None:
    """Status shows traffic where it was only meant to go."""
    assert last_route(world.journal) is None
    world.drive(phase_is("patching"))
    assert last_route(world.journal) == {"blue": 100, "green": 0}
    run = world.later()
    run.note("intended", "swap:1:50", {"args": {"weights": {"blue": 50, "green": 50}}})
    assert last_route(world.journal) == {"blue": 100, "green": 0}


def test_the_latest_ledger_is_found() -> None:
    """The security gain of a rollout is not shown, or an old one is."""
    assert advisories(Journal([])) is None
    ledgers = [{part: [number] for part in LEDGER} for number in (1, 2)]
    entries = [
        entry("ended", "proof", outcome="passed", verdicts=[{"evidence": {}}, {"evidence": {"more": 1, **ledger}}])
        for ledger in ledgers
    ]
    assert advisories(Journal(entries)) == {"more": 1, **ledgers[1]}


@pytest.mark.parametrize(
    ("outcome", "closed", "command"),
    [
        ("running", False, "rollout resume shop-1"),
        ("waiting_approval", False, "rollout approve shop-1"),
        ("halted", False, "rollout explain shop-1, then rollout resume shop-1 or rollout rollback shop"),
        ("promoted", False, None),
        ("promoted", True, None),
        ("rolled_back", False, "rollout resume shop-1"),
        (
            "rolled_back",
            True,
            "rollout journal show shop-1 has the evidence; then rollout start shop --image REF",
        ),
        ("aborted", True, None),
    ],
)
def test_the_next_command_is_named(world: World, outcome: str, closed: bool, command: str | None) -> None:
    """A person at night has to look up what to type."""
    world.store.append(ROLLOUT, 0, "closed" if closed else "halted", "", {"reason": "x"}, 1.0, outcome=outcome)
    assert next_command(world.row) == command


def test_a_rollout_that_waits_for_approval_names_the_command(tmp_path: Path) -> None:
    """Somebody has to approve, and nobody is told how."""
    world = World(tmp_path, a_plan(approval="required"))
    world.drive(lambda world: world.row.outcome == "waiting_approval")
    found = summary(world)
    assert (found["exit_code"], found["next"]) == (exits.APPROVAL_NEEDED, f"rollout approve {ROLLOUT}")


def said(world: World, kind: str, **data: Any) -> None:
    """A person, or the vigil, writes an entry."""
    world.store.decide(ROLLOUT, world.row.head_seq, kind, data, world.clock.now())


def test_a_paused_rollout_says_who_and_how_to_go_on(world: World) -> None:
    """A rollout stands still for days because nobody knows whom to ask, or what to type."""
    world.drive(phase_is("shifting"))
    assert summary(world)["paused"] is None
    said(world, "paused", by="me", reason="the sale begins")
    found = summary(world)
    assert found["paused"] == {"by": "me", "reason": "the sale begins"}
    assert found["next"] == f"rollout resume {ROLLOUT}"
    said(world, "resumed", by="me")
    assert summary(world)["paused"] is None


def test_a_warning_is_shown_while_it_holds(world: World) -> None:
    """What serves is sick while warm, and status says that all is well; or it says so for ever."""
    assert summary(world)["warning"] is None
    said(world, "warned", about="failing", reason="http: 503 of 2")
    assert summary(world)["warning"] == "http: 503 of 2"
    said(world, "warned", about="way_back_ending", reason="closes in 60 s")
    assert summary(world)["warning"] == "closes in 60 s", "the latest"
    said(world, "cleared", about="way_back_ending")
    assert summary(world)["warning"] == "http: 503 of 2"
    said(world, "cleared", about="failing")
    assert summary(world)["warning"] is None


def test_the_ticket_that_it_was_opened_for_is_named(world: World) -> None:
    """A change cannot be traced from what serves to why."""
    assert (summary(world)["ref"], summary(world)["opened_reason"]) == ("", "because")
    opened = entry("opened", actor="me", ref="CHG-12")
    assert summarise(world.row, [opened], now=1.0)["ref"] == "CHG-12"
    assert summarise(world.row, [], now=1.0)["ref"] == "", "its journal was pruned"


def test_nobody_drives_is_said_only_where_somebody_should(world: World) -> None:
    """A warm side goes unwatched in silence, or a person is sent after what needs nobody."""
    found = stand(world.store, world.row, world.clock.now())
    assert found["driven_by"] is None and needs_a_driver(found)
    world.store.note_driver(ROLLOUT, HOLDER, world.clock.now())
    found = stand(world.store, world.row, world.clock.now())
    assert found["driven_by"] == str(HOLDER) and not needs_a_driver(found)
    world.store.leave_driver(ROLLOUT, HOLDER)
    said(world, "halted", reason="edited")
    world.store.append(ROLLOUT, world.journal.entries[-1].epoch, "halted", "", {"reason": "x"}, 1.0, outcome="halted")
    assert not needs_a_driver(stand(world.store, world.row, world.clock.now())), "a person decides first"
    said(world, "resumed", by="me")
    world.store.append(ROLLOUT, world.journal.entries[-1].epoch, "closed", "", {}, 1.0, outcome="aborted")
    assert not needs_a_driver(stand(world.store, world.row, world.clock.now()))
