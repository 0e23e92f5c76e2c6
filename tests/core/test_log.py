"""The log: what the engine did and how long it took, for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from providers.memory.clock import VirtualClock
from rollout import log
from rollout.engine.job import Advanced
from rollout.engine.local import Driver, Job, Listener
from rollout.journal import Entry
from rollout.lease import this_process
from rollout.store import StoreError
from tests.core.scene import HOLDER, ROLLOUT, World


def _job(**ended: Any) -> Job:
    job = Job("shop-1", cast(Any, None), this_process())  # a job that never ran needs no means
    for name, value in ended.items():
        setattr(job, name, value)
    return job


def _entry(seq: int, epoch: int, kind: str, step: str) -> Entry:
    return Entry("shop-1", seq, 0.0, epoch, kind, step, {}, "", "")


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rollout.log").read_text().splitlines()]


def test_a_job_leaves_a_line_with_rollout_service_and_due_time(tmp_path: Path) -> None:
    """Nobody can tell later why a rollout took so long."""
    clock = VirtualClock()
    note = log.job_log(tmp_path, clock, "shop")
    note(_job(epoch=7, seconds=0.25, advanced=Advanced("waiting", clock.now() + 5)))
    (line,) = _lines(tmp_path)
    assert line.pop("at") == clock.now()
    assert line == {
        "service": "shop",
        "rollout": "shop-1",
        "epoch": 7,
        "seconds": 0.25,
        "due_in_s": 5.0,
        "event": "job_ended",
        "level": "info",
    }


def test_the_line_says_at_which_step_it_was(tmp_path: Path) -> None:
    """Lines are found by rollout and time only, and the journal has to be laid beside them."""
    job = _job(epoch=7, advanced=Advanced("waiting", None))
    own = [_entry(1, 7, "entered", "shifting"), _entry(2, 7, "waiting", "live:1:50"), _entry(3, 7, "paused", "")]
    job.note_step([_entry(0, 6, "entered", "proving"), *own, _entry(4, 8, "entered", "baking")])
    log.job_log(tmp_path, VirtualClock(), "shop")(job)
    job.note_step([_entry(1, 6, "entered", "proving")])
    log.job_log(tmp_path, VirtualClock(), "shop")(job)
    first, second = _lines(tmp_path)
    assert first["step"] == "live:1:50" and "step" not in second, "what another one wrote is not its own"


def _ticked(world: World, listener: Listener) -> None:
    """A command's ticks until the rollout is closed, time passing in between."""
    driver = Driver(ROLLOUT, world.means, HOLDER, listener)
    for _ in range(400):
        if driver.tick().closed_at is not None and not driver.busy:
            break
        world.passes(0.5)
    driver.close()


def test_the_jobs_of_a_command_have_their_steps_and_its_entries_are_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command did stands in the log without its steps; or with them, and the screen says everything twice."""
    monkeypatch.setattr(Job, "begin", Job.run)
    order = list[tuple[str, int]]()
    steps = list[str]()

    def ended(job: Job) -> None:
        order.append(("job", job.epoch or 0))
        steps.append(job.step)

    _ticked(world, Listener(entry=lambda entry: order.append(("entry", entry.seq)), job=ended))
    assert world.row.closed_at is not None
    assert [seq for what, seq in order if what == "entry"] == list(range(1, world.journal.head + 1))
    assert {"live:1:50", "bake"} <= set(steps) and "" in steps
    assert order[:3] == [("entry", 1), ("job", 1), ("entry", 2)], "a job is told before what it wrote"


def test_a_job_of_a_command_is_told_though_its_entries_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails for a moment, and the log has no line of what acted just then."""
    monkeypatch.setattr(Job, "begin", Job.run)
    seen, told = list[Job](), list[int]()
    driver = Driver(ROLLOUT, world.means, HOLDER, Listener(lambda entry: told.append(entry.seq), job=seen.append))
    driver.tick()

    def fails(rollout: str, after: int = 0) -> list[Entry]:
        raise StoreError("database is locked")

    with monkeypatch.context() as lost, pytest.raises(StoreError):
        lost.setattr(world.store, "entries", fails)
        driver.tick()
    assert [job.step for job in seen] == [""] and told == [1]
    driver.tick()
    assert told[:2] == [1, 2], "told once it can be read"


def test_a_job_that_broke_leaves_its_traceback(tmp_path: Path) -> None:
    """An internal error is seen once on a terminal that is gone by the time somebody looks."""
    try:
        raise RuntimeError("boom")
    except RuntimeError as error:
        log.job_log(tmp_path, VirtualClock(), "shop")(_job(error=error))
    (line,) = _lines(tmp_path)
    assert (line["event"], line["kind"]) == ("job_failed", "RuntimeError")
    assert "boom" in line["exception"]


def test_what_a_check_said_stays_out_of_the_log(tmp_path: Path) -> None:
    """An application that prints a secret has it copied into files that nobody guards."""
    log.job_log(tmp_path, VirtualClock(), "shop")(_job(advanced=Advanced("proof: password=hunter2", None)))
    assert "hunter2" not in (tmp_path / "rollout.log").read_text()


def test_two_fleets_in_one_process_have_two_logs(tmp_path: Path) -> None:
    """What one fleet did is looked for in the log of another."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        log.job_log(tmp_path / name, VirtualClock(), name)(_job(advanced=Advanced("", None)))
    assert [_lines(tmp_path / name)[0]["service"] for name in ("one", "two")] == ["one", "two"]
    assert len(_lines(tmp_path / "two")) == 1
