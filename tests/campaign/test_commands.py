"""`rollout wave …` as it is typed: what it prints, as JSON and as text, and with which code it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout import exits
from rollout.campaign import register
from rollout.campaign.runner import Runner
from rollout.cli import main
from rollout.commands import wave_follow
from rollout.freeze import Freeze, Freezes
from rollout.lease import this_process
from rollout.presence import leave_server, note_server
from rollout.wiring import Installation
from tests.campaign.scene import SERVICE, a_wave

Type = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A fleet of three services on the simulated cloud, and a campaign over them."""
    waves = [a_wave("canary", "a", go_on="asked", soak="0s"), a_wave("rest", max_parallel=2, max_unproven_hosts=2)]
    services = {"a": {}, "b": {}, "big": {"options": {"capacity": 9}}}
    fleet = {
        "version": 1,
        "defaults": {**SERVICE, "options": {"capacity": 2}},
        "services": services,
        "campaigns": {"monthly": {"image": "base-2", "waves": waves}},
    }
    path = tmp_path / "fleet.yaml"
    path.write_text(yaml.safe_dump(fleet, sort_keys=False))
    return path


@pytest.fixture
def type_in(file: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command: its exit code, its JSON (or its text without --json), and what it said to people."""

    def one(*arguments: str) -> tuple[int, Any, str]:
        code = main(["wave", *arguments, "--config", str(file)])
        said = capsys.readouterr()
        out = [json.loads(line) for line in said.out.splitlines()] if "--json" in arguments else said.out
        return code, out, said.err

    return one


@pytest.fixture
def served(file: Path) -> Installation:
    """This process counts as a server from now on; what it is asked to do is done by hand."""
    installation = Installation(file)
    note_server(installation.store.db, this_process(), installation.clock.now())
    return installation


def test_the_plan_costs_and_leaves_out(type_in: Type) -> None:
    """The patch night's price, and what it forgets, is found out in the patch night."""
    code, (plan,), _ = type_in("plan", "monthly", "--json", "--detailed-exitcode")
    assert code == exits.CHANGES_PENDING
    rest = plan["waves"][1]
    rows = {row["service"]: row for wave in plan["waves"] for row in wave["rows"]}
    assert (rows["a"]["now"], rows["a"]["then"], rows["a"]["hosts"]) == ("base-1", "base-2", 2)
    hours = rows["a"]["hosts"] * (rows["a"]["seconds"] + 3600) / 3600
    assert rows["a"]["instance_hours"] == round(hours, 2) > 2
    assert rows["big"]["excluded"] == "too_large" and rest["totals"]["excluded"] == 1
    assert plan["totals"]["added_instances"] == 4 and plan["changes"] is True
    code, text, _ = type_in("plan", "monthly")
    assert code == 0 and "instance-hours more, warm old sides included" in text
    code, (plan,), _ = type_in("plan", "monthly", "--image", "base-1", "--json", "--detailed-exitcode")
    assert code == exits.DONE and plan["totals"]["services"] == 0, "all of it runs that already"


def test_nothing_starts_where_nobody_serves(type_in: Type) -> None:
    """A campaign is started, and waits for a server that nobody will ever start."""
    code, _, said = type_in("start", "monthly")
    assert code == exits.USAGE and "rollout serve" in said


def test_a_start_is_handed_over_and_its_key_is_kept(type_in: Type, served: Installation) -> None:
    """A pipeline that was started again starts a second campaign."""
    code, (first,), _ = type_in("start", "monthly", "--key", "build-7", "--reason", "CVE", "--ref", "CHG-1", "--json")
    assert code == exits.DONE and first["exit_code"] == 0 and first["state"] == "running"
    assert (first["reason"], first["ref"], first["reference"]) == ("CVE", "CHG-1", "base-2")
    code, (again,), said = type_in("start", "monthly", "--key", "build-7", "--json")
    assert code == exits.DONE and again["id"] == first["id"] and "already" in said
    code, _, said = type_in("start", "monthly", "--image", "base-2")
    assert code == exits.LOCKED and first["id"] in said and "rollout wave status monthly" in said


def test_a_base_image_that_was_just_published_is_named(type_in: Type, served: Installation) -> None:
    """CI rebuilt the base image, and the campaign rolls out the one of last month."""
    code, (run,), _ = type_in("start", "monthly", "--image", "base-broken", "--json")
    assert code == 0 and run["reference"] == "base-broken" and list(run["images"].values()) == ["base-broken"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("start", "montly"), "did you mean monthly"),
        (("start", "monthly", "--image", "nope"), "nope cannot be pinned everywhere"),
        (("plan", "weekly"), "has no campaign 'weekly'"),
        (("status", "monthly"), "has never run; begin with: rollout wave plan monthly"),
        (("pause", "monthly"), "no campaign monthly is under way"),
        (("go-on", "monthly"), "no campaign monthly is under way"),
    ],
)
def test_what_cannot_be_is_refused(
    type_in: Type, served: Installation, arguments: tuple[str, ...], expected: str
) -> None:
    """A slip of the finger does nothing, and says nothing."""
    code, out, said = type_in(*arguments)
    assert code == exits.USAGE and expected in said and out == ""


def test_a_campaign_that_nobody_drives_says_so(type_in: Type, served: Installation) -> None:
    """The server is down, and the campaign looks as if it were waiting for something."""
    type_in("start", "monthly")
    code, text, _ = type_in("status", "monthly")
    assert code == 0 and "by nobody" not in text
    leave_server(served.store.db, this_process())
    code, text, _ = type_in("status", "monthly")
    assert code == 0 and "by nobody, so that nothing of it goes on: rollout serve" in text.splitlines()[-1]


def test_words_reach_the_run(type_in: Type, served: Installation) -> None:
    """`wave pause` prints that it paused, and nothing was paused."""
    type_in("start", "monthly")
    code, (paused,), _ = type_in("pause", "monthly", "--reason", "lunch", "--json")
    assert code == 0 and (paused["state"], paused["said"]) == ("paused", "lunch")
    code, text, _ = type_in("status", "monthly")
    assert code == 0 and "paused" in text and "lunch" in text and "rollout wave resume monthly" in text
    code, _, said = type_in("pause", "monthly")
    assert code == exits.USAGE and "already" in said
    code, (resumed,), _ = type_in("resume", "monthly", "--json")
    assert code == 0 and resumed["state"] == "running"
    code, _, said = type_in("go-on", "monthly")
    assert code == exits.USAGE and "does not wait for a word" in said
    code, (aborted,), _ = type_in("abort", "monthly", "--reason", "wrong image", "--json")
    assert code == 0 and aborted["state"] == "aborting"
    Runner(served, this_process(), threads=1).look()
    code, (listed,), _ = type_in("status", "--json")
    assert code == 0 and [(each["campaign"], each["state"]) for each in listed["campaigns"]] == [("monthly", "aborted")]


def test_waiting_ends_with_the_campaigns_own_code(
    type_in: Type, served: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline goes on as if all had been patched, while the campaign waits for a word, stopped, or was aborted."""
    code, events, _ = type_in("start", "monthly", "--wait", "--timeout", "0", "--json")
    assert code == exits.TIMED_OUT and events[-1]["exit_code"] == exits.TIMED_OUT
    assert {
        "event": "campaign",
        "run": events[-1]["id"],
        "campaign": "monthly",
        "state": "running",
        "said": "",
    } in events
    run = register.newest(served.store.db, "monthly")
    assert run is not None
    for service in "a":
        register.note_skipped(served.store.db, run, service, "nothing_to_do", "runs this image already")
    Runner(served, this_process(), threads=1).look()
    code, events, _ = type_in("start", "monthly", "--key", "x", "--json")
    assert code == exits.LOCKED
    fresh = register.newest(served.store.db, "monthly")
    assert fresh is not None
    code = wave_follow.follow(served, fresh, _screen(), 0.0)
    assert code == exits.APPROVAL_NEEDED, "go-on is asked for"
    type_in("abort", "monthly", "--reason", "no")
    Runner(served, this_process(), threads=1).look()
    code, events, _ = type_in("status", "monthly", "--watch", "--json")
    assert code == exits.ROLLED_BACK and events[-1]["state"] == "aborted"


def _screen() -> Any:
    from rollout.render import Screen

    return Screen(as_json=True, quiet=True)


def test_a_wave_of_a_campaign_is_named_in_every_word(type_in: Type, served: Installation) -> None:
    """`abort monthly/canary` works and says `rollout wave status monthly/canary`, which is refused."""
    assert type_in("start", "monthly", "--json")[0] == exits.DONE
    Runner(served, this_process()).look()
    code, _, err = type_in("pause", "monthly/canary", "--reason", "wait")
    assert code == exits.DONE, err
    assert type_in("resume", "monthly/canary")[0] == exits.DONE
    code, out, err = type_in("status", "monthly/canary", "--json")
    assert code != exits.USAGE and out[0]["campaign"] == "monthly", err


def test_a_service_is_left_out_by_name(type_in: Type, served: Installation) -> None:
    """The only way past a held service is to end the campaign."""
    type_in("start", "monthly", "--json")
    code, out, _ = type_in("skip", "monthly", "b", "--reason", "held for weeks")
    assert code == exits.DONE and "b is left out of monthly-" in out and "rollout start b --image REF" in out
    code, (standing,), _ = type_in("skip", "monthly", "b", "--reason", "again", "--json")
    assert [each["skipped"] for each in standing["services"] if each["service"] == "b"] == ["by_a_person"]
    code, _, err = type_in("skip", "monthly", "bb", "--reason", "x")
    assert code == exits.USAGE and "bb is in no wave" in err and "rollout wave status monthly" in err
    assert type_in("skip", "monthly", "b")[0] == exits.USAGE, "a reason is wanted"


def test_the_plan_says_that_all_is_frozen(type_in: Type, served: Installation) -> None:
    """The plan of tonight says nothing of the freeze that keeps all of it from beginning."""
    Freezes(served.store.db).put(Freeze("all", "me", "payments", "", served.clock.now()))
    code, out, _ = type_in("plan", "monthly")
    assert code == exits.DONE and "all is frozen by me: payments; lift it with: rollout freeze off" in out


def test_nobody_serves_is_said_in_words_of_this_command(type_in: Type) -> None:
    """The hint names --no-wait, which `wave start` does without."""
    code, _, err = type_in("start", "monthly")
    assert code == exits.USAGE and "rollout serve" in err and "--no-wait" not in err
