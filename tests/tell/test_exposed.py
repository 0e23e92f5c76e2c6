"""Figures on an address of their own, while rollouts are driven."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.engine.local import Job
from rollout.engine.serve import Watchers
from rollout.exposed import BadAddress, Meter, place
from rollout.lease import this_process
from rollout.wiring import Installation
from tests.core.scene import ROLLOUT, World, phase_is
from tests.tell.kit import Told


def free_address() -> str:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def fetched(address: str) -> str:
    """What a scraper gets."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def opened(told: Told) -> tuple[World, Installation]:
    """A rollout under way, and the installation that a serving process would have."""
    world = told.world()
    world.drive(phase_is("shifting"))
    return world, Installation(told.folder / "fleet.yaml")


def test_figures_are_shown_while_it_serves_and_not_afterwards(told: Told) -> None:
    """The monitoring has nothing to scrape, or a stopped server goes on answering."""
    world, installation = opened(told)
    address = free_address()
    meter = Meter(installation, address)
    seen = list[str]()
    watchers = meter.beside(Watchers(entry=lambda row, entry: seen.append(entry.kind)))
    with meter.shown(lambda: 3):
        for entry in world.store.entries(ROLLOUT):
            watchers.entry(world.row, entry)
        watchers.job(world.row, Job(ROLLOUT, installation.means("memory"), this_process()))
        text = fetched(address)
    assert 'rollout_open{outcome="running",phase="shifting"} 1.0' in text and "rollout_jobs_running 3.0" in text
    assert 'rollout_job_seconds_count{result="ended"} 1.0' in text
    assert seen == [entry.kind for entry in world.store.entries(ROLLOUT)], "whoever listened before still does"
    with pytest.raises(OSError):
        fetched(address)


def test_nothing_is_listened_on_unasked(told: Told) -> None:
    """A server that nobody asked for opens a port on every machine."""
    _, installation = opened(told)
    meter, watchers = Meter(installation, None), Watchers()
    assert meter.beside(watchers) is watchers
    with meter.shown(lambda: 0):
        pass


def test_an_address_that_is_taken_is_said(told: Told) -> None:
    """`serve` ends with a traceback, or runs on without the figures that alarms rest on."""
    _, installation = opened(told)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BadAddress, match=address), Meter(installation, address).shown(lambda: 0):
            pass


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """A typing mistake becomes a port that nobody knows of."""
    try:
        host, port = place(text)
    except BadAddress as error:
        assert repr(text) in str(error)
    else:
        assert host and 0 < port < 65536


def test_addresses_of_both_families() -> None:
    """A machine with IPv6 only cannot be watched."""
    assert place("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert place("[::1]:9464") == ("::1", 9464)
    assert place(str(Path("localhost:80"))) == ("localhost", 80)
