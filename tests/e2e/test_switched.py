"""A queue worker without a balancer, rolled out and back for real: each job done once, never two sides at work."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kit import SERVICE, Fleet, Running, wait_until
from tests.local.switch_kit import WORKER, Queue, commands, worker_command

pytestmark = pytest.mark.e2e


class QueueFleet(Fleet):
    """The fleet of the other tests, whose images are workers of a queue."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        folder.mkdir(parents=True)
        gates = {name: {"passes": 1, "deadline": "60s"} for name in ("preflight", "replacement", "live")}
        super().__init__(
            folder,
            **{
                "coexist": "switched",
                "options": {"switch": commands(folder)},
                "traffic": {"steps": [100], "soak": "600ms", "interval": "300ms"},
                "gates": gates,
                "checks": {
                    "preflight": ["balancer"],
                    "replacement": ["balancer", "fidelity", "listening"],
                    "live": ["balancer", {"failed_responses": {"min_requests": 1}}],
                },
                **changes,
            },
        )
        self.queue = Queue(folder, SERVICE)

    def image(self, name: str, behaves: str = "well", command: list[str] | None = None) -> None:
        """Only the lock tells them apart, as a patch does."""
        folder = self.folder / "images" / name
        folder.mkdir(parents=True)
        (self.folder / "app.py").write_text(WORKER)
        (folder / "requirements.lock").write_text(f"# {name}\n")
        manifest = {
            "command": command or list(worker_command(self.folder)),
            "files": ["../../app.py"],
            "lock": "requirements.lock",
        }
        (folder / "image.yaml").write_text(json.dumps(manifest))

    @contextmanager
    def producing(self) -> Iterator[None]:
        """Jobs go on arriving."""
        stop = threading.Event()

        def produce() -> None:
            while not stop.wait(0.1):
                self.queue.put(2)

        thread = threading.Thread(target=produce)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def begin_and_stop_half_way(self, number: signal.Signals) -> Running:
        """A rollout whose command gets this signal while the original is off and the replacement is not on yet."""
        self.queue.breaks("disable", "blue", "half")
        running = self.begin("start", SERVICE, "--image", "base-2", "--json")
        wait_until(lambda: self.queue.enabled == set() or running.process.poll() is not None, "blue is disabled")
        assert running.process.poll() is None, running.out + running.err
        running.signal(number)
        self.queue.breaks("disable", "blue", "")
        return running

    def assert_all_done_once(self) -> None:
        """What was put in came out once, and two sides were never enabled together."""
        wait_until(lambda: self.queue.left == 0, lambda: f"the queue is empty; {self.queue.left} jobs are left")
        self.queue.assert_each_done_once()
        self.queue.assert_never_both()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[QueueFleet]:
    """base-1 works on blue."""
    fleet = QueueFleet(tmp_path / "fleet")
    try:
        fleet.up()
        yield fleet
    finally:
        fleet.close()


def test_two_rollouts_a_kill_in_the_middle_and_a_rollback(fleet: QueueFleet) -> None:
    """A patched worker loses jobs, does them twice, or a crash in the middle leaves a queue that nobody works on."""
    with fleet.producing():
        killed = fleet.begin_and_stop_half_way(signal.SIGKILL)
        assert killed.wait().code == -signal.SIGKILL
        assert fleet.queue.enabled == set(), "this is the state that has to be found"
        doctor = fleet.rollout("doctor", "--json")
        assert "a switch to green was begun and has not ended" in doctor.out
        done = fleet.rollout("resume", SERVICE, "--json")
        assert (done.code, done.last["outcome"]) == (0, "promoted"), done
        assert fleet.queue.enabled == {"green"}

        second = fleet.rollout("start", SERVICE, "--image", "base-3", "--end-warm")
        assert second.code == 0, second
        assert "no side took new work for" in second.err + second.out
        assert fleet.queue.enabled == {"blue"}

        back = fleet.rollout("rollback", SERVICE, "--reason", "the on-call engineer")
        assert back.code == 0, back
        assert fleet.queue.enabled == {"green"}
    fleet.assert_all_done_once()
    assert fleet.rollout("journal", "verify").code == 0


def test_the_emergency_path_does_not_wait_for_a_command_that_is_frozen(fleet: QueueFleet) -> None:
    """At night a rollout that hangs in the middle of a switch keeps the queue from being put back."""
    with fleet.producing():
        frozen = fleet.begin_and_stop_half_way(signal.SIGSTOP)
        back = fleet.rollout("rollback", SERVICE, "--reason", "nobody works", "--no-wait")
        assert back.code == 0, back
        assert fleet.queue.enabled == {"blue"}
        frozen.signal(signal.SIGCONT)
        ended = frozen.wait()
        assert ended.code == 4, ended
        assert fleet.queue.enabled == {"blue"}, "what was frozen went on over the rollback"
    fleet.assert_all_done_once()


def test_a_replacement_that_cannot_be_enabled_is_turned_back(fleet: QueueFleet) -> None:
    """A patch that cannot take work leaves a queue without a worker."""
    fleet.queue.breaks("enable", "green", "fail")
    with fleet.producing():
        done = fleet.rollout("start", SERVICE, "--image", "base-2", "--json")
        assert done.code == 4, done
        assert fleet.queue.enabled == {"blue"}
    fleet.assert_all_done_once()


def test_steps_between_are_refused_with_what_to_write(fleet: QueueFleet) -> None:
    """Somebody believes that a tenth of a queue is on the new side."""
    fleet.change(traffic={"steps": [50, 100]})
    done = fleet.rollout("plan", SERVICE, "--image", "base-2")
    assert done.code == 2
    assert "Write: traffic: {steps: [100]}" in done.err
    fleet.change(coexist="safe")
    assert "Write coexist: switched" in fleet.rollout("plan", SERVICE, "--image", "base-2").err


@pytest.mark.parametrize("command", ["plan", "start"])
def test_forbidden_is_refused_with_the_procedure(fleet: QueueFleet, command: str) -> None:
    """Two leaders run at once, or a person does not know how else to patch."""
    fleet.change(coexist="forbidden")
    done = fleet.rollout(command, SERVICE, "--image", "base-2")
    assert done.code == 2
    for word in (f"stop {SERVICE}", "back up", "put base-2 in its place", "check: balancer, fidelity", "to go back"):
        assert word in done.err, word
    as_data = fleet.rollout(command, SERVICE, "--image", "base-2", "--json")
    assert as_data.code == 2
    procedure = as_data.last["procedure"]
    assert len(procedure) == 8 and procedure[3] == "patch: put base-2 in its place"
    assert "sha256:" in procedure[2], "what runs now is not named, so that nobody can go back to it"
    assert fleet.queue.enabled == {"blue"}
