"""What the platform foresees belongs to the plan, is shown, and refuses only what blocks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import Concern, NotFound, Patch, Provider
from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from providers.memory.insight import Knowledge
from rollout.control import make_plan, plan_to_start
from rollout.entry import run
from rollout.foreseen import MOST, ends_at, foreseen
from rollout.plan import Plan, StalePlan, UnsafePlan, raise_if_stale, raise_if_unsafe
from rollout.render import plan_text
from rollout.wiring import Installation
from tests.core.scene import a_plan

FULL = Concern("blocks", "subnet-1 is full; add a subnet")
NIGHTLY = Concern("notice", "shop-blue: nightly recurs 0 3 * * *")
DENIED = Concern("unknown", "vCPU quotas: denied")


def knowing(*concerns: Concern) -> tuple[Provider, SimCloud]:
    """A platform that foresees these."""
    cloud = SimCloud(VirtualClock())
    cloud.add_image("base-1")
    cloud.add_image("base-2")
    cloud.add_service("shop", image="base-1", capacity=2)
    return provider_for(cloud, Knowledge(list(concerns))), cloud


def test_what_blocks_comes_first() -> None:
    """The one thing to do stands below twenty things to know."""
    provider, _ = knowing(NIGHTLY, DENIED, FULL)
    assert [one.kind for one in foreseen(provider, a_plan())] == ["blocks", "unknown", "notice"]


@pytest.mark.parametrize("error", ["transient", "denied", "throttled"])
def test_what_cannot_be_read_is_one_unknown(error: Any) -> None:
    """A bad minute of the platform keeps a plan from being made."""
    provider, cloud = knowing(NIGHTLY)
    cloud.switches.fail["insight.foresee"] = error
    (found,) = foreseen(provider, a_plan())
    assert found.kind == "unknown" and "cannot be read" in found.text


def test_a_provider_that_crashes_is_one_unknown() -> None:
    """A mistake in a provider from outside keeps every plan from being made."""

    class Broken:
        def foresee(self, *_: Any) -> Any:
            return [Concern("nonsense", "x")]  # type: ignore[arg-type]

    provider = replace(knowing()[0], insight=Broken())  # type: ignore[arg-type]
    assert [one.kind for one in foreseen(provider, a_plan())] == ["unknown"]


def test_nothing_is_asked_where_nothing_is_known_or_would_change() -> None:
    """A nightly start that has nothing to do is refused for a quota that it does not need."""
    provider, _ = knowing(FULL)
    assert foreseen(replace(provider, insight=None), a_plan()) == ()
    assert foreseen(provider, a_plan(patch=Patch("base-1", {"memory": "base-1"}))) == ()


def test_the_text_is_bounded_and_obeyed_by_no_terminal() -> None:
    """A resource's name clears the screen of whoever reads the plan."""
    provider, _ = knowing(*[Concern("notice", "\x1b[2Jname\n" * 900)] * 200)
    found = foreseen(provider, a_plan())
    assert len(found) == MOST + 1 and "140 more" in found[-1].text
    assert all(len(one.text) <= 600 and one.text.isprintable() for one in found)


def test_it_looks_ahead_until_the_way_back_is_given_up() -> None:
    """A scheduled action in the warm time is not told."""
    plan = a_plan(made_at=1000.0)
    assert ends_at(plan) == 1000 + 1 + 2 * 2 + 2 + 60


def test_a_plan_keeps_them_in_its_hash() -> None:
    """What was approved without a warning is taken for approved with it."""
    plan = a_plan(concerns=(NIGHTLY,))
    assert plan.hash != a_plan().hash
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_notice_that_came_makes_no_plan_stale() -> None:
    """An approved plan is void because somebody added an alarm."""
    raise_if_stale(a_plan(), a_plan(concerns=(NIGHTLY, FULL)))
    raise_if_stale(a_plan(concerns=(NIGHTLY,)), a_plan())
    with pytest.raises(StalePlan, match="capacity"):
        raise_if_stale(a_plan(concerns=(NIGHTLY,)), a_plan(capacity=3))


def test_a_plan_of_an_earlier_release_has_none() -> None:
    """A store from before the upgrade cannot be read."""
    old = a_plan().to_json()
    del old["concerns"]
    assert Plan.from_json(old).concerns == ()


def test_only_what_blocks_is_unsafe() -> None:
    """A notice refuses a rollout, or a full subnet does not."""
    raise_if_unsafe(a_plan(concerns=(NIGHTLY, DENIED)), {})
    with pytest.raises(UnsafePlan, match=r"shop cannot be rolled out .*\(1\) subnet-1 is full; add a subnet"):
        raise_if_unsafe(a_plan(concerns=(FULL, NIGHTLY)), {})


def test_a_saved_plan_is_refused_for_what_blocks_now(installation: Installation) -> None:
    """A plan of yesterday begins in today's full subnet."""
    saved = make_plan(installation, "shop")
    provider = installation.provider("memory")
    knowledge: Knowledge = provider.insight.knowledge  # type: ignore[union-attr]
    knowledge.concerns.append(NIGHTLY)
    assert plan_to_start(installation, "shop", None, saved) == saved
    knowledge.concerns.append(FULL)
    with pytest.raises(UnsafePlan, match="subnet-1"):
        plan_to_start(installation, "shop", None, saved)


def test_a_plan_shows_what_is_foreseen() -> None:
    """The warning is in the JSON, where nobody reads it."""
    lines = plan_text(a_plan(concerns=(FULL, DENIED, NIGHTLY)).to_json(), "hash", True).splitlines()
    shown = [line.split(None, 2)[:2] for line in lines if "subnet-1" in line or "denied" in line or "nightly" in line]
    assert [" ".join(words) for words in shown] == ["IN THE", "not known", "know that"]


def test_the_command_shows_the_plan_and_then_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has to make room does not see for what, or saves a plan that can never begin."""
    from tests.core.scene import FLEET

    (tmp_path / "fleet.yaml").write_text(FLEET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rollout.control.foreseen", lambda provider, plan: (FULL,))
    code = run(["plan", "shop", "--json", "--out", "saved.json"])
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert code == 2 and document["blocked"] is True
    assert document["plan"]["concerns"] == [{"kind": "blocks", "text": FULL.text}]
    assert "subnet-1 is full" in shown.err and "saved.json was not written" in shown.err
    assert not (tmp_path / "saved.json").exists()


def test_an_image_that_is_not_there_is_still_told_first(installation: Installation) -> None:
    """A slip in the image's name is answered with what is foreseen."""
    with pytest.raises(NotFound):
        make_plan(installation, "shop", "no-such-image")
