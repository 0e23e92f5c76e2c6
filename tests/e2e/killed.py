"""Runs one command over and over and kills it with SIGKILL at every point in turn, each point once.

    python -m tests.e2e.killed FLEET_FILE KINDS COMMAND [ARGUMENT …]

A point is the instant before or after a call that matters: an append to the journal (and inside its transaction), a
change of a lease or wait, a write of a provider, a start of an instance, a record, a card, the emergency path's calls.
KINDS chooses: `journal`, `inside`, `acts` with a comma between. Each attempt is a process of its own, forked from
here so that it need not import everything again; it dies like any other: no handler, no clean-up, threads and all.

Prints a JSON line for each kill with what `rollout status --json` and the balancer say directly afterwards, and a
last one with the exit code of the attempt that nothing killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from providers.local import adapter, builds, compute, home, patcher, processes, records, rollback, tokens, traffic
from providers.local.balancer.client import BalancerClient, BalancerError
from rollout import bootstrap, card, cli, control, emergency, entry, follow, run, settings, store  # noqa: F401 - once
from rollout.engine import local  # noqa: F401 - imported here once, and not by each attempt

MOST = 400
WRITE_S = 0.4  # how long a late write is awaited: the default of 2 s at each of so many kills takes minutes
ACTS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (compute.LocalCompute, ("mirror", "set_floor", "scale", "park", "delete_if_owned", "replace")),
    (traffic.LocalTraffic, ("attach", "detach", "set_weights", "cut", "mark")),
    (patcher.LocalPatcher, ("apply",)),
    (builds.Builds, ("build", "_run")),
    (processes.Processes, ("start", "terminate")),
    (records.Records, ("write", "remove")),
    (home.Home, ("write", "remove")),
    (tokens.Tokens, ("begin", "finish")),
    (card.CardFolder, ("write",)),
    (rollback, ("put_back", "set_mark")),
)


class Points:
    """Dies at the first point that nobody died at before; `done` is the file that remembers."""

    def __init__(self, done: Path) -> None:
        self._done, self._lock, self._step = done, threading.Lock(), "the beginning"
        self._known = set(done.read_text().splitlines()) if done.exists() else set()

    def reach(self, point: str) -> None:
        with self._lock:
            if point not in self._known:
                with self._done.open("a") as file:
                    file.write(point + "\n")
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()

    def wrap(self, owner: Any, name: str, label: Callable[..., str], *, before: bool = True) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            told = label(*arguments, **options)
            if before:
                self.reach(f"before {told}")
            answer = original(*arguments, **options)
            self.reach(f"after {told}")
            return answer

        setattr(owner, name, wrapped)

    def follow(self) -> None:
        """Know at which step of the story this process is."""
        recall = run.Run.recall

        def noted(the_run: run.Run, step: str) -> Any:
            self._step = step
            return recall(the_run, step)

        run.Run.recall = noted  # type: ignore[method-assign, assignment]

    def journal(self) -> None:
        self.wrap(store.Store, "append", _appended)
        self.wrap(store.Store, "decide", lambda s, rollout, head, kind, *_, **__: f"decide {kind}")
        self.wrap(store.Store, "open_rollout", lambda *_, **__: "open_rollout")
        self.wrap(store.Store, "save_wait", lambda s, rollout, epoch, wait: f"look {wait.step}")
        self.wrap(store.Store, "take_lease", lambda *_, **__: "take_lease")
        self.wrap(store.Store, "release_lease", lambda *_, **__: f"release_lease in {self._step}")

    def inside(self) -> None:
        """Written, but not committed."""
        label: Callable[..., str] = lambda s, db, rollout, epoch, kind, step, *_: f"write {kind} {step}".strip()  # noqa: E731
        self.wrap(store.Store, "_append", label, before=False)

    def acts(self) -> None:
        for owner, names in ACTS:
            for name in names:
                called = f"{getattr(owner, '__name__', owner).rpartition('.')[2]}.{name}"
                self.wrap(owner, name, lambda *_, called=called, **__: f"{called} in {self._step}")


def _appended(s: Any, rollout: str, epoch: int, kind: str, step: str, data: Any, *_: Any, **__: Any) -> str:
    return f"append {kind} {step} {data.get('check', '')}".strip()


def attempt(command: list[str], folder: Path, prepare: Callable[[], None]) -> tuple[int, str, str]:
    """Run one command in a child; its exit code (negative: killed by), stdout and stderr."""
    out, err = folder / "attempt.out", folder / "attempt.err"
    pid = os.fork()
    if not pid:
        for path, number in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        code = 70
        try:
            prepare()
            code = entry.run(command)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), out.read_text(), err.read_text()


def main(config: Path, kinds: list[str], command: list[str]) -> None:
    folder = config.parent
    done = folder / "killed-at"
    done.unlink(missing_ok=True)
    service = command[1]
    named = ["--config", str(config)]
    adapter.WRITE_S = WRITE_S  # type: ignore[attr-defined]

    def armed() -> None:
        points = Points(done)
        points.follow()
        for kind in kinds:
            getattr(points, kind)()

    for _ in range(MOST):
        code, out, err = attempt([*command, *named], folder, armed)
        point = done.read_text().splitlines()[-1] if done.exists() else ""
        if code != -signal.SIGKILL:
            print(json.dumps({"code": code, "out": out, "err": err}), flush=True)  # noqa: T201 - is what it is for
            return
        _, said, _ = attempt(["status", service, "--json", *named], folder, lambda: None)
        status = json.loads(said.splitlines()[-1]) if said else {}
        print(  # noqa: T201
            json.dumps({"killed": point, "status": status, "weights": weights(config, service)}), flush=True
        )
    raise SystemExit(f"killed {MOST} times, and still not done")


def weights(config: Path, service: str) -> dict[str, int] | None:
    balancer = config.parent.resolve() / ".rollout" / "local" / "services" / service / "balancer"
    try:
        return dict(BalancerClient(balancer, 10.0).state()["weights"])
    except BalancerError:
        return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:])
