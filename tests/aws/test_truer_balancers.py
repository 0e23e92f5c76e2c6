"""The test cloud's network balancers and logins: named, refused and shown as AWS does it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.aws.account import PATH, in_process
from tests.aws.test_ruled import LOGIN, login_again


def test_a_network_balancer_is_known_by_its_name() -> None:
    """Otherwise a side behind one is counted in tests, as it never is on AWS."""
    with in_process(kind="network") as account:
        elbv2 = account.client("elbv2")
        assert ":loadbalancer/net/front/" in account.balancer
        (found,) = elbv2.describe_load_balancers(LoadBalancerArns=[account.balancer])["LoadBalancers"]
        assert (found["Type"], found["LoadBalancerArn"]) == ("network", account.balancer)
        service = account.service("shop", 1)
        listener = service.options["routes"][0]["listener"]
        elbv2.add_tags(ResourceArns=[listener, account.balancer], Tags=[{"Key": "a", "Value": "b"}])
        told = elbv2.describe_tags(ResourceArns=[listener, account.balancer])["TagDescriptions"]
        assert [each["Tags"] for each in told] == [[{"Key": "a", "Value": "b"}]] * 2


def test_a_network_balancer_has_no_rules() -> None:
    """Otherwise a service is tried in a way that AWS does not have."""
    with in_process(kind="network") as account, pytest.raises(ClientError, match="InvalidConfigurationRequest"):
        account.service("shop", 1, ruled=[PATH])


def test_a_client_secret_is_never_shown() -> None:
    """Otherwise what is read may be written back as it is, which AWS refuses."""
    with in_process() as account:
        elbv2 = account.client("elbv2")
        service = account.service("shop", 1, ruled=[PATH], before=[LOGIN], protocol="HTTPS")
        rule = service.options["routes"][0]["rule"]
        login, forward = elbv2.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"]
        assert "ClientSecret" not in login["AuthenticateOidcConfig"]
        with pytest.raises(ClientError, match="client secret"):
            elbv2.modify_rule(RuleArn=rule, Actions=[login, forward])
        elbv2.modify_rule(RuleArn=rule, Actions=[login_again(), forward])
        assert elbv2.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"] == [login, forward]
