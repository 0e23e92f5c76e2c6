"""What Prometheus is told: figures that add up, few labels, and an answer whatever the store does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from providers.base import Usage
from rollout.database import SqliteDatabase
from rollout.metrics import Metrics
from tests.core.scene import ROLLOUT, World, phase_is
from tests.core.test_job import failing_live

NONE = frozenset[str]()


def metrics(world: World, usage: Usage | None = None) -> Metrics:
    """Metrics that were told every entry of the world so far."""
    used = {"aws": usage} if usage else {}
    made = Metrics(world.store.db, world.clock, lambda: used, lambda: 2)
    for entry in world.store.entries(world.row.id):
        made.entry(world.row, entry)
    return made


def values(made: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """(name, label values) → value, as a scraper reads them."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(made.text().decode())
        for sample in family.samples
    }


def test_an_open_rollout_is_counted_by_phase(tmp_path: Path) -> None:
    """A fleet stands still in one phase, and the graph shows nothing."""
    world = World(tmp_path)
    world.drive(phase_is("shifting"))
    found = values(metrics(world))
    assert found["rollout_open", frozenset({"shifting", "running"})] == 1
    assert found["rollout_unproven_hosts", frozenset({world.row.plan["provider"]})] == world.row.plan["capacity"]
    assert found["rollout_jobs_running", NONE] == 2 and found["rollout_store_up", NONE] == 1


def test_a_rollout_that_was_put_back_is_counted_with_its_time(tmp_path: Path) -> None:
    """Nobody can show how long it takes to get traffic back."""
    world = World(tmp_path, ask=failing_live)
    world.drive()
    found = values(metrics(world))
    assert found["rollout_closed_total", frozenset({"rolled_back"})] == 1
    assert found["rollout_put_back_seconds_count", NONE] == 1
    (decided,) = [each.at for each in world.store.entries(world.row.id) if each.kind == "roll_back_decided"]
    assert 0 <= found["rollout_put_back_seconds_sum", NONE] <= world.clock.now() - decided
    assert ("rollout_unproven_hosts", frozenset({world.row.plan["provider"]})) not in found


def test_a_way_back_is_timed_by_whoever_ends_it(tmp_path: Path) -> None:
    """Every rollback during which a process was begun anew is missing from the figure that was promised to others."""
    world = World(tmp_path, ask=failing_live)
    world.drive(lambda world: bool(world.entries("roll_back_decided")))
    (decided,) = world.entries("roll_back_decided")
    world.passes(30.0)
    world.drive()
    (observed,) = [each for each in world.entries("ended") if each.step == "back:observed"]
    begun_anew = Metrics(world.store.db, world.clock, dict, lambda: 0)
    for entry in world.store.entries(ROLLOUT, decided.seq):
        begun_anew.entry(world.row, entry)
    found = values(begun_anew)
    assert found["rollout_put_back_seconds_count", NONE] == 1
    assert found["rollout_put_back_seconds_sum", NONE] == pytest.approx(observed.at - decided.at)
    assert found["rollout_put_back_seconds_sum", NONE] >= 30


def test_a_way_back_whose_decision_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """The store fails for a moment, and with the figure the process that puts traffic back ends."""
    world = World(tmp_path, ask=failing_live)
    world.drive()
    lost = SqliteDatabase(tmp_path / "other.db")
    made = Metrics(lost, world.clock, dict, lambda: 0)
    (tmp_path / "other.db").unlink()
    for entry in world.store.entries(ROLLOUT):
        made.entry(world.row, entry)
    assert values(made)["rollout_put_back_seconds_count", NONE] == 0


def test_what_is_due_and_not_driven_ages(tmp_path: Path) -> None:
    """The workers are dead, and every figure is calm."""
    world = World(tmp_path)
    world.drive(phase_is("shifting"))
    before = values(metrics(world))["rollout_queue_age_seconds", NONE]
    world.passes(600.0)
    found = values(metrics(world))
    assert found["rollout_due", NONE] == 1 and found["rollout_queue_age_seconds", NONE] > before + 500


def test_calls_and_throttles_are_counted_by_operation(tmp_path: Path) -> None:
    """The account's limit is eaten up by us, and we are the last to know."""
    usage = Usage({"elbv2.DescribeRules": 7, "elbv2.ModifyRule": 1}, {"elbv2.DescribeRules": 3})
    found = values(metrics(World(tmp_path), usage))
    assert found["rollout_provider_calls_total", frozenset({"aws", "elbv2.DescribeRules"})] == 7
    assert found["rollout_provider_throttled_total", frozenset({"aws", "elbv2.DescribeRules"})] == 3


def test_a_store_that_is_gone_is_a_figure(tmp_path: Path) -> None:
    """The scrape fails, and with it the alarm that would have told of the store."""
    world = World(tmp_path)
    lost = SqliteDatabase(tmp_path / "other.db")
    made = Metrics(lost, world.clock, dict, lambda: 0)
    assert values(made)["rollout_store_up", NONE] == 1
    (tmp_path / "other.db").unlink()
    found = values(made)
    assert found["rollout_store_up", NONE] == 0 and ("rollout_due", NONE) not in found


def test_jobs_are_timed_by_how_they_ended(tmp_path: Path) -> None:
    """A provider that hangs is seen only in the log."""
    made = metrics(World(tmp_path))
    made.job(0.2, failed=False)
    made.job(70.0, failed=True)
    found = values(made)
    assert (
        found["rollout_job_seconds_count", frozenset({"failed"})] == 1
        and found["rollout_job_seconds_sum", frozenset({"ended"})] == 0.2
    )


def test_the_documentation_has_every_figure_with_its_labels_and_no_other(tmp_path: Path) -> None:
    """An alarm rests on a name or a label that no process has, and never rings."""
    world = World(tmp_path, ask=failing_live)
    world.drive(phase_is("shifting"))
    made = metrics(world, Usage({"elbv2.ModifyRule": 1}, {"elbv2.ModifyRule": 1}))
    made.job(0.2, failed=False)
    families = list(made.registry.collect())
    world.drive()
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name: {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in (*families, *made.registry.collect())
        if family.samples
    }
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
    section = page.split("\n## Figures\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(rollout_\w+)` \|([^|]*)\|", section, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == exposed
    rules = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0])["groups"][0]["rules"]
    used = [set(re.findall(r"\brollout_\w+", rule["expr"])) for rule in rules]
    assert len(used) == 3 and all(used)
    assert {name.removesuffix("_bucket") for names in used for name in names} <= set(exposed)


def test_no_label_is_a_service(tmp_path: Path) -> None:
    """Ten thousand services make ten thousand series of each figure, and the monitoring falls over."""
    world = World(tmp_path)
    world.drive(phase_is("shifting"))
    assert world.row.service not in metrics(world).text().decode()
