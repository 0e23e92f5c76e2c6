"""What people see of a campaign: at every width whole lines, of thousands the ones that matter, and nothing hidden."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.commands.wave_follow import Told
from rollout.view.wave import PHASES, lines, plan_lines

NOW = 1_767_225_600.0


def a_service(name: str, progress: str = "waiting", **more: Any) -> dict[str, Any]:
    """One row of a standing."""
    phase = {"moving": "proving", "accepted": "warm", "failing": "rolling_back", "failed": "rolled_back"}
    outcome = {"moving": "running", "accepted": "promoted", "failing": "halted", "failed": "rolled_back"}
    return {
        "service": name,
        "wave": "rest",
        "progress": progress,
        "phase": phase.get(progress, ""),
        "outcome": outcome.get(progress, ""),
        "rollout": f"{name}-1" if progress in phase else "",
        "hosts": 3,
        "skipped": "no_way" if progress == "skipped" else "",
        "paused": False,
        "waits": "",
        **more,
    }


def a_standing(*services: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A run with these services, in waves canary and rest."""
    counts = {
        key: sum(each["progress"] == key for each in services)
        for key in ("waiting", "moving", "accepted", "failing", "failed", "skipped")
    }
    wave: dict[str, Any] = {
        "after": [],
        "counts": counts,
        "waits": None,
        "waits_kind": None,
        "until": None,
        "soak_until": None,
    }
    return {
        "id": "monthly-20260101-abc123",
        "campaign": "monthly",
        "state": "running",
        "said": "",
        "said_by": "",
        "actor": "ops@desk",
        "ref": "CHG-1",
        "reference": "base-2",
        "counts": counts,
        "unproven_hosts": 3,
        "extra_instances": 9,
        "waves": [
            {**wave, "name": "canary", "state": "soaking", "services": 1, "soak_until": NOW + 60},
            {**wave, "name": "rest", "state": "running", "services": len(services), "waits": "the soak of wave canary"},
        ],
        "services": list(services),
        "next": None,
        **more,
    }


@pytest.mark.parametrize("width", [80, 200])
def test_services_are_rows_and_phases_columns(width: int) -> None:
    """A person cannot see which service is where."""
    standing = a_standing(
        a_service("shop", "accepted"),
        a_service("cart", "moving", waits="gate proof: 2 of 3 passes"),
        a_service("mail", "failing"),
        a_service("odd", "skipped", waits="hosts run different images"),
        a_service("later"),
    )
    text = lines(standing, now=NOW, width=width)
    assert all(len(line) <= width for line in text)
    heads = next(line for line in text if "service" in line and "what it waits for" in line)
    for phase in PHASES:
        assert (phase if width == 200 else phase[:3]) in heads
    rows = [line.split()[0] for line in text if line.split()[0] in ("shop", "cart", "mail", "odd", "later")]
    assert rows == ["mail", "cart", "later", "shop", "odd"], "what needs a person comes first"
    cart = next(line for line in text if "cart" in line)
    assert "gate proof: 2 of 3 passes" in cart
    assert cart.count("█") == (9 if width == 80 else len("preparingmirroringpatching"))
    assert "▒" in cart and "░" in cart
    assert "left out: hosts run different images" in "\n".join(text)
    assert any("canary" in line and "soaks until" in line for line in text)
    assert any("rest" in line and "waits: the soak of wave canary" in line for line in text)


def test_of_thousands_what_moves_or_fails_is_shown() -> None:
    """The one service that halted is on the fortieth page."""
    services = [a_service(f"s{number}", "accepted") for number in range(5000)]
    services[4000] = a_service("sick", "failing")
    services[4500] = a_service("busy", "moving")
    text = lines(a_standing(*services), now=NOW, width=100)
    assert len(text) < 60
    shown = "\n".join(text)
    assert "sick" in shown and "busy" in shown and "4998 patched" in shown
    assert any("services more" in line for line in text)


@given(st.integers(20, 250), st.integers(1, 60), st.integers(0, 70), st.booleans())
def test_it_fits_every_terminal(width: int, height: int, count: int, stopped: bool) -> None:
    """The picture breaks on a small terminal, and scrolls what was said away."""
    told = {"state": "stopped", "said": "wave canary: 1 failed\x1b[2J", "next": "rollout wave resume monthly"}
    progresses = ("moving", "waiting", "accepted", "failing")
    services = [a_service(f"service-{n}", progresses[n % 4], waits="x" * 90) for n in range(count)]
    text = lines(a_standing(*services, **(told if stopped else {})), now=NOW, width=width, height=height)
    assert len(text) <= max(height, 3)
    assert all(len(line) <= width for line in text)
    assert "\x1b" not in "".join(text)


def test_many_waves_are_summed_up() -> None:
    """Fifty waves that are over push the one that runs off the screen."""
    standing = a_standing(a_service("a", "moving"))
    done = {**standing["waves"][0], "state": "done"}
    standing["waves"] = [{**done, "name": f"w{number}"} for number in range(50)] + [standing["waves"][1]]
    text = lines(standing, now=NOW, width=80)
    assert any("50 waves are done" in line for line in text) and any("  rest" in line for line in text)


def test_why_it_stands_is_said_first() -> None:
    """A stopped campaign looks like one that has nothing to do."""
    standing = a_standing(a_service("a", "failed"), state="stopped", said="wave rest: 1 failed", said_by="rollout")
    text = lines(standing, now=NOW, width=100)
    assert "stopped" in text[0] and "stopped: wave rest: 1 failed" in text[2]
    assert "rollout explain a-1" in "\n".join(text)


def a_preview(*rows: dict[str, Any]) -> dict[str, Any]:
    """What `rollout wave plan` found."""
    patched = [row for row in rows if not row["excluded"]]
    totals = {
        "services": len(patched),
        "excluded": len(rows) - len(patched),
        "added_instances": sum(row["hosts"] for row in patched),
        "instance_hours": sum(row["instance_hours"] for row in patched),
    }
    wave = {
        "name": "all",
        "after": [],
        "max_parallel": 2,
        "max_unproven_hosts": 9,
        "max_extra_instances": None,
        "stop_after_failures": 1,
        "soak_s": 3600.0,
        "one_at_a_time": "zone",
        "go_on": "asked",
        "rows": list(rows),
        "totals": totals,
        "seconds": 1800.0,
    }
    return {
        "campaign": "monthly",
        "reference": "base",
        "images": {"memory/-/-/-": "base-2"},
        "patch_hash": "f" * 64,
        "denied": "",
        "hours": "it is outside its windows",
        "waves": [wave],
        "totals": totals,
    }


def a_row(name: str, excluded: str = "", why: str = "") -> dict[str, Any]:
    """One service of it."""
    cost = {"hosts": 0, "instance_hours": 0.0} if excluded else {"hosts": 3, "instance_hours": 75.5}
    return {"service": name, "now": "base-1", "then": "base-2", "excluded": excluded, "why": why, **cost}


@pytest.mark.parametrize("width", [80, 200])
def test_the_plan_shows_what_it_costs_and_what_it_leaves_out(width: int) -> None:
    """Nobody sees before the patch night that half of the fleet is held, or what the warm sides cost."""
    text = plan_lines(a_preview(a_row("shop"), a_row("cart", "held", "held by ci: release")), width)
    assert all(len(line) <= max(width, 130) for line in text)
    whole = "\n".join(text)
    assert "held by ci" in whole and "75.5" in whole and "one zone at a time" in " ".join(whole.split())
    assert text[-1].startswith("total    1 service, 1 left out; 3 instances and 75.5 instance-hours more")
    assert "hours    it is outside its windows" in whole


def test_only_what_is_new_is_told() -> None:
    """A pipeline's log has the same thousand lines every second."""
    told = Told()
    first = told.news(a_standing(a_service("a", "moving"), a_service("b")))
    kinds = [kind for kind, _, _ in first]
    assert kinds == ["member", "wave", "wave", "campaign"], "what waits is no news"
    assert told.news(a_standing(a_service("a", "moving"), a_service("b"))) == []
    ((kind, data, text),) = told.news(a_standing(a_service("a", "accepted"), a_service("b")))
    assert (kind, data["service"], data["progress"]) == ("member", "a", "accepted") and "accepted" in text
