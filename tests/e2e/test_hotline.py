"""`rollout rollback` with `rollout serve` running: the same, quicker, and never worse."""

from __future__ import annotations

import json
import signal
import stat
from pathlib import Path

import pytest

from rollout.actor import this_person
from tests.e2e.kit import PATIENCE_S, SERVICE, Fleet, Running, wait_until
from tests.ports import free_port

pytestmark = pytest.mark.e2e
BACK = {"blue": 100, "green": 0}
TOKEN = "0123456789abcdef0123456789abcdef"


def serving(fleet: Fleet, *options: str) -> Running:
    """A server that answers."""
    running = fleet.begin("serve", *options)
    running.wait_for("serving ")
    wait_until(lambda: (fleet.state / "hotline.sock").exists(), "it listens")
    return running


def asked(fleet: Fleet) -> list[str]:
    """Who asked the server, as its log says."""
    lines = [json.loads(line) for line in (fleet.state / "rollout.log").read_text().splitlines()]
    return [each["actor"] for each in lines if each.get("what") == "asked"]


def test_a_rollback_goes_through_the_server(fleet: Fleet) -> None:
    """The quick way is not taken, or leads elsewhere than the slow one."""
    fleet.promoted()
    running = serving(fleet)
    assert stat.S_IMODE((fleet.state / "hotline.sock").stat().st_mode) == 0o600
    with fleet.load() as load:
        done = fleet.rollout("rollback", SERVICE, "--reason", "checkout looks odd", "--json")
    assert done.code == 0 and load.failures == [], done
    assert done.last["traffic"] == BACK == fleet.weights and done.last["exit_code"] == 0
    assert asked(fleet) == [this_person()]
    fleet.wait_reached("closed", "", running)
    assert fleet.status()["outcome"] == "rolled_back" and fleet.status()["reason"] == "checkout looks odd"
    running.signal(signal.SIGTERM)
    assert running.wait().code == 0 and not (fleet.state / "hotline.sock").exists()


def test_a_frozen_server_is_in_nobodys_way(fleet: Fleet) -> None:
    """A server that hangs keeps traffic on the bad side."""
    fleet.promoted()
    running = serving(fleet)
    running.signal(signal.SIGSTOP)
    try:
        done = fleet.rollout("rollback", SERVICE, "--no-wait")
    finally:
        running.signal(signal.SIGCONT)
    assert done.code == 0 and fleet.weights == BACK, done
    assert "going on directly" in done.err


def test_a_dead_server_is_in_nobodys_way_and_replaced(fleet: Fleet) -> None:
    """What a crash left keeps the next server, or the next rollback, from working."""
    fleet.promoted()
    running = serving(fleet)
    running.kill()
    assert (fleet.state / "hotline.sock").exists(), "what a killed process leaves"
    assert fleet.rollout("rollback", SERVICE, "--drill").code == 0
    serving(fleet)
    assert "asking" in fleet.rollout("rollback", SERVICE, "--drill").err
    assert asked(fleet)


def test_a_store_that_is_gone_keeps_nothing_from_going_back(fleet: Fleet) -> None:
    """The server's store is locked or lost, and the hotline waits for it."""
    fleet.promoted()
    serving(fleet)
    for each in fleet.state.glob("rollout.db*"):
        each.rename(each.with_name(f"away-{each.name}"))
    done = fleet.rollout("rollback", SERVICE, "--no-wait")
    assert done.code == 0 and fleet.weights == BACK, done


def test_drills_show_in_status(fleet: Fleet) -> None:
    """Nobody can see whether the way back was ever tried."""
    fleet.promoted()
    assert "drilled  never: rollout rollback shop --drill" in fleet.rollout("status", SERVICE).out
    assert fleet.status()["drill"] is None
    assert fleet.rollout("rollback", SERVICE, "--drill").code == 0
    assert fleet.status()["drill"]["ok"] is True and fleet.status()["drill"]["via"] == "direct"
    for which in ((), (SERVICE,)):
        assert " ago in " in fleet.rollout("status", *which).out
    (listed,) = fleet.rollout("status", "--json").last["rollouts"]
    assert listed["drill"]["ok"] is True
    assert fleet.weights == {"blue": 0, "green": 100}


def test_a_schedule_drills_by_itself(fleet: Fleet) -> None:
    """`drills: {every: 7d}` is in the file, and nothing happens."""
    fleet.document["drills"] = {"every": "7d"}
    fleet.change()
    fleet.promoted()
    serving(fleet)
    wait_until(lambda: fleet.status()["drill"] is not None, "it was drilled")
    drill = fleet.status()["drill"]
    assert (drill["ok"], drill["via"], drill["actor"]) == (True, "daemon", "rollout"), drill


def test_the_sheet_beside_the_card(fleet: Fleet) -> None:
    """On the night when nothing of ours works, there is no file with what to type."""
    fleet.promoted()
    sheet = fleet.state / "cards" / f"{SERVICE}.txt"
    text = sheet.read_text()
    assert "BREAK GLASS: shop" in text and f"begun by {this_person()}" in text
    assert "curl" in text or "socat" in text
    for format in ("markdown", "html"):
        report = fleet.rollout("report", SERVICE, "--format", format).out
        assert "control.sock" in report and "By hand, without this program" in report
    assert fleet.rollout("rollback", SERVICE).code == 0
    assert "THERE IS NO WAY BACK ANY MORE" in sheet.read_text()


def test_what_a_card_needs_is_looked_after(fleet: Fleet) -> None:
    """The image of the way back was deleted, and nobody says so before the night."""
    fleet.promoted()
    problems = [f for f in fleet.rollout("doctor", "--json").last["findings"] if f["check"] == "ways back"]
    assert [each["level"] for each in problems] == ["ok"], problems
    for built in (fleet.state / "local" / "images").iterdir():
        if built.is_dir() and (built / "env").exists():
            (built / "image.json").rename(built / "image.json.away")
    problems = [f for f in fleet.rollout("doctor", "--json").last["findings"] if f["check"] == "ways back"]
    assert any("gone or damaged" in each["text"] and each["level"] == "problem" for each in problems), problems


def test_from_another_machine(fleet: Fleet, tmp_path: Path) -> None:
    """The one who is on call has the fleet file on another machine than the server."""
    fleet.promoted()
    tokens = tmp_path / "tokens"
    tokens.write_text(f"oncall {TOKEN}\n")
    tokens.chmod(0o600)
    port = free_port()
    running = serving(fleet, "--listen", f"127.0.0.1:{port}", "--token-file", str(tokens))
    elsewhere = {"ROLLOUT_SERVER": f"http://127.0.0.1:{port}", "ROLLOUT_TOKEN": TOKEN}
    done = fleet.begin("rollback", SERVICE, "--drill", **elsewhere).wait(PATIENCE_S)
    assert done.code == 0 and asked(fleet) == ["token:oncall@127.0.0.1"], done
    wrong = fleet.begin("rollback", SERVICE, "--drill", **{**elsewhere, "ROLLOUT_TOKEN": "x" * 32}).wait(PATIENCE_S)
    assert wrong.code == 0 and "does not know this token" in wrong.err, "directly, then"
    assert TOKEN not in running.err + done.err + (fleet.state / "rollout.log").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--listen", "0.0.0.0:8443", "--token-file", "tokens"), "--tls-cert"),
        (("--listen", "127.0.0.1:1"), "--token-file"),
        (("--token-file", "tokens"), "belong to --listen"),
        (("--listen", "127.0.0.1:0", "--token-file", "none"), "cannot be read"),
    ],
)
def test_a_server_that_would_not_be_safe_does_not_begin(fleet: Fleet, options: tuple[str, ...], says: str) -> None:
    """A port is open to everybody because of an option that was left out."""
    done = fleet.rollout("serve", *options)
    assert done.code == 2 and says in done.err and "Traceback" not in done.err, done
