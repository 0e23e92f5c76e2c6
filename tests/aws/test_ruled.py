"""A service whose traffic is split in a rule: forward, back by the engine, and back at night. Whatever else is in the
rule, and beside it, is somebody's and stays."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from providers.aws import rollback
from providers.aws.diagnose import diagnose
from providers.aws.quick import calls
from providers.base import Context, HoldMark, NotFound, Service, Weights, plain
from providers.memory.clock import VirtualClock
from rollout.rescue.asked import Asked
from rollout.rescue.putting_back import put_back
from rollout.rescue.thin import commands_by_hand
from rollout.rescue.told import Told, Unfinished
from tests.aws.account import HOST, PATH, Account, in_process
from tests.aws.story_kit import STANDBYS, Scene, configuration, failing_live
from tests.aws.test_diagnose import bad, good, simulated
from tests.aws.wire import wire

BACK: Weights = {"blue": 100, "green": 0}
FORWARD: Weights = {"blue": 0, "green": 100}
ISSUER = "https://id.example.com"
LOGIN: Mapping[str, Any] = {
    "Type": "authenticate-oidc",
    "Order": 1,
    "AuthenticateOidcConfig": {
        "Issuer": ISSUER,
        **{f"{name}Endpoint": f"{ISSUER}/{name}" for name in ("Authorization", "Token", "UserInfo")},
        "ClientId": "shop",
        "ClientSecret": "told once",
    },
}
STICKY = {"Enabled": True, "DurationSeconds": 60}
KINDS: Mapping[str, Mapping[str, Any]] = {
    "path": {"ruled": [PATH]},
    "host and path": {"ruled": [HOST, PATH], "before": [LOGIN], "protocol": "HTTPS"},
}


class Ruled(Scene):
    """`shop` behind a rule with stickiness, and somebody else's rule beside it."""

    def __init__(self, account: Account, folder: Path, standby: str, kind: str) -> None:
        super().__init__(account, folder, standby, **KINDS[kind])
        self.elbv2 = account.client("elbv2")
        self.listener, self.rule = (self.service.options["routes"][0][name] for name in ("listener", "rule"))
        *before, forward = self.actions()
        before = [login_again() for _ in before]
        config = {**forward["ForwardConfig"], "TargetGroupStickinessConfig": STICKY}
        self.write([*before, {"Type": "forward", "Order": 2, "ForwardConfig": config}])
        other = [{"Type": "forward", "TargetGroupArn": account.target_group("other")}]
        condition = {"Field": "path-pattern", "Values": ["/other/*"]}
        self.elbv2.create_rule(ListenerArn=self.listener, Priority=8, Conditions=[condition], Actions=other)
        self.before = self.left_alone()

    def write(self, actions: list[dict[str, Any]]) -> None:
        """A person changes the rule."""
        self.elbv2.modify_rule(RuleArn=self.rule, Actions=actions)

    def actions(self) -> list[dict[str, Any]]:
        """The rule's, as they stand there."""
        return list(self.elbv2.describe_rules(RuleArns=[self.rule])["Rules"][0]["Actions"])

    def left_alone(self) -> dict[str, Any]:
        """All of the listener but the shares of blue and green."""
        (listener,) = self.elbv2.describe_listeners(ListenerArns=[self.listener])["Listeners"]
        rules = {one["RuleArn"]: one for one in self.elbv2.describe_rules(ListenerArn=self.listener)["Rules"]}
        ours = rules.pop(self.rule)
        *before, forward = ours["Actions"]
        told = {name: ours[name] for name in ("Conditions", "Priority", "IsDefault")}
        sticky = forward["ForwardConfig"]["TargetGroupStickinessConfig"]
        return {"listener": listener, "others": rules, **told, "before": before, "sticky": sticky}

    def until_warm(self) -> None:
        """Green has the traffic, and blue stands ready."""
        self.open("shop-1", self.harness.patched_image)
        row = self.drive("shop-1", lambda row: row.phase == "warm")
        assert (row.phase, self.weights) == ("warm", FORWARD), self.end()


def login_again() -> dict[str, Any]:
    """As it may be written by somebody who does not know the secret."""
    login = {name: value for name, value in LOGIN["AuthenticateOidcConfig"].items() if name != "ClientSecret"}
    return {**LOGIN, "AuthenticateOidcConfig": {**login, "UseExistingClientSecret": True}}


class Night:
    """The scene's clock, as the emergency path wants one."""

    def __init__(self, scene: Scene) -> None:
        self.time = self.monotonic = scene.clock.now
        self.sleep = scene.clock.sleep


@pytest.fixture(autouse=True)
def unpaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits for what AWS grants, and every test has calls of its own."""
    for limit in ("READS", "WRITES"):
        monkeypatch.setattr(calls, limit, (40.0, 1e9))
    calls.calls_of.cache_clear()
    yield
    calls.calls_of.cache_clear()


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ruled]:
    """On demand, behind the rule that has the most to lose, unless the test says which."""
    with in_process() as account:
        yield Ruled(account, tmp_path, "on_demand", getattr(request, "param", "host and path"))


@pytest.mark.parametrize("standby", STANDBYS)
@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_nothing_else_moves(tmp_path: Path, standby: str, kind: str) -> None:
    """Otherwise a rollout serves other paths than before, or without the login, or takes a neighbour's rule away."""
    with in_process() as account:
        scene = Ruled(account, tmp_path, standby, kind)
        scene.until_warm()
        assert scene.left_alone() == scene.before
        row = scene.drive("shop-1")
        assert (row.phase, row.outcome) == ("retired", "promoted"), scene.end()
        assert scene.left_alone() == scene.before and scene.weights == FORWARD
        assert scene.images("green") == {scene.harness.patched_image} and not scene.images("blue")


@pytest.mark.parametrize("scene", KINDS, indirect=True)
def test_back_by_the_engine(scene: Ruled) -> None:
    """Otherwise a rule that the rollout has moved stays where it broke."""
    before = configuration(scene)
    scene.asking(failing_live)
    scene.open("shop-1", scene.harness.patched_image)
    row = scene.drive("shop-1")
    assert (row.phase, row.outcome) == ("rolled_back", "rolled_back"), scene.end()
    assert configuration(scene) == before and scene.left_alone() == scene.before


@pytest.mark.parametrize("scene", KINDS, indirect=True)
def test_the_thin_path_step_by_step(scene: Ruled) -> None:
    """Otherwise the night has another picture of a rule than the engine has, or leaves its mark where nobody looks."""
    scene.until_warm()
    target = json.loads(json.dumps(plain(scene.card.target)))
    seen, route = rollback.read(target), scene.provider.traffic.route(scene.service)
    assert (seen["weights"], seen["revision"], seen["mark"]) == (FORWARD, route.revision, None)
    assert seen["healthy"] == {"blue": 2, "green": 2} and seen["kept"]["rollout"] == "shop-1"
    assert rollback.put_back(target, BACK, "t") == {"weights": BACK}
    mark = HoldMark("shop-1", 1, "blue", "ana", scene.clock.now(), "errors: 5 %")
    rollback.set_mark(target, plain(mark), "t")
    assert scene.provider.traffic.route(scene.service).mark == mark
    assert rollback.put_back(target, BACK, "t") == {"weights": BACK}, "again is harmless"
    seen = rollback.read(target)
    assert (seen["weights"], seen["mark"]) == (BACK, plain(mark)) and scene.left_alone() == scene.before
    row = scene.drive("shop-1")
    assert (row.phase, scene.weights) == ("rolled_back", BACK), scene.end()
    assert scene.left_alone() == scene.before
    assert scene.provider.traffic.route(scene.service).mark is None


def test_rollback_at_night(scene: Ruled) -> None:
    """Otherwise `rollout rollback` does for a rule what it was only tried to do for a listener."""
    scene.until_warm()
    told = Told()
    put_back(scene.card, scene.means.cards, None, told, Asked("errors", actor="ana"), Night(scene))
    assert told.facts["traffic"] == BACK and scene.weights == BACK
    assert scene.left_alone() == scene.before
    row = scene.drive("shop-1")
    assert (row.phase, scene.weights) == ("rolled_back", BACK), scene.end()


def test_what_it_says_to_type_is_right(scene: Ruled) -> None:
    """Otherwise the command that is left to a person at night loses the login, or names nothing that exists."""
    scene.until_warm()
    with wire(scene.account) as line:
        line.deny("ModifyRule")
        with pytest.raises(Unfinished) as ended:
            put_back(scene.card, scene.means.cards, None, Told(), Asked("errors", actor="ana"), Night(scene))
    by_hand = commands_by_hand(rollback, scene.card)
    assert "AccessDenied" in str(ended.value) and str(ended.value).endswith(by_hand)
    write, look = (shlex.split(each) for each in by_hand.splitlines()[2:])
    assert write[:7] == ["aws", "elbv2", "modify-rule", "--region", "eu-central-1", "--rule-arn", scene.rule]
    assert look[2] == "describe-rules" and look[look.index("--rule-arns") + 1] == scene.rule
    assert write[7] == "--actions" and "told once" not in write[8]
    scene.elbv2.modify_rule(RuleArn=scene.rule, Actions=json.loads(write[8]))
    assert scene.weights == BACK and scene.left_alone() == scene.before


@pytest.mark.parametrize("half", ["empty", "page"])
def test_a_card_that_was_found_with_the_rule(scene: Ruled, half: str) -> None:
    """Otherwise whoever has nothing but credentials cannot go back, or takes the login away."""
    scene.until_warm()
    *before, forward = scene.actions()
    before = [login_again() for _ in before]
    groups = [{**each, "Weight": 0} for each in forward["ForwardConfig"]["TargetGroups"]]
    page = {"Type": "fixed-response", "Order": 2, "FixedResponseConfig": {"StatusCode": "503"}}
    config = {**forward["ForwardConfig"], "TargetGroups": groups}
    scene.write([*before, page if half == "page" else {**_long(forward), "ForwardConfig": config}])
    (card,) = rollback.find("shop", {"region": scene.account.region})
    (route,) = card["target"]["routes"]
    assert (route["rule"], route["listener"], route["actions"]) == (scene.rule, scene.listener, [])
    assert rollback.matches(card["target"], scene.rule)
    assert rollback.put_back(card["target"], BACK, "t")["weights"] == BACK and scene.weights == BACK
    left = scene.left_alone()
    if half == "page":  # a page forwards nowhere: how sticky it was is in the card on disk alone
        left["sticky"] = STICKY
    assert left == scene.before


def test_what_nobody_knows_is_said_before_it_is_typed(scene: Ruled) -> None:
    """Otherwise a command that was pasted at night opens to everybody what was behind a login."""
    scene.until_warm()
    (card,) = rollback.find("shop", {"region": scene.account.region})
    caution, write, look = rollback.by_hand(card["target"], BACK)
    assert caution.startswith("# Look first") and scene.rule in caution and "login" in caution
    assert shlex.split(caution, comments=True) == [], "pasted as it is, it does nothing"
    assert "modify-rule" in write and "describe-rules" in look
    known = rollback.by_hand(scene.card.target, BACK)
    assert not any(line.startswith("#") for line in known), "the card on disk knows all"


def test_one_rule_that_is_gone_hides_no_other(scene: Ruled) -> None:
    """Otherwise one service whose rule was deleted keeps all others from going back together with it."""
    other = scene.account.service("till", 1, ruled=[PATH])
    routes = [scene.service.options["routes"][0], other.options["routes"][0]]
    scene.elbv2.delete_rule(RuleArn=scene.rule)
    call = calls.calls_of(calls.Place(scene.account.region)).patient()
    with wire(scene.account) as line:
        found = call.actions_of(routes)
        assert line.asked("DescribeRules")[0].parameters["RuleArns"] == [scene.rule, routes[1]["rule"]]
    assert found[scene.rule] is None
    (action,) = found[routes[1]["rule"]] or ()
    assert action["TargetGroupArn"] == routes[1]["blue"]


def test_a_card_on_disk_knows_what_a_page_hides(scene: Ruled) -> None:
    """Otherwise a maintenance page costs every client the side that it was on."""
    scene.until_warm()
    scene.write([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}])
    assert rollback.put_back(scene.card.target, BACK, "t")["weights"] == BACK
    assert scene.left_alone() == scene.before


def test_a_rule_that_is_gone(scene: Ruled) -> None:
    """Otherwise an old card seems to work, or brings another rule down."""
    scene.until_warm()
    scene.elbv2.delete_rule(RuleArn=scene.rule)
    for attempt in (rollback.read, lambda target: rollback.put_back(target, BACK, "t")):
        with pytest.raises(NotFound):
            attempt(scene.card.target)


@pytest.mark.parametrize("last", ["rule", "listener"])
def test_a_rule_and_a_listener_move_together(tmp_path: Path, last: str) -> None:
    """Otherwise a service with two entrances is half rolled out, or half put back."""
    with in_process() as account:
        scene = Ruled(account, tmp_path, "on_demand", "path")
        second = {slot: account.target_group(f"shop-{slot}-2") for slot in ("blue", "green")}
        listener = account.listener([(second["blue"], 100)])
        routes = [scene.service.options["routes"][0], {"listener": listener, "rule": "", **second}]
        ordered = routes if last == "listener" else routes[::-1]
        scene.service = Service("shop", {**scene.service.options, "routes": ordered})
        hosts = [one for one in scene.provider.compute.observe([scene.service])["shop"] if one.slot == "blue"]
        scene.provider.traffic.attach(scene.service, "blue", hosts, "t")
        account.until_healthy(second["blue"], 2)
        scene.until_warm()
        put_back(scene.card, scene.means.cards, None, Told(), Asked("errors", actor="ana"), Night(scene))
        assert rollback.read(scene.card.target)["weights"] == scene.weights == BACK
        row = scene.drive("shop-1")
        assert (row.phase, scene.weights) == ("rolled_back", BACK), scene.end()
        assert scene.left_alone() == scene.before


def test_what_is_ahead_is_told_of_a_rule_too(scene: Ruled) -> None:
    """Otherwise nobody hears before the rollout that clients will stay on the side that they are on."""
    patch = scene.provider.patcher.resolve(scene.service, scene.harness.patched_image)
    insight = scene.provider.insight
    assert insight is not None
    told = insight.foresee(scene.service, "blue", patch, 2, scene.clock.now() + 3600)
    sticky = [one.text for one in told if "stickiness is on" in one.text]
    assert sticky == [f"{scene.rule}: stickiness is on: clients stay on their side when traffic moves"]
    assert not [one for one in told if one.kind == "blocks"], told


def test_doctor_finds_a_rule_in_order_and_asks_for_its_rights(tmp_path: Path) -> None:
    """Otherwise a role that may not write to the rule is found out in the middle of a rollout."""
    with in_process() as account:
        asked: list[tuple[str, ...]] = []
        answer = simulated()

        def simulate(call: Mapping[str, Any]) -> Mapping[str, Any]:
            asked.append((*call["ActionNames"], *call.get("ResourceArns", ())))
            return answer(call)

        account.answers.give("iam", "SimulatePrincipalPolicy", simulate)
        service = good(account, ruled=[HOST, PATH])
        found = diagnose(Context(tmp_path, tmp_path, VirtualClock()), service)
        assert bad(found) == []
        rule = service.options["routes"][0]["rule"]
        named = [call for call in asked if rule in call]
        assert any("elasticloadbalancing:ModifyRule" in call for call in named), asked


def _long(forward: Mapping[str, Any]) -> dict[str, Any]:
    """As it may be written: without the short form beside the list."""
    return {name: value for name, value in forward.items() if name != "TargetGroupArn"}
