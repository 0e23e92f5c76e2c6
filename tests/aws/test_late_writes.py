"""No write lands after its time-out, wherever the process that makes it was held up."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.aws.cloud import BEGIN_WITHIN_S, Cloud, Clouds, Place
from providers.aws.identity import CONNECT_S
from providers.base import Context, HoldMark, Patch, Provider, Service, Transient, weights_for
from providers.memory.clock import VirtualClock
from tests.aws.account import CREDENTIALS, REGION, Account, in_process, open_provider
from tests.aws.wire import Line, wire
from tests.providers.harness_aws import AwsHarness

OWNER = "rollout-manager/shop"
MARK = HoldMark("shop-7", 3, "blue", "ana", 1.0, "errors")


class World:
    """`shop` as a permanent pair, green attached without weight."""

    def __init__(self, account: Account, folder: Path) -> None:
        harness = AwsHarness(account, folder)
        self.account, self.clock = account, harness.clock
        self.folder = folder
        self.service = account.service("shop", 2, on_demand=False)
        account.client("autoscaling").set_desired_capacity(AutoScalingGroupName="shop-green", DesiredCapacity=2)
        self.clock.sleep(30)
        provider = self.provider()
        found = provider.compute.observe([self.service])["shop"]
        self.hosts = [host for host in found if host.slot == "green"]
        provider.traffic.attach(self.service, "green", self.hosts, "a")
        self.clock.sleep(30)
        provider.traffic.observe([self.service])
        self.before = provider.traffic.route(self.service)

    def provider(self) -> Provider:
        """One that remembers nothing."""
        return open_provider(self.folder, self.clock)


class Freeze:
    """The process stands still after so many calls; what was sent before that is forgotten."""

    def __init__(self, world: World, line: Line, after: int) -> None:
        self.world, self.line, self.after, self.made = world, line, after, 0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """In the place of `Cloud._call`."""

        def freezing(*asked: Any) -> Any:
            answer = call(*asked)
            self.made += 1
            if self.made == self.after:
                self.world.clock.sleep(BEGIN_WITHIN_S + 1)
                self.line.calls.clear()
            return answer

        return freezing


Deed = Callable[[World, Provider, Service], Any]
DEEDS: dict[str, Deed] = {
    "park": lambda w, p, s: p.compute.park(s, "green", "t"),
    "scale": lambda w, p, s: p.compute.scale(s, "green", 3, "t"),
    "set_floor": lambda w, p, s: p.compute.set_floor(s, "green", 1, "t"),
    "mirror": lambda w, p, s: p.compute.mirror(s, "blue", "green", w.account.images["base-2"], OWNER, "t"),
    "delete_if_owned": lambda w, p, s: p.compute.delete_if_owned(s, "green", "", "t"),
    "set_weights": lambda w, p, s: p.traffic.set_weights(s, weights_for("green", 50), w.before, "t"),
    "attach": lambda w, p, s: p.traffic.attach(s, "blue", w.hosts[:0], "t"),
    "detach": lambda w, p, s: p.traffic.detach(s, "green", "t"),
    "cut": lambda w, p, s: p.traffic.cut(s, "green", "t"),
    "mark": lambda w, p, s: p.traffic.mark(s, MARK, "t"),
    "apply": lambda w, p, s: p.patcher.apply(s, "green", Patch("x", {"m": w.account.images["base-1"]}), "t"),
    "reboot": lambda w, p, s: p.patcher.reboot(s, "green", "t"),
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A small world."""
    with in_process() as account:
        yield World(account, tmp_path)


@pytest.mark.parametrize("deed", DEEDS)
def test_who_was_held_up_after_any_call_sends_nothing_more(
    world: World, deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a process that was frozen between its look and its write acts on a world that somebody else has
    changed: it parks the side that serves by now."""
    held = 0
    for after in range(1, 60):
        with wire(world.account) as line, monkeypatch.context() as patched:
            freeze = Freeze(world, line, after)
            patched.setattr(Cloud, "_call", freeze.around(Cloud._call))
            try:
                DEEDS[deed](world, world.provider(), world.service)
            except Transient as error:
                assert "it will go on" in str(error)
                held += 1
                assert [each.name for each in line.calls] == [], f"sent after it was held up after call {after}"
        if freeze.made < after:
            break
    # `apply` of an image only looks whether the mirror has it.
    short = {"mark", "delete_if_owned", "scale", "set_floor", "apply"}
    assert held or deed in short, "more than one call, and never held up"


def test_reads_that_take_long_are_time_of_the_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise slow answers alone, without any freeze, let a write land after its time-out."""
    read, began = Cloud.read, world.clock.now()
    late: list[float] = []

    def slow(self: Cloud, api: str, operation: str, **arguments: Any) -> Any:
        if operation.startswith("describe"):
            world.clock.sleep(6.0)
        answer = read(self, api, operation, **arguments)
        late.append(world.clock.now() - began)
        return answer

    monkeypatch.setattr(Cloud, "read", slow)
    with wire(world.account) as line, pytest.raises(Transient, match="it will go on"):
        world.provider().traffic.set_weights(world.service, weights_for("green", 50), world.before, "t")
    assert line.count("ModifyListener") == 0 and all(at <= BEGIN_WITHIN_S for at in late)


def test_a_write_within_a_write_has_no_more_time_than_the_outer_one(tmp_path: Path) -> None:
    """Otherwise the scaling that patching in place asks for begins its time anew."""
    clock = VirtualClock()
    with in_process() as account:
        service, clouds = account.service(), Clouds(Context(tmp_path, tmp_path, clock))
        listener = service.options["routes"][0]["listener"]
        with wire(account) as line, clouds.writing(service):
            clock.sleep(BEGIN_WITHIN_S + 1)
            with pytest.raises(Transient), clouds.writing(service) as (inner, _):
                inner.call("elbv2", "add_tags", ResourceArns=[listener], Tags=[{"Key": "a", "Value": "b"}])
            assert line.calls == []


def test_nothing_is_sent_over_a_connection_that_took_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a name with six addresses, or one that is slow to look up, makes a write land long after its time."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    clock, look_up = VirtualClock(), socket.getaddrinfo

    def slowly(*asked: Any, **more: Any) -> Any:
        clock.sleep(BEGIN_WITHIN_S + CONNECT_S + 0.5)
        return look_up(*asked, **more)

    with socket.create_server(("127.0.0.1", 0)) as server:
        place = Place(REGION, endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}")
        cloud = Clouds(Context(tmp_path, tmp_path, clock)).at(place)
        cloud._client("elbv2")
        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        with pytest.raises(Transient, match="connecting took too long"):
            cloud.writing().call("elbv2", "add_tags", ResourceArns=["arn:x"], Tags=[{"Key": "a", "Value": "b"}])
        server.settimeout(5)
        with server.accept()[0] as made:
            made.settimeout(5)
            assert made.recv(1) == b"", "it was closed, and nothing had been sent"
