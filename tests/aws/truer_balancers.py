"""Network balancers, and what an action may tell."""

from __future__ import annotations

from typing import Any

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend, FakeAction, FakeLoadBalancer

from tests.aws.truer import Correcting

SECRET, SAME_SECRET = "ClientSecret", "UseExistingClientSecret"


def network_balancers_are_named_so(correcting: Correcting) -> None:
    """AWS: a network balancer's ARN, and those of its listeners, have `net`; an application balancer's have `app`."""

    def create(original: Any, self: ELBv2Backend, *args: Any, **given: Any) -> FakeLoadBalancer:
        made: FakeLoadBalancer = original(self, *args, **given)
        if made.type == "network":
            tags = self.tagging_service.list_tags_for_resource(made.arn)["Tags"]
            del self.load_balancers[made.arn]
            made.arn = made.arn.replace(":loadbalancer/app/", ":loadbalancer/net/")
            self.load_balancers[made.arn] = made
            self.tagging_service.tag_resource(made.arn, tags)
        return made

    correcting.around(ELBv2Backend, "create_load_balancer", create)


def rules_are_application_balancers(correcting: Correcting) -> None:
    """AWS: a network balancer's listener has no rules but its default action, which forwards."""

    def create(original: Any, self: ELBv2Backend, listener_arn: str, *args: Any, **given: Any) -> Any:
        if ":listener/net/" in listener_arn:
            raise ELBClientError("InvalidConfigurationRequest", "Rules are unsupported for this load balancer type")
        return original(self, listener_arn, *args, **given)

    correcting.around(ELBv2Backend, "create_rule", create)


def a_client_secret_is_not_told(correcting: Correcting) -> None:
    """AWS: a login's client secret is never shown; whoever writes the action again sends it, or that it stays."""

    def made(original: Any, self: FakeAction, data: dict[str, Any]) -> None:
        if login := data.get("AuthenticateOidcConfig"):
            if not login.get(SECRET) and str(login.get(SAME_SECRET)).lower() != "true":
                raise ELBClientError("ValidationError", "A client secret must be specified")
            shown = {name: value for name, value in login.items() if name not in (SECRET, SAME_SECRET)}
            data = {**data, "AuthenticateOidcConfig": shown}
        original(self, data)

    correcting.around(FakeAction, "__init__", made)


CORRECTIONS = (network_balancers_are_named_so, rules_are_application_balancers, a_client_secret_is_not_told)
