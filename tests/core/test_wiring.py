"""From a fleet file to means: each part when it is needed, and nothing that is unknown is guessed."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from healthchecks.base import Readings, Subject
from rollout.plan import CheckSpec
from rollout.wiring import Installation, SystemClock, UnknownService, adapter, thin_rollback
from tests.core.scene import SHOP


def subject(installation: Installation) -> Subject:
    """Blue, as a check sees it."""
    readings = Readings(installation.provider("memory"), SHOP)
    return Subject("original", "blue", "green", readings, None, 1, installation.clock.now())


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    """A mistake in a service's options stops the status of all others."""
    (tmp_path / "fleet.yaml").write_text("version: 1\nservices: [this is wrong\n")
    made = Installation(tmp_path / "fleet.yaml")
    assert made.store.rollouts() == [] and made.cards.all() == ([], [])
    with pytest.raises(Exception, match=r"fleet\.yaml"):
        made.service("shop")


def test_a_provider_is_made_once_whoever_asks_for_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of eight jobs gets clients of its own, and a budget for calls of its own: eight times what AWS allows."""
    (tmp_path / "fleet.yaml").write_text("version: 1\n")
    made, installation, gate = list[object](), Installation(tmp_path / "fleet.yaml"), threading.Barrier(8)

    def build(context: Any) -> object:
        made.append(context)
        return object()

    monkeypatch.setattr("rollout.wiring.adapter", lambda name: SimpleNamespace(build=build))

    def ask(_: int) -> object:
        gate.wait(10)
        return installation.provider("memory")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert len(made) == 1 and len(set(map(id, found))) == 1


def test_a_store_is_made_where_the_fleet_file_says(tmp_path: Path) -> None:
    """Two commands of one fleet look at two stores."""
    (tmp_path / "fleet.yaml").write_text("version: 1\nstate: elsewhere\n")
    made = Installation(tmp_path / "fleet.yaml")
    assert made.store is made.store
    assert (tmp_path / "elsewhere" / "rollout.db").is_file()
    assert made.cards.folder == tmp_path / "elsewhere" / "cards"
    assert (tmp_path / "elsewhere").stat().st_mode & 0o077 == 0


def test_an_unknown_service_is_answered_with_the_nearest(installation: Installation) -> None:
    """A typing mistake is answered with a KeyError."""
    with pytest.raises(UnknownService, match="has no service 'shpo'; did you mean shop"):
        installation.service("shpo")
    with pytest.raises(UnknownService, match="Known: shop"):
        installation.service("warehouse")


def test_a_provider_is_made_once(installation: Installation) -> None:
    """Two simulated clouds, or two sessions with a real one, for one command."""
    assert installation.provider("memory") is installation.provider("memory")
    assert installation.means("memory").provider is installation.provider("memory")


def test_a_provider_from_outside_is_found_by_module_and_factory(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's own platform cannot be used without changing this program."""
    theirs: Any = ModuleType("their_cloud")
    theirs.make = lambda context: ("theirs", context.fleet_dir)
    monkeypatch.setitem(sys.modules, "their_cloud", theirs)
    made: Any = installation.provider("their_cloud:make")
    assert made == ("theirs", installation.fleet_file.parent)


def test_adapters_and_thin_modules_are_loaded_by_name() -> None:
    """The name in the fleet file leads somewhere else."""
    assert adapter("memory").__name__ == "providers.memory.adapter"
    assert thin_rollback("memory").__name__ == "providers.memory.rollback"
    with pytest.raises(ImportError):
        adapter("nowhere")


def test_a_configured_check_is_asked(installation: Installation) -> None:
    """A gate judges without asking."""
    installation.provider("memory").traffic.route(SHOP)
    verdict = installation.ask(CheckSpec("balancer", "balancer", {"min_healthy": 1}), subject(installation))
    assert verdict.answer == "pass"


@pytest.mark.parametrize(
    "spec",
    [
        CheckSpec("not_there_any_more", "x"),
        CheckSpec("their.own.check", "x"),
        CheckSpec("balancer", "x", {"min_healthy": "many"}),
        CheckSpec("balancer", "x", {"an_option_of_the_next_release": 1}),
    ],
    ids=["gone", "not installed", "other type", "other release"],
)
def test_a_check_that_cannot_be_asked_is_unknown(installation: Installation, spec: CheckSpec) -> None:
    """Every job of a rollout ends with a traceback after a check was removed, so it cannot even turn back."""
    verdict = installation.ask(spec, subject(installation))
    assert verdict.answer == "unknown" and spec.name in verdict.summary and len(verdict.summary) <= 400


def test_the_systems_clock_tells_time_and_never_sleeps_backwards() -> None:
    """A negative wait ends a job with a ValueError."""
    clock = SystemClock()
    before = clock.now()
    clock.sleep(-5)
    assert 0 <= clock.now() - before < 5


def test_composing_imports_no_settings_library(tmp_path: Path) -> None:
    """Status waits for a library that only reading settings needs."""
    program = "import sys, rollout.wiring; print('pydantic' in sys.modules or 'yaml' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "False"
