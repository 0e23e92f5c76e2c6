"""The log: what the engine did and how long it took, for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from providers.memory.clock import VirtualClock
from rollout import log
from rollout.engine.job import Advanced
from rollout.engine.local import Job
from rollout.lease import this_process


def _job(**ended: Any) -> Job:
    job = Job("shop-1", cast(Any, None), this_process())  # a job that never ran needs no means
    for name, value in ended.items():
        setattr(job, name, value)
    return job


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
