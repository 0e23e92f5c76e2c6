"""A dead controller's lease is taken at once; a living one's never."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import lease
from rollout.lease import Holder, is_provably_dead, this_process
from rollout.store import LeaseHeld, Store

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits to be ended; its parent (this test) does not look after it."""
    made = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield made
    made.kill()
    made.wait()


def holder_of(pid: int) -> Holder:
    """The process with this pid, on this host."""
    return replace(this_process(), pid=pid, started=lease._start_time(pid) or "")


def test_this_process_is_alive() -> None:
    """A rollout is taken away from the command that drives it."""
    assert not is_provably_dead(this_process())


def test_a_living_process_is_alive(child: subprocess.Popen[bytes]) -> None:
    """Two commands on one host drive the same rollout."""
    assert not is_provably_dead(holder_of(child.pid))


def test_a_killed_process_is_dead(child: subprocess.Popen[bytes]) -> None:
    """After a crash the next command waits for a lease that nobody has."""
    holder = holder_of(child.pid)
    child.kill()
    child.wait()
    assert is_provably_dead(holder)


def test_a_zombie_is_dead(child: subprocess.Popen[bytes]) -> None:
    """A controller that was killed and never collected by its parent blocks the rollout."""
    holder = holder_of(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is over, and stays a zombie
    assert Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    assert is_provably_dead(holder)


def test_a_reused_pid_is_dead() -> None:
    """The pid of a dead controller was given to a mail server, and the rollout hangs until that ends."""
    assert is_provably_dead(replace(this_process(), started="1"))


def test_a_holder_elsewhere_is_not_judged() -> None:
    """A live controller on another host loses its lease."""
    assert not is_provably_dead(Holder("elsewhere", "another boot", 1, "1"))


def test_a_rebooted_host_has_no_living_holders() -> None:
    """After a reboot the rollout waits for a process of the time before."""
    assert is_provably_dead(Holder(socket.gethostname(), "an earlier boot", os.getpid(), "1"))


def test_another_machine_of_the_same_name_is_not_judged() -> None:
    """Two machines that are both called `worker` take each other's leases away, again and again."""
    here = this_process()
    elsewhere = replace(here, boot="of the other one", machine="of the other one")
    assert not is_provably_dead(elsewhere)
    assert not is_provably_dead(replace(elsewhere, machine=""))


def test_a_reboot_of_this_machine_is_known_by_its_own_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reboot a rollout waits for the processes of the time before."""
    monkeypatch.setattr(lease, "_machine_id", lambda: "mine")
    assert is_provably_dead(replace(this_process(), boot="an earlier boot"))


def test_a_process_of_another_container_is_not_judged() -> None:
    """Two containers under one name and kernel: the pid of the one is nobody, or somebody else, in the other."""
    other = replace(this_process(), pid=2**22 + 1, space="pid:[1]")
    assert not is_provably_dead(other)
    assert is_provably_dead(replace(other, space=this_process().space))


def test_a_holder_of_an_earlier_release_is_read() -> None:
    """After an upgrade every command fails at a lease that the release before wrote."""
    written = {"host": "db-7", "boot": "b", "pid": 4711, "started": "1"}
    assert Holder.from_json(written) == Holder("db-7", "b", 4711, "1")


def test_a_host_without_boot_ids_judges_nobody() -> None:
    """On a system without /proc every running controller is taken for dead."""
    assert not is_provably_dead(Holder(socket.gethostname(), "", 2**22 + 1, ""))


def test_a_start_time_the_kernel_hides_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other users' processes are hidden, a live controller of another user loses its lease."""
    monkeypatch.setattr(lease, "_start_time", lambda pid: "")
    assert not is_provably_dead(replace(this_process(), started="12345"))


def test_a_process_the_kernel_does_not_list_is_asked_for(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc hides other users, a live controller is called gone because it is not listed."""
    holder = holder_of(child.pid)

    def hidden(self: Path, *_: object) -> str:
        if self.name == "stat":
            raise FileNotFoundError(self)
        return holder.boot

    monkeypatch.setattr(Path, "read_text", hidden)
    assert not is_provably_dead(holder)

    def refused(pid: int, number: int) -> None:
        raise PermissionError

    with monkeypatch.context() as other_user:
        other_user.setattr(os, "kill", refused)
        assert not is_provably_dead(holder)


def test_an_impossible_pid_is_dead() -> None:
    """A damaged lease blocks its service for ever, or ends every command with a traceback."""
    assert is_provably_dead(replace(this_process(), pid=2**70))


@given(st.builds(Holder, st.text(), st.text(), st.integers(), st.text(), st.text(), st.text()))
def test_a_holder_survives_being_stored(holder: Holder) -> None:
    """A process does not recognise its own lease."""
    assert Holder.from_json(holder.to_json()) == holder


def test_the_store_takes_a_dead_holders_lease_at_once(store: Store, child: subprocess.Popen[bytes]) -> None:
    """The command after a crash waits ten seconds, and a person at night with it."""
    held_by = holder_of(child.pid)
    store.take_lease("shop", held_by, 100.0)
    with pytest.raises(LeaseHeld):
        store.take_lease("shop", this_process(), 101.0)
    child.kill()
    child.wait()
    assert store.take_lease("shop", this_process(), 101.0) == 2


def test_the_same_process_takes_its_own_lease_again(store: Store) -> None:
    """A driver locks itself out between two jobs."""
    store.take_lease("shop", this_process(), 100.0)
    assert store.take_lease("shop", this_process(), 100.5) == 2


def test_a_process_names_itself_for_people() -> None:
    """A person who meets a held lease does not know which process to look at."""
    assert str(Holder("db-7", "b", 4711, "1")) == "process 4711 on db-7"
