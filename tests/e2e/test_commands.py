"""Every other command as scripts and people use it: exit codes, JSON, messages, and nothing left behind."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.kit import PROGRAM, SERVICE, Fleet, Running, environment, open_fleet

pytestmark = pytest.mark.e2e
COMMANDS = ["up", "down", "plan", "start", "status", "resume", "approve", "abort", "rollback", "deny", "ledger", "demo"]
JOURNAL = ["journal show", "journal export", "journal verify"]


def listening(processes: Iterable[psutil.Process]) -> set[int]:
    """The ports that these processes listen on."""
    found: set[int] = set()
    for process in processes:
        with suppress(psutil.Error):
            sockets: list[Any] = process.net_connections("tcp")
            found |= {each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN}
    return found


def bare(folder: Path, *arguments: str, **variables: str) -> Running:
    """The program without a fleet."""
    return Running([*PROGRAM, *arguments], folder, {**environment(folder), **variables})


@pytest.mark.parametrize("command", ["", *COMMANDS, "journal", *JOURNAL])
def test_help(tmp_path: Path, command: str) -> None:
    """Nobody could find out what a command does."""
    done = bare(tmp_path, *command.split(), "--help").wait()
    assert done.code == 0, done
    assert "Usage: rollout" in done.out
    assert "Traceback" not in done.err
    missing = [name for name in COMMANDS if not command and f"\n  {name} " not in done.out]
    assert missing == []


def test_version(tmp_path: Path) -> None:
    """A report of a bug could not say which release it is about."""
    done = bare(tmp_path, "--version").wait()
    assert (done.code, done.out.strip()) == (0, version("rollout-manager"))


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("start",), ("status", "--nonsense"), ("start", "shop", "--json", "--timeout", "soon")]
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A typing error would end in a traceback, or with the exit code of something else."""
    done = bare(tmp_path, *arguments).wait()
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert done.err.strip()


@pytest.mark.parametrize("command", [("status",), ("plan", "shop"), ("start", "shop"), ("rollback", "shop")])
def test_no_fleet_file(tmp_path: Path, command: tuple[str, ...]) -> None:
    """In the wrong folder, the program would act on nothing, or crash."""
    done = bare(tmp_path, *command).wait()
    assert done.code == 2, done
    assert "no fleet file" in done.err
    assert "--config FILE" in done.err


def test_a_fleet_file_that_is_named_but_not_there(tmp_path: Path) -> None:
    """A wrong path would silently mean another fleet."""
    for command in (("status",), ("plan", "shop"), ("rollback", "shop")):
        done = bare(tmp_path, *command, "--config", "missing.yaml").wait()
        assert done.code != 0, (command, done)
        assert f"{tmp_path}/missing.yaml" in done.err, (command, done)
        assert "Traceback" not in done.err, (command, done)


def test_a_broken_fleet_file(written: Fleet) -> None:
    """What is wrong, and where, would have to be guessed."""
    text = written.config.read_text().replace("coexist: safe", "coexist: maybe")
    line = text.splitlines().index("    coexist: maybe") + 1
    written.config.write_text(text)
    done = written.rollout("plan", SERVICE, "--image", "base-2")
    assert done.code == 2, done
    assert f"{written.config}:{line}" in done.err
    assert "found 'maybe'; allowed: 'safe', 'switched' or 'forbidden'" in done.err
    asked = written.rollout("plan", SERVICE, "--image", "base-2", "--json")
    assert asked.code == 2
    assert asked.last["exit_code"] == 2


def test_config_before_and_after_the_command(fleet: Fleet, tmp_path: Path) -> None:
    """`rollout --config F status` and `rollout status --config F` would mean two things."""
    config = str(fleet.config)
    seen = [
        bare(tmp_path, "--config", config, "plan", SERVICE, "--image", "base-2", "--json").wait(),
        bare(tmp_path, "plan", SERVICE, "--image", "base-2", "--json", "--config", config).wait(),
        bare(tmp_path, "plan", SERVICE, "--image", "base-2", "--json", ROLLOUT_CONFIG=config).wait(),
        bare(fleet.folder, "plan", SERVICE, "--image", "base-2", "--json").wait(),
    ]
    assert [done.code for done in seen] == [0] * 4, seen
    assert len({done.last["plan"]["patch"]["images"]["local"] for done in seen}) == 1
    fleet.promoted()
    done = bare(tmp_path, "--config", config, "rollback", SERVICE, "--json").wait()
    assert done.code == 0, done
    assert fleet.weights == {"blue": 100, "green": 0}


# Plans


def test_a_saved_plan_is_applied_exactly(fleet: Fleet) -> None:
    """What was reviewed and what is done would be two things."""
    out = fleet.folder / "plan.json"
    done = fleet.rollout("plan", SERVICE, "--image", "base-2", "--out", str(out))
    assert done.code == 0, done
    assert "changes are pending" in done.out
    saved = json.loads(out.read_text())
    started = fleet.rollout("start", SERVICE, "--plan", str(out), "--json")
    assert started.code == 0, started
    (_, _, _, opened), *_ = fleet.entries()
    assert opened["plan_hash"] == saved["hash"]


def test_an_edited_plan_is_refused(fleet: Fleet) -> None:
    """A reviewed plan could be changed after the review."""
    out = fleet.folder / "plan.json"
    fleet.rollout("plan", SERVICE, "--image", "base-2", "--out", str(out))
    document = json.loads(out.read_text())
    document["plan"]["steps"] = [100]
    out.write_text(json.dumps(document))
    done = fleet.rollout("start", SERVICE, "--plan", str(out))
    assert done.code == 2, done
    assert "was changed since it was saved" in done.err
    for text in ("", "{}", "[]", '{"plan": {"steps": 3}}', "no JSON"):
        out.write_text(text)
        done = fleet.rollout("start", SERVICE, "--plan", str(out))
        assert done.code == 2, (text, done)
        assert "Traceback" not in done.err
    assert fleet.rollout("start", SERVICE, "--plan", "/no/such/plan").code == 2
    assert fleet.rollout("start", SERVICE, "--plan", str(out), "--image", "base-2").code == 2
    assert fleet.entries() == []


def test_a_stale_plan_is_refused_with_the_difference(fleet: Fleet) -> None:
    """A plan for a state that is gone would be carried out against another one."""
    out = fleet.folder / "plan.json"
    fleet.rollout("plan", SERVICE, "--image", "base-3", "--out", str(out))
    fleet.promoted("base-2")
    stale = fleet.rollout("start", SERVICE, "--plan", str(out), "--end-warm")
    assert stale.code == 8, stale
    assert "original was blue, is green" in stale.err
    assert f"rollout plan {SERVICE} --out FILE" in stale.err.replace("SERVICE", SERVICE)
    assert fleet.weights == {"blue": 0, "green": 100}
    fleet.rollout("plan", SERVICE, "--image", "base-3", "--out", str(out))
    fleet.change(bake="1s")
    changed = fleet.rollout("start", SERVICE, "--plan", str(out), "--end-warm")
    assert changed.code == 8, changed
    assert "gates was" in changed.err


def test_detailed_exitcode(fleet: Fleet) -> None:
    """CI could not tell whether there is anything to do."""
    assert fleet.rollout("plan", SERVICE, "--image", "base-2", "--detailed-exitcode").code == 10
    assert fleet.rollout("plan", SERVICE, "--image", "base-1", "--detailed-exitcode").code == 0
    nothing = fleet.rollout("plan", SERVICE, "--image", "base-1")
    assert "nothing to do" in nothing.out
    assert fleet.rollout("plan", SERVICE, "--image", "nope", "--detailed-exitcode").code == 2


# What is, and what was


def test_status_before_anything(written: Fleet) -> None:
    """The first command of a new user would be answered with an error."""
    done = written.rollout("status")
    assert done.code == 0, done
    assert "rollout plan SERVICE" in done.out
    assert written.rollout("status", "--json").last == {
        "rollouts": [],
        "freezes": [],
        "holds": [],
        "served_by": None,
        "workers": [],
        "rollback_only": None,
    }
    assert not (written.state / "rollout.db").exists(), "looking makes nothing"
    unknown = written.rollout("status", SERVICE)
    assert unknown.code == 2, unknown
    assert "no rollout yet" in unknown.err


def test_status(fleet: Fleet) -> None:
    """Where traffic is, and what to type next, would have to be found out by hand."""
    rollout = fleet.promoted()["id"]
    for which in ((), (SERVICE,), (rollout,)):
        done = fleet.rollout("status", *which)
        assert done.code == 0, done
        assert rollout in done.out
        assert "promoted (warm)" in done.out
        assert f"way back rollout rollback {SERVICE}" in done.out
        assert "blue 0 %, green 100 %" in done.out
        last = f"  rollout serve, or rollout resume {rollout}"
        assert done.out.splitlines()[-1] == last if not which else "green 100 %" in done.out.splitlines()[-1]
    everything = fleet.rollout("status", "--json").last
    assert [each["id"] for each in everything["rollouts"]] == [rollout]
    assert everything["rollouts"][0] == {**fleet.status(rollout), "recent": True}
    assert (everything["holds"], everything["served_by"]) == ([], None)
    assert fleet.status()["traffic_read"] == "live"
    unknown = fleet.rollout("status", "shpo")
    assert unknown.code == 2, unknown
    assert rollout in unknown.err


def test_journal(fleet: Fleet) -> None:
    """What was done, when and by whom could not be shown to anybody."""
    rollout = fleet.promoted()["id"]
    entries = fleet.entries()
    shown = fleet.rollout("journal", "show", SERVICE)
    assert shown.code == 0, shown
    assert len(shown.out.splitlines()) == len(entries)
    assert len(fleet.rollout("journal", "show", rollout, "--json").last["entries"]) == len(entries)
    exported = fleet.rollout("journal", "export", rollout)
    assert [(each["seq"], each["kind"], each["step"], each["data"]) for each in exported.objects] == entries
    verified = fleet.rollout("journal", "verify", "--json")
    assert verified.code == 0, verified
    assert verified.last["broken"] == []
    assert verified.last["heads"][rollout]["entries"] == len(entries)


def test_a_journal_that_was_tampered_with(fleet: Fleet) -> None:
    """Somebody could change the record of what was done without a trace."""
    rollout = fleet.promoted()["id"]
    changes = (
        (
            "UPDATE journal SET data = replace(data, 'pass', 'PASS') WHERE kind = 'ended' AND step = 'proof'",
            "ended proof",
        ),
        ("UPDATE journal SET at = at + 60 WHERE seq = 1", "entry 1 (opened"),
        ("DELETE FROM journal WHERE seq = 12", "entry 12 is missing"),
        ("DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)", "its head says"),
    )
    path = fleet.state / "rollout.db"
    before = path.with_name("before.db")
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(before)) as copy:
        db.backup(copy)
    for statement, named in changes:
        with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(before)) as copy:
            copy.backup(db)
            assert db.execute(statement).rowcount == 1, statement
            db.commit()
        done = fleet.rollout("journal", "verify", rollout)
        assert done.code == 5, (statement, done)
        assert rollout in done.out
        assert named in done.out, (statement, done)
        assert fleet.rollout("journal", "verify", "--json").last["broken"]


def test_ledger_without_one(fleet: Fleet) -> None:
    """Who asks for advisories of a rollout that was not checked for them would get an empty, reassuring list."""
    fleet.promoted()
    done = fleet.rollout("ledger", SERVICE)
    assert done.code == 2, done
    assert "has no ledger" in done.err
    assert fleet.rollout("ledger", SERVICE, "--format", "xml").code == 2


# Standing up and taking down


def test_up_twice(fleet: Fleet) -> None:
    """A second `up` would replace what serves."""
    done = fleet.rollout("up", SERVICE, "--image", "base-2")
    assert done.code == 2, done
    assert f"rollout start {SERVICE}" in done.err
    assert len(fleet.started()) == 1


def test_up_with_an_image_that_does_not_start(written: Fleet) -> None:
    """The reason, and how to clean up, would have to be found out by hand."""
    written.image("dead", behaves="exits")
    done = written.rollout("up", SERVICE, "--image", "dead")
    assert done.code == 5, done
    assert "the license file is missing" in done.err
    assert f"rollout down {SERVICE} --yes {SERVICE}" in done.err
    assert "nothing was changed" not in done.err, "that would be a lie"


def test_down_leaves_nothing(tmp_path: Path) -> None:
    """Processes, ports and folders of a service that is gone would stay on the machine."""
    with open_fleet(tmp_path / "fleet") as fleet:
        fleet.up()
        fleet.promoted()
        refused = fleet.rollout("down", SERVICE)
        assert refused.code == 2, refused
        assert f"rollout down {SERVICE} --yes {SERVICE}" in refused.err
        assert len(fleet.processes()) >= 4
        ports = listening(fleet.processes())
        assert {fleet.port, fleet.test_port} < ports
        done = fleet.rollout("down", SERVICE, "--yes", SERVICE, "--json")
        assert done.code == 0, done
        assert done.last["down"] is True
        assert fleet.processes() == []
        assert not (fleet.state / "local").exists()
        assert listening(psutil.process_iter()) & ports == set()
        assert fleet.rollout("journal", "verify").code == 0, "the journal stays"
        assert fleet.rollout("down", SERVICE, "--yes", SERVICE).code == 0, "twice is harmless"
        done = fleet.rollout("rollback", SERVICE)
        assert done.code != 0, done
        assert "Traceback" not in done.err


def test_every_command_answers_in_json(fleet: Fleet) -> None:
    """A script would have to read sentences."""
    commands: list[tuple[str, ...]] = [
        ("plan", SERVICE, "--image", "base-2"),
        ("start", SERVICE, "--image", "base-2"),
        ("status",),
        ("status", SERVICE),
        ("journal", "show", SERVICE),
        ("journal", "verify"),
        ("deny", SERVICE),
        ("ledger", SERVICE),
        ("approve", SERVICE),
        ("start", SERVICE, "--image", "base-3"),
        ("start", "nobody"),
        ("rollback", SERVICE, "--drill"),
        ("rollback", SERVICE),
        ("resume", SERVICE),
        ("abort", SERVICE, "--reason", "late"),
        ("down", SERVICE),
    ]
    for command in commands:
        done = fleet.rollout(*command, "--json")
        assert done.objects, (command, done)
        if done.code not in (0, 4):
            assert done.last["exit_code"] == done.code, (command, done)
