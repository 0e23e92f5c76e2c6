"""What goes wrong at AWS while one person puts traffic back at night."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from moto.elbv2.models import FakeTargetGroup

from providers.aws import marks, rollback
from providers.aws.errors import CredentialsExpired
from providers.aws.quick import calls, names
from providers.aws.quick.calls import Calls, Place, open_client
from providers.base import Denied, HoldMark, PartlyDone, Throttled, Transient, plain
from providers.memory.clock import VirtualClock
from tests.aws.server import server
from tests.aws.thin_kit import BACK, keep, night, standing
from tests.aws.traffic_kit import Scene
from tests.aws.wire import Line

MARK = plain(HoldMark("shop-7", 3, "blue", "ana", 1_767_225_600.0, "errors"))


@pytest.fixture
def line(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """Nobody waits between two tries."""
    monkeypatch.setattr(calls, "PAUSES_S", (0.0,) * 4)
    for limit in ("READS", "WRITES"):
        monkeypatch.setattr(calls, limit, (40.0, 1e9))
    with night(scene) as opened:
        yield opened


def test_throttling_is_waited_for_within_a_bound(scene: Scene) -> None:
    """A busy account makes the person at night try again by hand, or stands in front of him for minutes."""
    _, target = standing(scene)
    slept, clock = list[float](), VirtualClock()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.sleep(seconds)

    with night(scene) as line:
        call = Calls(Place(**target["place"]), open_client(Place(**target["place"])), sleep, clock.now)
        line.fail("DescribeTags", "Throttling", times=2)
        assert call.tags(target["routes"][0]["listener"]).result() == {}
        assert slept == list(calls.PAUSES_S[:2])
        slept.clear()
        line.fail("DescribeTags", "Throttling", times=99)
        with pytest.raises(Throttled):
            call.tags(target["routes"][0]["listener"]).result()
        assert slept == list(calls.PAUSES_S) and sum(slept) <= 3.0


def test_a_throttled_write_is_made_in_the_end(scene: Scene, line: Line) -> None:
    """Somebody's script in the same account keeps the way back shut."""
    service, target = standing(scene)
    line.clear()
    line.fail("ModifyListener", "ThrottlingException", times=3)
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    assert scene.traffic.route(service).active == "blue" and line.count("ModifyListener") == 4


def test_a_lost_reply_is_asked_for_once_more(scene: Scene, line: Line) -> None:
    """The change was made, and the person is told that it was not."""
    service, target = standing(scene)
    line.lose("ModifyListener")
    line.lose("AddTags")
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    rollback.set_mark(target, MARK, "t")
    assert plain(scene.traffic.route(service).mark) == MARK
    line.drop("*", times=99)
    with pytest.raises(Transient, match="describe_listeners in eu-central-1"):
        rollback.read(target)


def test_expired_credentials_name_the_profile(
    scene: Scene, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login ended at midnight, and the message speaks of tokens; and after a login it is still the old one."""
    _, target = standing(scene)
    (tmp_path / "config").write_text("[profile prod]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    target["place"]["profile"] = "prod"
    line.clear()
    line.expire()
    with pytest.raises(CredentialsExpired) as told:
        rollback.read(target)
    assert "as profile prod" in str(told.value) and "aws sso login --profile prod" in str(told.value)
    assert line.count("DescribeListeners") == 1, "what has expired is not asked for again"
    line.login()
    assert rollback.read(target)["weights"] == {"blue": 0, "green": 100}


def test_the_new_side_is_gone_already(scene: Scene, line: Line) -> None:
    """Somebody deleted the bad side in a hurry, and the way back stumbles over what is missing."""
    service, target = standing(scene)
    one = service.options["routes"][0]
    scene.edit(one["listener"], [(scene.account.target_group("page"), 1)])
    scene.elbv2.delete_target_group(TargetGroupArn=one["green"])
    seen = rollback.read(target)
    assert (seen["healthy"]["green"], seen["unknown"]["green"]) == (0, 1)
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    assert scene.weights(one["listener"]) == {one["blue"]: 100}


def test_the_old_side_is_half_healthy(scene: Scene, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """All traffic goes to a side of which half is dead, and nobody was told."""
    service, target = standing(scene)
    (sick, _), original = (each.id for each in scene.hosts(service, "blue")), FakeTargetGroup.health_for

    def health(self: FakeTargetGroup, asked: Any, backend: Any) -> Any:
        found = original(self, asked, backend)
        if asked["Id"] == sick:
            found.status, found.reason = "unhealthy", "Target.Timeout"
        return found

    monkeypatch.setattr(FakeTargetGroup, "health_for", health)
    seen = rollback.read(target)
    assert [seen[word]["blue"] for word in ("healthy", "unhealthy", "unknown")] == [1, 1, 0]
    assert [seen[word]["green"] for word in ("healthy", "unhealthy", "unknown")] == [2, 0, 0]


def test_somebody_else_changes_the_weights_meanwhile(scene: Scene, line: Line) -> None:
    """Two people repair at once, and the result is neither's."""
    service, target = standing(scene)
    one = service.options["routes"][0]
    line.before("ModifyListener", lambda: scene.edit(one["listener"], [(one["blue"], 30), (one["green"], 70)]))
    rollback.read(target)
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    assert rollback.read(target)["weights"] == BACK
    scene.edit(one["listener"], [(one["blue"], 30), (one["green"], 70)])
    assert rollback.read(target)["weights"] == {"blue": 30, "green": 70}, "what is read back is what is there"


@pytest.mark.parametrize("when", ["before the look is judged", "while it is decided"])
def test_what_a_person_edits_meanwhile_stays(scene: Scene, line: Line, when: str) -> None:
    """Between the look and the write somebody turns stickiness on, or a login, and the way back takes it away."""
    service, target = standing(scene)
    one = service.options["routes"][0]
    rollback.read(target)
    sticky, third = {"Enabled": True, "DurationSeconds": 60}, scene.account.target_group("third")

    def edit() -> None:
        weights = [(one["blue"], 0), (one["green"], 50), (third, 50)]
        scene.edit(one["listener"], weights, TargetGroupStickinessConfig=sticky)

    if when == "while it is decided":
        edit()
    else:
        line.before("DescribeListeners", edit)
    done = rollback.put_back(target, BACK, "t")
    (found,) = scene.elbv2.describe_listeners(ListenerArns=[one["listener"]])["Listeners"]
    config = found["DefaultActions"][0]["ForwardConfig"]
    assert config["TargetGroupStickinessConfig"] == sticky, "what was there in the moment of the write is built on"
    (note,) = done["notes"]
    assert third in note and "it was left out" in note, "what cannot stay is told"


def test_a_card_that_is_older_than_what_is_live_says_so(scene: Scene, line: Line) -> None:
    """Traffic is put back as a card of last month says, and nobody notices what has been added since."""
    service, target = standing(scene)
    one = service.options["routes"][0]
    assert "notes" not in rollback.read(target) and "kept" not in rollback.read(target)
    keep(scene, service, target, rollout="shop-8")
    third = scene.account.target_group("third")
    scene.edit(one["listener"], [(one["blue"], 0), (one["green"], 50), (third, 50)])
    seen = rollback.read(target)
    assert seen["kept"]["rollout"] == "shop-8", "a later rollout's way back"
    assert third in seen["notes"][0] and "does not know" in seen["notes"][0]
    assert seen["weights"] == {"blue": 0, "green": 50}, "what is live decides"


@pytest.mark.parametrize("gone", [0, 1])
def test_one_listener_was_deleted(scene: Scene, line: Line, gone: int) -> None:
    """A listener that nobody needs any more keeps all others on the bad side, or hides the hold mark."""
    service, target = standing(scene, 2)
    left, deleted = (service.options["routes"][number]["listener"] for number in (1 - gone, gone))
    scene.elbv2.delete_listener(ListenerArn=deleted)
    seen = rollback.read(target)
    assert seen["weights"] == {"blue": 0, "green": 100} and deleted in seen["notes"][0]
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    rollback.set_mark(target, MARK, "t")
    seen = rollback.read(target)
    assert (seen["weights"], seen["mark"]) == (BACK, MARK)
    tags = scene.elbv2.describe_tags(ResourceArns=[left])["TagDescriptions"][0]["Tags"]
    assert marks.MARK in {each["Key"] for each in tags}
    rollback.set_mark(target, None, "t")
    assert rollback.read(target)["mark"] is None


def test_a_denied_route_is_told_with_its_command(scene: Scene, line: Line) -> None:
    """One listener of another team stays behind, and nobody is told which, or what to run."""
    service, target = standing(scene, 2)
    line.deny("ModifyListener", times=1)
    with pytest.raises(PartlyDone) as told:
        rollback.put_back(target, BACK, "t")
    listeners = {each["listener"] for each in service.options["routes"]}
    assert {*told.value.done, *told.value.failed} == listeners and len(told.value.failed) == 1
    ((name, command),) = told.value.failed.items()
    assert command.startswith("aws elbv2 modify-listener --region eu-central-1") and name in command
    line.deny("ModifyListener")
    with pytest.raises(Denied, match="0 of 2 routes were put back"):
        rollback.put_back(target, BACK, "t")


def test_twice_or_by_two_people_at_once(scene: Scene, line: Line) -> None:
    """Two people press the button, and the second one breaks what the first one did."""
    service, target = standing(scene, 2)
    with ThreadPoolExecutor(2) as people:
        done = list(people.map(lambda who: rollback.put_back(target, BACK, who), ("ana", "ben")))
    assert [each["weights"] for each in done] == [BACK, BACK]
    for route in service.options["routes"]:
        assert scene.weights(route["listener"]) == {route["blue"]: 100, route["green"]: 0}


# ---- names --------------------------------------------------------------------------------------------------------


def test_a_slow_name_server_is_bounded_and_named() -> None:
    """The VPN is down at three in the morning, and the command says nothing for half a minute."""
    stuck, asked = Event(), []

    def lookup(host: bytes, *_: Any) -> list[Any]:
        asked.append(host)
        stuck.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))]

    found = names.Names(lookup, 0.02)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(found.addresses, "elb.example", 443) for _ in range(3)]
        for each in waiting:
            with pytest.raises(names.SlowLookup, match=r"elb\.example was not resolved within 0\.02 s"):
                each.result()
    assert asked == [b"elb.example"], "one question, however many wait for its answer"
    stuck.set()
    assert names.Names(lookup, 9.0).addresses("elb.example", 443) == [(socket.AF_INET, ("10.0.0.1", 443))]
    assert names.Names(lookup, 0.0).addresses("10.0.0.9", 80) == [(socket.AF_INET, ("10.0.0.9", 80))]
    assert names.Names(lookup, 0.0).addresses("::1", 80) == [(socket.AF_INET6, ("::1", 80))]


def test_over_http_a_slow_name_is_told_and_a_quick_one_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds in a test of its own, and not for the calls that are made."""
    stuck = Event()
    with server() as served:
        port = served.url.rpartition(":")[2]
        made = names.Names

        def quick(host: bytes, port: int, *_: Any) -> list[Any]:
            # The first address does not answer.
            return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", at)) for at in (free_port(), port)]

        place = Place("eu-central-1", endpoint_url=f"http://localhost:{port}")
        monkeypatch.setattr(names, "Names", lambda: made(quick))
        assert Calls(place, open_client(place)).pages("describe_load_balancers", "LoadBalancers") == []

        def silent(*_: Any) -> list[Any]:
            stuck.wait(10)
            return []

        monkeypatch.setattr(names, "Names", lambda: made(silent, 0.02))
        with pytest.raises(Transient, match=r"localhost was not resolved within 0\.02 s, so nothing was sent"):
            Calls(place, open_client(place)).pages("describe_load_balancers", "LoadBalancers")
        stuck.set()

        def unknown(*_: Any) -> list[Any]:
            raise socket.gaierror("unknown")

        monkeypatch.setattr(names, "Names", lambda: made(unknown))
        with pytest.raises(Transient, match="Could not connect to the endpoint URL"):
            Calls(place, open_client(place)).pages("describe_load_balancers", "LoadBalancers")


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
