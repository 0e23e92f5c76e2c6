"""The IAM policies: enough for what the code does, and nothing more."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.session import Session

from providers.aws import permissions, rollback
from providers.aws.grants import GRANTS, OWNER, ROLES, Role
from providers.aws.permissions import (
    Unreviewed,
    actions,
    allowed,
    called_by_the_code,
    files,
    needed,
    operations,
    policy,
    unreviewed,
)
from providers.base import HoldMark, Instance, Patch, ProviderError, Service, plain
from providers.memory.clock import VirtualClock
from tests.aws.account import in_process, open_provider
from tests.aws.wire import wire

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "docs" / "aws" / "policies"
LARGEST = 6144  # characters that are not white space, of one managed policy
READS = ("Describe", "Get", "List", "BatchGet", "Simulate")
DELETES = {"autoscaling:DeleteAutoScalingGroup", "ec2:DeleteLaunchTemplate", "ec2:DeleteLaunchTemplateVersions"}
DELETES |= {"ec2:TerminateInstances", "ec2:DeregisterImage", "ec2:DeleteSnapshot", "ec2:StopInstances"}


def statements(role: Role) -> list[dict[str, object]]:
    """The statements of a role, for all that the table knows."""
    return list(policy(role, operations())["Statement"])


def test_the_files_are_current() -> None:
    """A reader gives a role a policy of last month's program."""
    found = {path.name: path.read_text("utf-8") for path in POLICIES.iterdir()}
    assert found == dict(files()), "run: python -m providers.aws.permissions docs/aws/policies"


def test_every_operation_exists() -> None:
    """A misspelt action grants nothing, and IAM does not say so."""
    session = Session()
    for operation in operations():
        api, name = operation.split(".")
        assert name in session.get_service_model(api).operation_names, operation


def test_every_action_is_an_operation_or_is_reviewed() -> None:
    """An action that IAM calls otherwise is granted in vain."""
    known = {action for operation in operations() for action in actions(operation)}
    implied = {action for grant in GRANTS for action in grant.implied.split()}
    assert implied == {"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole", "kms:CreateGrant", "ssm:GetParameters"}
    for role in ROLES:
        assert {action for action, _ in needed(role, operations())} <= known | implied


@pytest.mark.parametrize("role", list(ROLES))
def test_no_action_has_a_wildcard(role: Role) -> None:
    """A policy grants what a later program, or AWS, adds."""
    assert not [action for action, _ in needed(role, operations()) if "*" in action]


@pytest.mark.parametrize("role", list(ROLES))
def test_only_reads_and_launches_are_on_everything(role: Role) -> None:
    """A role for one shop moves the traffic of all."""
    for action, resources in needed(role, operations()):
        if resources == ("*",):
            verb = action.split(":")[1]
            assert verb.startswith(READS) or action == "ec2:RunInstances", action


@pytest.mark.parametrize("role", list(ROLES))
def test_what_deletes_needs_our_tag(role: Role) -> None:
    """A defect of ours deletes what somebody else made."""
    for each in statements(role):
        if DELETES & set(each["Action"]):  # type: ignore[call-overload]
            condition = each.get("Condition", {})
            assert f"aws:ResourceTag/{OWNER}" in json.dumps(condition), each["Sid"]


def test_observe_only_reads() -> None:
    """A dashboard can move traffic."""
    assert all(action.split(":")[1].startswith(READS) for action, _ in needed("observe", operations()))


def test_rollback_moves_traffic_and_nothing_else() -> None:
    """The key that lies at every on-call engineer's desk opens everything."""
    writes = {action for action, _ in needed("rollback", operations()) if not action.split(":")[1].startswith(READS)}
    verbs = {"ModifyListener", "ModifyRule", "AddTags", "RemoveTags"}
    assert writes == {f"elasticloadbalancing:{verb}" for verb in verbs}


def test_the_reaper_cannot_touch_traffic() -> None:
    """What tidies up takes a side that serves out of its route."""
    assert not [action for action, _ in needed("reaper", operations()) if action.endswith(("ModifyListener", "Rule"))]


def test_a_rollout_may_all_that_a_rollback_may() -> None:
    """A rollout that can begin and cannot turn back."""
    every = operations()
    assert allowed("rollback", every) <= allowed("rollout", every)
    assert allowed("observe", every) <= allowed("rollout", every)


@pytest.mark.parametrize("role", list(ROLES))
def test_a_policy_fits_into_iam(role: Role) -> None:
    """IAM refuses it, and somebody gives the role everything instead."""
    text = json.dumps(policy(role, called_by_the_code()))
    assert len("".join(text.split())) <= LARGEST


@pytest.mark.parametrize("role", list(ROLES))
def test_statements_are_named_and_each_name_is_used_once(role: Role) -> None:
    """IAM refuses a policy with the same Sid twice, or with other signs than letters and digits."""
    names = [str(each["Sid"]) for each in statements(role)]
    assert all(name.isalnum() for name in names) and len(set(names)) == len(names)
    assert all(grant.why for grant in GRANTS)


def test_every_call_of_the_code_is_reviewed_and_allowed_for_somebody() -> None:
    """A rollout fails at its last step, at night, for want of a permission."""
    called = called_by_the_code()
    assert unreviewed(called) == set()
    assert called == allowed("bake", called) | allowed("reaper", called)


def quoted_calls(path: Path) -> set[str]:
    """Every operation of AWS's that a file names, of the APIs that it names, whether a grant knows it or not."""
    tree, session = ast.parse(path.read_text("utf-8")), Session()
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    found = set()
    for api in texts & {operation.split(".")[0] for operation in operations()}:
        by_name = {xform_name(name): name for name in session.get_service_model(api).operation_names}
        found |= {by_name[text] for text in texts & set(by_name)}
    return found


def test_the_scan_misses_no_operation_that_a_source_names() -> None:
    """A call is written in a way that the scan does not see, and its permission is missing."""
    seen = {operation.split(".")[1] for operation in called_by_the_code()}
    for path in sorted((ROOT / "providers" / "aws").rglob("*.py")):
        if path.name not in permissions.NOT_CALLERS:
            assert quoted_calls(path) <= seen, path.name


def test_a_call_that_nobody_reviewed_is_an_error(tmp_path: Path) -> None:
    """A new call slips in, and only real accounts tell."""
    (tmp_path / "new.py").write_text('cloud.read("ec2", "delete_vpc", VpcId="x")\n')
    with pytest.raises(Unreviewed, match="delete_vpc"):
        called_by_the_code(tmp_path)


def test_an_operation_that_is_put_together_is_an_error(tmp_path: Path) -> None:
    """The scan does not see it, and its permission is missing."""
    (tmp_path / "new.py").write_text('cloud.read("elbv2", f"{verb}_targets", x=1)\n')
    with pytest.raises(Unreviewed, match="write the operation's name out"):
        called_by_the_code(tmp_path)


@pytest.mark.parametrize(
    "source, found",
    [
        ('cloud.pages("elbv2", "describe_rules", "Rules")', {"elbv2.DescribeRules"}),
        (
            'name = "modify_rule" if rule else "modify_listener"\nw.call("elbv2", name)',
            {"elbv2.ModifyRule", "elbv2.ModifyListener"},
        ),
        ('TABLE = (("ec2", "describe_images", 1),)', {"ec2.DescribeImages"}),
        ('call("remove_tags", x=1)\napi = "elbv2"', {"elbv2.RemoveTags"}),
        ('session.create_client("elbv2").modify_listener(x=1)', {"elbv2.ModifyListener"}),
        ('path.read("utf-8")\nfile.read()', set()),
    ],
)
def test_the_scan_sees_calls_however_they_are_written(tmp_path: Path, source: str, found: set[str]) -> None:
    """A policy lacks what the code asks for."""
    (tmp_path / "some.py").write_text(source)
    assert called_by_the_code(tmp_path) == found | {"sts.GetCallerIdentity"}


def test_no_grant_is_for_what_nothing_calls() -> None:
    """Whoever reviews the table reads what is granted to nobody."""
    assert set(operations()) == called_by_the_code()


def test_what_is_implied_comes_with_what_implies_it() -> None:
    """Auto Scaling checks what no code of ours calls, and refuses the template."""
    changed = {action for action, _ in needed("rollout", {"autoscaling.UpdateAutoScalingGroup"})}
    assert {"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole", "kms:CreateGrant"} <= changed
    read = {action for action, _ in needed("rollout", {"elbv2.DescribeRules"})}
    assert read == {"elasticloadbalancing:DescribeRules"}


def test_roles_and_parameters_of_what_is_copied_are_granted() -> None:
    """A standby on demand is refused for a hook's role, or for an image that a parameter names."""
    every = called_by_the_code()
    passed = [each for each in statements("rollout") if each["Action"] == ["iam:PassRole"]]
    to = {json.dumps(each["Condition"]): each["Resource"] for each in passed}
    (roles,) = (found for condition, found in to.items() if "autoscaling.amazonaws.com" in condition)
    assert [role.rpartition("/")[2] for role in roles] == ["HOOK_ROLE", "AWSServiceRoleForAutoScaling_*"]  # type: ignore[attr-defined]
    assert len(to) == 2, "a role for hosts is not one for Auto Scaling"
    for role in ("observe", "rollout"):
        granted = dict(needed(role, every))
        assert granted["ssm:GetParameters"] == granted["ssm:GetParameter"]


def test_the_policies_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    """The documented command does nothing."""
    permissions.write(tmp_path / "policies")
    assert {path.name for path in (tmp_path / "policies").iterdir()} == {f"{role}.json" for role in ROLES} | {
        "README.md"
    }
    assert json.loads((tmp_path / "policies" / "rollback.json").read_text())["Version"] == "2012-10-17"


def story(folder: Path, service: Service, image: str) -> None:
    """Most of what a rollout asks of a provider, one after the other; what fails is no matter here."""
    clock = VirtualClock()
    provider = open_provider(folder, clock)
    compute, traffic, insight = provider.compute, provider.traffic, provider.insight
    assert insight is not None
    patch = Patch(image, {"x": image})
    owner = f"rollout-manager/{service.name}"

    def hosts() -> list[Instance]:
        return [each for each in compute.observe([service])[service.name] if each.slot == "green"]

    steps: list[Callable[[], object]] = [
        lambda: provider.patcher.resolve(service, image),
        lambda: insight.foresee(service, "blue", patch, 2, 2e9),
        lambda: compute.describe(service),
        lambda: compute.mirror(service, "blue", "green", image, owner, "t1"),
        lambda: compute.set_floor(service, "green", 1, "t2"),
        lambda: compute.scale(service, "green", 2, "t3"),
        lambda: traffic.attach(service, "green", hosts(), "t4"),
        lambda: traffic.observe([service]),
        lambda: traffic.set_weights(service, {"blue": 0, "green": 100}, traffic.route(service), "t5"),
        lambda: traffic.mark(service, HoldMark("r", 1, "green", "me", 1.0), "t6"),
        lambda: traffic.mark(service, None, "t7"),
        lambda: insight.examine(service, "green"),
        lambda: insight.alarms(service, ["a"]),
        lambda: provider.inventory.read(service, "green"),
        lambda: traffic.set_weights(service, {"blue": 100, "green": 0}, traffic.route(service), "t8"),
        lambda: traffic.detach(service, "green", "t9"),
        lambda: compute.park(service, "green", "t10"),
        lambda: compute.delete_if_owned(service, "green", owner, "t11"),
    ]
    for step in steps:
        for _ in range(4):  # as the engine does it: again, where it is to be repeated
            with suppress(ProviderError, AssertionError):
                step()
                break
            clock.sleep(10)


@pytest.mark.parametrize("on_demand", [True, False])
def test_what_is_really_asked_is_in_the_policy(tmp_path: Path, on_demand: bool) -> None:
    """The sources were read wrongly, and a role lacks what a rollout needs."""
    with in_process() as account:
        service = account.service(on_demand=on_demand)
        with wire(account) as line:
            story(tmp_path, service, account.images["base-2"])
            asked = {call.name for call in line.calls}
    assert {"autoscaling.AttachLoadBalancerTargetGroups", "elbv2.ModifyListener", "elbv2.AddTags"} <= asked
    assert asked <= allowed("rollout", called_by_the_code())


def test_what_the_way_back_asks_is_in_its_policy(tmp_path: Path) -> None:
    """The on-call engineer's role cannot do the one thing that it is for."""
    with in_process() as account:
        service = account.service()
        target = open_provider(tmp_path).traffic.card_target(service)
        host = open_provider(tmp_path).compute.observe([service])[service.name][0]
        with wire(account) as line:
            rollback.read(target)
            rollback.put_back(target, {"blue": 100, "green": 0}, "t")
            rollback.set_mark(target, plain(HoldMark("r", 1, "blue", "me", 1.0)), "t")
            rollback.set_mark(target, None, "t")
            assert rollback.matches(target, host.address.partition(":")[0])
            for named in (host.id, "front", service.name):
                rollback.find(named, {"region": account.region})
            asked = {call.name for call in line.calls}
    assert asked <= allowed("rollback", called_by_the_code()) and "elbv2.ModifyListener" in asked
