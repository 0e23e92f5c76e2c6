"""The emergency path on AWS: the standard library and botocore, no engine, no settings, no store, no CloudWatch.

`target` is what `Traffic.card_target` wrote into the rollback card. Nothing is tried for long: a call that is throttled
or lost is made once more, at once.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from providers.aws import marks, weights
from providers.aws.judging import health
from providers.aws.needed import boto3_needed
from providers.aws.weights import checked
from providers.base import SLOTS, HoldMark, NotFound, ProviderError, Slot, Transient, Weights, plain

AT_ONCE = 8
ROLE_FOR = "rollout-manager-by-hand"
Target = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where, and as whom."""

    region: str
    account: str = ""
    profile: str = ""
    role: str = ""
    external_id: str = ""
    endpoint_url: str = ""

    @property
    def who(self) -> str:
        return self.role or (f"profile {self.profile}" if self.profile else "the default credentials")


def read(target: Target) -> dict[str, Any]:
    """Weights, revision and mark; for each slot healthy, unhealthy and unknown targets, and None for what is in flight:
    AWS tells that minutes late. A slot whose targets cannot be asked for has one unknown; a mark that cannot be asked
    for is taken to be there. Raises NotFound, Transient, Denied.
    """
    call = _Calls(target)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        actions = {_resource(route): pool.submit(call.actions, route) for route in target["routes"]}
        tags = pool.submit(call.tags, _resource(target["routes"][-1]))
        groups = {slot: list(dict.fromkeys(route[slot] for route in target["routes"])) for slot in SLOTS}
        health = {slot: [pool.submit(call.health, arn) for arn in groups[slot]] for slot in SLOTS}
    seen = _present(actions)
    found, wrong = _tags(tags)
    each = [weights.seen(seen[_resource(route)], _groups(route)) for route in target["routes"]]
    now = weights.route_of(each, None)  # a move that was begun is no excuse here: every route counts
    serving = max(SLOTS, key=lambda slot: now[slot])
    mark = marks.unreadable(wrong, serving) if wrong else marks.mark_of(found, serving)
    counts = {slot: _counts(health[slot]) for slot in SLOTS}
    return {
        "weights": dict(now),
        "revision": weights.revision(seen, marks.of_mark(found)),
        "mark": plain(mark) if mark else None,
        **{word: {slot: counts[slot][word] for slot in SLOTS} for word in ("healthy", "unhealthy", "unknown")},
        "in_flight": dict.fromkeys(SLOTS),
    }


def put_back(target: Target, weights: Weights, token: str) -> dict[str, Any]:
    """Write these weights to every route, whatever is there, and say what is there then. A route that fails keeps none
    of the others from being put back; then the error lists what a person has to run. The same again is harmless, so
    `token` is unused. Raises Invalid, with nothing written, for weights that cannot be.
    """
    wanted, call = checked(weights), _Calls(target)
    failed: list[tuple[Mapping[str, Any], ProviderError, list[dict[str, Any]]]] = []
    for route in target["routes"]:
        actions = _actions(call, route, wanted)
        try:
            call.write(route, actions)
        except ProviderError as error:
            failed.append((route, error, actions))
    if len(target["routes"]) > 1:
        call.declare(_resource(target["routes"][-1]), wanted)
    if failed:
        lines = [f"{_resource(route)}: {error}\n  {_command(target, route, made)}" for route, error, made in failed]
        done = len(target["routes"]) - len(failed)
        raise type(failed[0][1])(f"{done} of {len(target['routes'])} routes were put back; not\n" + "\n".join(lines))
    return read(target)


def set_mark(target: Target, mark: Mapping[str, Any] | None, token: str) -> None:
    """Leave a hold mark with the traffic, or clear it (None). The same mark twice is one mark: `token` is unused."""
    call, resource = _Calls(target), _resource(target["routes"][-1])
    if mark is None:
        call("remove_tags", ResourceArns=[resource], TagKeys=list(marks.KEYS))
    else:
        call.add_tags(resource, marks.tags_of(HoldMark.from_json(mark)))


def by_hand(target: Target, weights: Weights) -> list[str]:
    """What a person who has nothing but the AWS CLI runs for these weights, one command a line; nothing is asked."""
    wanted = checked(weights)
    lines = [_as_role(target)] if target["place"]["role"] else []
    for route in target["routes"]:
        lines.append(_command(target, route, _made(route, (), wanted)))
    return [*lines, *(_look(target, route) for route in target["routes"])]


class _Calls:
    """Calls to the balancers of one place, as somebody."""

    def __init__(self, target: Target) -> None:
        self._place = Place(**target["place"])
        self._client = _client(self._place)

    def __call__(self, operation: str, **arguments: Any) -> dict[str, Any]:
        from providers.aws.errors import CredentialsExpired, translated

        what = f"elbv2 {operation} in {self._place.region}"
        for again in (True, False):
            try:
                with translated(what, self._place.who):
                    answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
                    return answer
            except CredentialsExpired:
                _client.cache_clear()
                raise
            except Transient:
                if not again:
                    raise
        raise AssertionError("the second time either answers or raises")

    def actions(self, route: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        """None: there is no such listener or rule."""
        try:
            if route["rule"]:
                listed = self("describe_rules", RuleArns=[route["rule"]])["Rules"]
                return list(listed[0]["Actions"]) if listed else None
            listed = self("describe_listeners", ListenerArns=[route["listener"]])["Listeners"]
            return list(listed[0].get("DefaultActions", ())) if listed else None
        except NotFound:
            return None

    def tags(self, resource: str) -> dict[str, str]:
        told = self("describe_tags", ResourceArns=[resource])["TagDescriptions"]
        return {tag["Key"]: tag.get("Value", "") for each in told for tag in each.get("Tags", ())}

    def health(self, target_group: str) -> list[Mapping[str, Any]]:
        return list(self("describe_target_health", TargetGroupArn=target_group)["TargetHealthDescriptions"])

    def write(self, route: Mapping[str, Any], actions: list[dict[str, Any]]) -> None:
        if route["rule"]:
            self("modify_rule", RuleArn=route["rule"], Actions=actions)
        else:
            self("modify_listener", ListenerArn=route["listener"], DefaultActions=actions)

    def add_tags(self, resource: str, tags: Mapping[str, str]) -> None:
        self("add_tags", ResourceArns=[resource], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])

    def declare(self, resource: str, wanted: Weights) -> None:
        """So that an earlier move that was not finished explains nothing any more. Only where it can be done: traffic
        is what counts."""
        try:
            self.add_tags(resource, {marks.DECLARING: marks.declaring_text(wanted)})
        except ProviderError:
            return


@lru_cache(maxsize=8)
def _client(place: Place) -> Any:
    """Reading back every moment would otherwise load the API's description every moment."""
    with boto3_needed():
        from providers.aws.errors import translated
        from providers.aws.identity import client_config, open_session

    with translated(f"a session in {place.region}", place.who):
        return open_session(cast(Any, place)).create_client(
            "elbv2",
            region_name=place.region,
            endpoint_url=place.endpoint_url or None,
            config=client_config(),
        )


def _resource(route: Mapping[str, Any]) -> str:
    return str(route["rule"] or route["listener"])


def _groups(route: Mapping[str, Any]) -> dict[Slot, str]:
    return {slot: route[slot] for slot in SLOTS}


def _present(asked: Mapping[str, Future[Any]]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The actions of each route; none for one that does not exist, as long as another one does."""
    found = {resource: answer.result() for resource, answer in asked.items()}
    if all(actions is None for actions in found.values()):
        raise NotFound(f"{', '.join(found)}: does not exist")
    return {resource: actions or () for resource, actions in found.items()}


def _tags(asked: Future[dict[str, str]]) -> tuple[dict[str, str], str]:
    """The tags, or why nobody can tell."""
    try:
        return asked.result(), ""
    except ProviderError as error:
        return {}, f"the hold mark could not be read: {error}"


def _counts(asked: Sequence[Future[list[Mapping[str, Any]]]]) -> dict[str, int]:
    try:
        seen = health([answer.result() for answer in asked])
    except ProviderError:
        return {"healthy": 0, "unhealthy": 0, "unknown": 1}
    return {"healthy": seen.healthy, "unhealthy": seen.unhealthy, "unknown": seen.unknown}


def _actions(call: _Calls, route: Mapping[str, Any], wanted: Weights) -> list[dict[str, Any]]:
    try:
        present = call.actions(route) or ()
    except ProviderError:
        present = ()  # it may still be written to
    return _made(route, present, wanted)


def _made(route: Mapping[str, Any], present: Sequence[Mapping[str, Any]], wanted: Weights) -> list[dict[str, Any]]:
    return weights.put_back(present, route["actions"], _groups(route), wanted)


def _command(target: Target, route: Mapping[str, Any], actions: Sequence[Mapping[str, Any]]) -> str:
    verb = "modify-rule" if route["rule"] else "modify-listener"
    told = json.dumps(list(actions), separators=(",", ":"))
    return _aws(target, verb, *_named(route), "--actions" if route["rule"] else "--default-actions", told)


def _look(target: Target, route: Mapping[str, Any]) -> str:
    if route["rule"]:
        return _aws(target, "describe-rules", "--rule-arns", route["rule"], "--query", "Rules[].Actions")
    query = ("--query", "Listeners[].DefaultActions")
    return _aws(target, "describe-listeners", "--listener-arns", route["listener"], *query)


def _named(route: Mapping[str, Any]) -> tuple[str, str]:
    return ("--rule-arn", route["rule"]) if route["rule"] else ("--listener-arn", route["listener"])


def _aws(target: Target, verb: str, *arguments: str) -> str:
    """A role's credentials are in the environment by then; a profile would go before them."""
    place = target["place"]
    profile = ("--profile", place["profile"]) if place["profile"] and not place["role"] else ()
    endpoint = ("--endpoint-url", place["endpoint_url"]) if place["endpoint_url"] else ()
    return shlex.join(["aws", "elbv2", verb, "--region", place["region"], *profile, *endpoint, *arguments])


def _as_role(target: Target) -> str:
    place = target["place"]
    profile = ("--profile", place["profile"]) if place["profile"] else ()
    external = ("--external-id", place["external_id"]) if place["external_id"] else ()
    endpoint = ("--endpoint-url", place["endpoint_url"]) if place["endpoint_url"] else ()
    asked = ("--role-arn", place["role"], "--role-session-name", ROLE_FOR, *external)
    kept = ("--query", "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]", "--output", "text")
    where = ("--region", place["region"], *profile, *endpoint)
    command = shlex.join(["aws", "sts", "assume-role", *where, *asked, *kept])
    names = "AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_SESSION_TOKEN=%s"
    return f'export $(printf "{names}" $({command}))'
