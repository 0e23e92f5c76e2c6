"""Where instances listen, with real processes: alone, by their children, and as the check judges two sides."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from healthchecks import listening as check
from healthchecks.base import Readings, Subject, Verdict
from providers.base import Service
from providers.local import listening
from tests.local.instance_kit import SERVING, Fleet, open_fleet, wait_until
from tests.ports import free_port

OWN = ("tcp/127.0.0.1:service",)
OPENS = """
import socket
extra = socket.create_server(("127.0.0.1", {port}))
"""
LEAVES_BEHIND = """
import os, socket, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        extra = socket.create_server(("127.0.0.1", {port}))
        while os.path.isdir({folder!r}): time.sleep(0.05)
    os._exit(0)
os.wait()
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """With one image, `base-1`, which serves on its own port only."""
    with open_fleet(tmp_path / "fleet", stop_timeout_s=0.5) as opened:
        opened.image("base-1")
        yield opened


def _listening(fleet: Fleet, service: Service) -> tuple[str, ...] | None:
    (host,) = fleet.provider.inventory.read(service, "blue")
    return host.listening


def _up(fleet: Fleet) -> Service:
    service = fleet.up()
    wait_until(lambda: fleet.all_running(service, 1), "it never ran")
    return service


def test_an_instance_listens_on_its_own_port(fleet: Fleet) -> None:
    """Each instance has another port, so that no two ever listen alike."""
    assert _listening(fleet, _up(fleet)) == OWN


def test_what_it_opens_besides_is_seen(fleet: Fleet) -> None:
    """A debugging port that came with a patch is not seen."""
    port = free_port()
    fleet.image("base-1", app=OPENS.format(port=port) + SERVING)
    assert _listening(fleet, _up(fleet)) == (*sorted([f"tcp/127.0.0.1:{port}", *OWN]),)


def test_what_its_children_open_is_seen_when_they_left_it(fleet: Fleet, tmp_path: Path) -> None:
    """A program that hides behind two forks opens what it likes."""
    port, folder = free_port(), tmp_path / "stay"
    folder.mkdir()
    fleet.image("base-1", app=LEAVES_BEHIND.format(port=port, folder=str(folder)) + SERVING)
    service = _up(fleet)
    opened = f"tcp/127.0.0.1:{port}"
    wait_until(lambda: opened in (_listening(fleet, service) or ()), "its child was never seen to listen")
    folder.rmdir()
    wait_until(lambda: _listening(fleet, service) == OWN, "its child never ended")


def test_a_dead_instance_listens_nowhere_that_is_known(fleet: Fleet) -> None:
    """A host that runs nothing counts as one that opened nothing."""
    fleet.image("base-1", app="raise SystemExit(3)")
    service = fleet.up()
    wait_until(lambda: fleet.instances(service)[0].state == "failed", "it was never seen to fail")
    assert _listening(fleet, service) is None


def test_a_replacement_that_opens_a_port_fails_the_check(fleet: Fleet) -> None:
    """The check and the provider have different words for one place, and each replacement fails or passes."""
    port = free_port()
    fleet.image("base-2", lock="# same\n")
    fleet.image("base-3", app=OPENS.format(port=port) + SERVING, lock="# opens\n")
    service = _up(fleet)
    assert _replaced(fleet, service, "base-2").answer == "pass"
    verdict = _replaced(fleet, service, "base-3")
    assert verdict.answer == "fail"
    assert f"tcp/127.0.0.1:{port}, which the original does not" in verdict.summary


def _replaced(fleet: Fleet, service: Service, image: str) -> Verdict:
    compute, patcher = fleet.provider.compute, fleet.provider.patcher
    patch = patcher.resolve(service, image)
    compute.mirror(service, "blue", "green", patch.image, "r1", f"mirror-{image}")
    patcher.apply(service, "green", patch, f"apply-{image}")
    compute.scale(service, "green", 1, f"scale-{image}")
    wait_until(lambda: fleet.running(service, "green"), "the replacement never ran")
    readings = Readings(fleet.provider, service)
    subject = Subject("replacement", "green", "blue", readings, patch, 1, fleet.context.clock.now())
    return check.ask(check.Options(), subject)


def test_sockets_are_told_apart() -> None:
    """A look-up of a name counts as an open port, or an open port as a look-up."""
    ephemeral = listening.ephemeral_ports()
    with (
        socket.create_server(("127.0.0.1", 0)) as served,
        socket.create_server(("127.0.0.1", 0)) as own,
        socket.create_connection(own.getsockname()),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connected,
    ):
        asking.bind(("127.0.0.1", 0))
        connected.connect(("127.0.0.1", 53))
        found = listening.listening([psutil.Process(os.getpid())], own.getsockname()[1]) or ()
        port = served.getsockname()[1]
        assert port in ephemeral
        mine = {entry for entry in found if entry.startswith(("tcp/127.0.0.1", "udp/127.0.0.1"))}
    assert {f"tcp/127.0.0.1:{port}", "tcp/127.0.0.1:service", "udp/127.0.0.1:ephemeral"} <= mine
    assert len([entry for entry in mine if entry.startswith("udp")]) == 1


def test_addresses_of_version_six_are_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port of an IPv6 address cannot be told from the address."""
    place = type("Place", (), {"ip": "::1", "port": 9100})
    kind = {"laddr": place, "raddr": (), "type": socket.SOCK_STREAM, "status": psutil.CONN_LISTEN}
    process = psutil.Process()
    monkeypatch.setattr(process, "net_connections", lambda which: [type("Socket", (), kind)])
    assert listening.listening([process], 1) == ("tcp/[::1]:9100",)


def test_a_process_that_ended_meanwhile_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """One short-lived child makes the whole host unreadable."""
    gone, here = psutil.Process(), psutil.Process()

    def ended(kind: str) -> None:
        raise psutil.NoSuchProcess(gone.pid)

    monkeypatch.setattr(gone, "net_connections", ended)
    assert listening.listening([gone, here], 1) is not None
    assert listening.listening([gone], 1) is None
    assert listening.listening([], 1) is None


def test_a_process_that_may_not_be_looked_into_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs as somebody else opens what it likes."""
    closed, here = psutil.Process(), psutil.Process()

    def denied(kind: str) -> None:
        raise psutil.AccessDenied(closed.pid)

    monkeypatch.setattr(closed, "net_connections", denied)
    assert listening.listening([here, closed], 1) is None


def test_without_the_systems_word_the_usual_range_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On another system nothing can be read at all."""
    for content in (None, "", "a b", "1"):
        file = tmp_path / "range"
        if content is not None:
            file.write_text(content)
        monkeypatch.setattr(listening, "EPHEMERAL", file)
        assert listening.ephemeral_ports() == listening.USUAL_EPHEMERAL
