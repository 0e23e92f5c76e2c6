"""What moto lacks is answered as the service would answer, and never as it could not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.aws.account import Account, in_process
from tests.aws.stubs import Refused

HOST = "i-0123456789abcdef0"
KB = {"KBId": "openssl.x86_64", "State": "MISSING", "CVEIds": "CVE-2026-1"}


@pytest.fixture
def account() -> Iterator[Account]:
    """In this process."""
    with in_process() as opened:
        yield opened


def test_patch_states_are_as_filled_in(account: Account) -> None:
    """Otherwise what the patcher reads of hosts is never tested."""
    asked = account.client("ssm")
    account.answers.patch_states[HOST] = {"MissingCount": 2}
    (state,) = asked.describe_instance_patch_states(InstanceIds=[HOST, HOST.replace("0", "1")])["InstancePatchStates"]
    assert (state["InstanceId"], state["MissingCount"], state["Operation"]) == (HOST, 2, "Scan")
    with pytest.raises(ClientError, match="less than or equal to 50"):
        asked.describe_instance_patch_states(InstanceIds=[f"i-{number:017x}" for number in range(51)])


def test_patches_are_filtered_by_state(account: Account) -> None:
    """Otherwise installed patches are counted as missing ones."""
    asked = account.client("ssm")
    account.answers.patches[HOST] = [KB, {"KBId": "bash.x86_64", "State": "INSTALLED_PENDING_REBOOT"}]
    for value, found in (("Missing", "openssl.x86_64"), ("InstalledPendingReboot", "bash.x86_64")):
        told = asked.describe_instance_patches(InstanceId=HOST, Filters=[{"Key": "State", "Values": [value]}])
        assert [patch["KBId"] for patch in told["Patches"]] == [found]


def test_an_answer_that_aws_could_not_give_is_an_error_of_the_test(account: Account) -> None:
    """Otherwise the product is tested with fields that do not exist."""
    account.answers.patch_states[HOST] = {"Missing": 2}
    with pytest.raises(AssertionError, match="Unknown parameter"):
        account.client("ssm").describe_instance_patch_states(InstanceIds=[HOST])
    account.answers.give("ssm", "DescribeInstanceInformation", {"InstanceInformationList": [{"PingStatus": "Fine"}, 3]})
    with pytest.raises(AssertionError, match="Invalid type"):
        account.client("ssm").describe_instance_information()
    with pytest.raises(ParamValidationError):
        account.client("ssm").describe_instance_patch_states(Ids=[HOST])


def test_inventory_comes_in_pages(account: Account) -> None:
    """Otherwise a host with more than fifty packages looks as if it had fifty."""
    account.answers.inventory[HOST] = {f"package-{number}": "1.0-1.amzn2023" for number in range(60)}
    asked: dict[str, Any] = {"InstanceId": HOST, "TypeName": "AWS:Application"}
    first = account.client("ssm").list_inventory_entries(**asked)
    rest = account.client("ssm").list_inventory_entries(**asked, NextToken=first["NextToken"])
    assert (len(first["Entries"]), len(rest["Entries"]), "NextToken" in rest) == (50, 10, False)
    assert (first["Entries"][0]["Version"], first["Entries"][0]["Release"]) == ("1.0", "1.amzn2023")


def test_a_host_without_an_agent_has_no_inventory(account: Account) -> None:
    """Otherwise "nothing is known" is taken for "nothing is installed"."""
    told = account.client("ssm").list_inventory_entries(InstanceId=HOST, TypeName="AWS:Application")
    assert told["Entries"] == [] and "CaptureTime" not in told
    assert account.client("ssm").describe_instance_information()["InstanceInformationList"] == []


def test_activities_belong_to_a_group(account: Account) -> None:
    """Otherwise why nothing is launched is never read."""
    account.answers.activities["shop-blue"] = [{"StatusCode": "Failed", "StatusMessage": "no capacity"}]
    asked = account.client("autoscaling")
    (told,) = asked.describe_scaling_activities(AutoScalingGroupName="shop-blue")["Activities"]
    assert told["StatusMessage"] == "no capacity"
    assert asked.describe_scaling_activities(AutoScalingGroupName="shop-green")["Activities"] == []


def test_quotas(account: Account) -> None:
    """Otherwise a plan that goes over a quota is never tested."""
    asked = account.client("service-quotas")
    account.answers.quotas["ec2", "L-1216C47A"] = 32.0
    assert asked.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]["Value"] == 32.0
    assert len(asked.list_service_quotas(ServiceCode="ec2")["Quotas"]) == 1
    with pytest.raises(ClientError, match="NoSuchResource"):
        asked.get_service_quota(ServiceCode="ec2", QuotaCode="L-0")


def test_coverage_of_inspector(account: Account) -> None:
    """Otherwise "nobody looked" is taken for "nothing was found"."""
    account.answers.coverage.append(
        {"accountId": "123456789012", "resourceId": HOST, "resourceType": "AWS_EC2_INSTANCE", "scanType": "PACKAGE"}
    )
    asked = account.client("inspector2")
    assert [one["resourceId"] for one in asked.list_coverage()["coveredResources"]] == [HOST]
    other = {"resourceId": [{"comparison": "EQUALS", "value": "i-other"}]}
    assert asked.list_coverage(filterCriteria=other)["coveredResources"] == []


def test_any_operation_of_any_service_can_be_given(account: Account) -> None:
    """Otherwise each new call needs a change of this cloud."""
    account.answers.give("imagebuilder", "ListImages", {"imageVersionList": [{"name": "base"}]})
    assert account.client("imagebuilder").list_images()["imageVersionList"] == [{"name": "base"}]

    def refuse(asked: Any) -> Any:
        raise Refused("ThrottlingException", f"not {asked['InstanceId']}")

    account.answers.give("ssm", "DescribeInstancePatches", refuse)
    with pytest.raises(ClientError, match=f"not {HOST}"):
        account.client("ssm").describe_instance_patches(InstanceId=HOST)


def test_compliance_is_kept(account: Account) -> None:
    """Otherwise nobody sees what we report of a host."""
    account.client("ssm").put_compliance_items(
        ResourceId=HOST,
        ResourceType="ManagedInstance",
        ComplianceType="Custom:Rollout",
        ExecutionSummary={"ExecutionTime": 0},
        Items=[{"Id": "rollout", "Severity": "HIGH", "Status": "COMPLIANT"}],
    )
    (put,) = account.answers.compliance[HOST]
    assert put["Items"][0]["Status"] == "COMPLIANT"
