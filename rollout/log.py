"""The log: for people who look into what the engine did and how long it took. The journal is the truth, not this.

JSON lines in `rollout.log` of the state folder, bounded; each carries rollout and service. No values of options, no
output of checks: nothing that could be a secret comes here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from providers.base import Clock
from rollout.engine.local import Job
from rollout.state_dir import share

MAX_BYTES = 5_000_000
KEPT_FILES = 2


def job_log(folder: Path, clock: Clock, service: str) -> Callable[[Job], None]:
    """What notes the end of each job of a service: how long it took, when it is due again, or what broke it."""
    note = fleet_log(folder, clock)
    return lambda job: note(service, job)


def fleet_log(folder: Path, clock: Clock, worker: str = "") -> Callable[[str, Job], None]:
    """The same for the jobs of all services; takes the service with each. `worker`: one of several."""
    log = open_log(folder, clock)
    log = log.bind(worker=worker) if worker else log

    def note(service: str, job: Job) -> None:
        told = log.bind(service=service, rollout=job.rollout, epoch=job.epoch, seconds=round(job.seconds, 3))
        told = told.bind(step=job.step) if job.step else told
        error = job.error or (job.advanced.error if job.advanced else None)
        if error is not None:
            told.error("job_failed", kind=type(error).__name__, exc_info=error)
        elif job.advanced is not None:
            due_at = job.advanced.due_at
            told.info("job_ended", due_in_s=None if due_at is None else round(due_at - clock.now(), 3))

    return note


class _Shared(RotatingFileHandler):
    """Several users of one state folder write to one log. A full disk costs it a line, not the screen a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        return

    def _open(self) -> Any:
        opened = super()._open()
        share(Path(self.baseFilename))
        return opened


def open_log(folder: Path, clock: Clock) -> structlog.typing.FilteringBoundLogger:
    """A logger of its own, not the process's: two fleets in one process write two logs."""

    def stamp(logger: Any, method: str, event: Any) -> Any:
        return {"at": round(clock.now(), 3), **event}

    logger = logging.Logger("rollout")
    handler = _Shared(folder / "rollout.log", maxBytes=MAX_BYTES, backupCount=KEPT_FILES, delay=True)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    wrapped: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        logger,
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            stamp,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return wrapped
