"""Calls to the balancers of one place, as somebody: botocore without boto3, and few tries, each bounded."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any, NamedTuple, cast

from providers.aws import marks
from providers.aws.needed import boto3_needed
from providers.aws.quick.sharing import Pace, Together
from providers.aws.units import units_of
from providers.contract.errors import NotFound, ProviderError, Throttled, Transient
from providers.contract.slots import Weights

AT_ONCE, KINDS = 8, 4
PAUSES_S = (0.2, 0.4, 0.8, 1.6)
"""After each answer that it was too often: three seconds together, in which AWS grants thirty reads more."""
JUDGED_S = 30.0
"""So old a target group's health may be for one of many that ask. AWS tells it of one a call, and grants ten a second:
five hundred take fifty seconds for one look at each."""
READS = (40.0, 10.0)
"""At once, and each second after: what AWS says that it grants (quotas.py)."""
WRITES = (20.0, 3.0)
"""What AWS does not tell, and is kept to once it has refused one: a careful guess (quotas.py)."""
GATHER_S, ALONE_S = 2.0, 0.05
"""So long one of many waits for others to ask in the same call: while health is waited for, and when it is not."""
ARNS_A_CALL = 20
GROUPS_A_CALL = 100
Action = Mapping[str, Any]
Route = Mapping[str, Any]
"""One of a card's `routes`: listener, rule, the target group of each slot, and the actions as they were."""


class Place(NamedTuple):
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


class Calls:
    """Thread-safe. `client`: botocore's, for elbv2."""

    def __init__(
        self,
        place: Place,
        client: Any,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._client, self._sleep, self._clock = place, client, sleep, clock
        self._patient = False
        self._pool, self._writers = ThreadPoolExecutor(AT_ONCE), ThreadPoolExecutor(AT_ONCE)
        self._pace, self._writing = Pace(*READS, clock, sleep), Writing(clock, sleep)
        start = ThreadPoolExecutor(KINDS).submit
        self._listeners = Together(lambda arns: self._described(arns, rules=False), ARNS_A_CALL, start, self._gather)
        self._rules = Together(lambda arns: self._described(arns, rules=True), ARNS_A_CALL, start, self._gather)
        self._tags = Together(self._tagged, ARNS_A_CALL, start, self._gather)
        self._units = Together(self._counted, GROUPS_A_CALL, start, self._gather)
        self._judged: dict[str, tuple[float, list[Mapping[str, Any]]]] = {}

    def patient(self) -> Calls:
        """The same for one of many services that are put back at once: it waits a moment, so that one call answers
        several, and takes health of a moment ago."""
        found = copy.copy(self)
        found._patient = True
        return found

    def _gather(self, full: threading.Event) -> None:
        full.wait(GATHER_S if self._pace.is_queue else ALONE_S)

    def at_once(self, ask: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._pool.submit(ask, *arguments)

    def each(self, ask: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """The answers in the order of the items; the first error is raised after all were asked."""
        return _all_of([self._pool.submit(ask, item) for item in items])

    def each_write(self, write: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """The same; no read is ahead of them in a queue."""
        return _all_of([self._writers.submit(write, item) for item in items])

    def __call__(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Asked too often: again after each of `PAUSES_S`. Lost on the way: once more, at once."""
        pauses, lost, reads = list(PAUSES_S), False, operation.startswith("describe_")
        pace: Pace | Writing = self._pace if reads else self._writing
        while True:
            pace.wait(last=self._patient and operation == "describe_target_health")
            try:
                return self._once(operation, **arguments)
            except Throttled:
                pace.refused()
                if not pauses:
                    raise
                self._sleep(pauses.pop(0))
            except Transient as error:
                if lost or not _is_lost(error):
                    raise
                lost = True

    def _once(self, operation: str, **arguments: Any) -> dict[str, Any]:
        from providers.aws.errors import CredentialsExpired, translated
        from providers.aws.quick.names import lookup_behind

        what = f"elbv2 {operation} in {self._place.region}"
        try:
            with translated(what, self._place.who):
                answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
                return answer
        except CredentialsExpired as error:
            calls_of.cache_clear()  # somebody may log in before the next command
            if not self._place.profile:
                raise
            hint = f"for profile {self._place.profile} with SSO: aws sso login --profile {self._place.profile}"
            raise CredentialsExpired(f"{error} ({hint})") from error.__cause__
        except Transient as error:
            if slow := lookup_behind(error):
                raise Transient(f"{what}, as {self._place.who}: {slow}") from slow
            raise

    # ---- reads ------------------------------------------------------------------------------------------------

    def actions_of(self, routes: Sequence[Route]) -> dict[str, Sequence[Action] | None]:
        """By listener or rule; None where there is no such one."""
        asked = {resource_of(each): (self._rules if each["rule"] else self._listeners) for each in routes}
        answers = {resource: together.soon(resource, patient=self._patient) for resource, together in asked.items()}
        return {resource: answer.result() for resource, answer in answers.items()}

    def _described(self, arns: Sequence[str], *, rules: bool) -> dict[str, Sequence[Action]]:
        """One that does not exist has AWS refuse all of them: then each alone."""
        try:
            if rules:
                listed = self("describe_rules", RuleArns=list(arns))["Rules"]
                return {each["RuleArn"]: list(each.get("Actions", ())) for each in listed}
            listed = self("describe_listeners", ListenerArns=list(arns))["Listeners"]
            return {each["ListenerArn"]: list(each.get("DefaultActions", ())) for each in listed}
        except NotFound:
            alone = [self._described([arn], rules=rules) for arn in arns] if len(arns) > 1 else []
            return {arn: actions for each in alone for arn, actions in each.items()}

    def tags(self, resource: str) -> Future[dict[str, str] | None]:
        """None: there is no such listener or rule."""
        return self._tags.soon(resource, patient=self._patient)

    def tags_of(self, resources: Sequence[str]) -> dict[str, dict[str, str]]:
        """By ARN; those that do not exist are absent."""
        asked = {resource: self.tags(resource) for resource in resources}
        return {resource: tags for resource, answer in asked.items() if (tags := answer.result()) is not None}

    def _tagged(self, arns: Sequence[str]) -> dict[str, dict[str, str]]:
        try:
            told = self("describe_tags", ResourceArns=list(arns))["TagDescriptions"]
        except NotFound:
            alone = [self._tagged([arn]) for arn in arns] if len(arns) > 1 else []
            return {arn: tags for each in alone for arn, tags in each.items()}
        return {
            each["ResourceArn"]: {one["Key"]: one.get("Value", "") for one in each.get("Tags", ())} for each in told
        }

    def health(self, target_group: str) -> list[Mapping[str, Any]]:
        """One of many takes what was told a moment ago, if all was well then."""
        known = self._judged.get(target_group)
        if self._patient and known and self._clock() - known[0] <= JUDGED_S and _is_well(known[1]):
            return known[1]
        found = list(self("describe_target_health", TargetGroupArn=target_group)["TargetHealthDescriptions"])
        self._judged[target_group] = (self._clock(), found)
        return found

    def units(self, group: str) -> Future[dict[str, int] | None]:
        """Of its capacity, by each host of an Auto Scaling group that is in service; None: there is no such group."""
        return self._units.soon(group, patient=self._patient)

    def _counted(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        from providers.aws.quick.hosts import autoscaling_groups

        return {
            each["AutoScalingGroupName"]: {
                one["InstanceId"]: units_of(one)
                for one in each["Instances"]
                if one.get("LifecycleState") == "InService"
            }
            for each in autoscaling_groups(self._place, names)
        }

    def pages(self, operation: str, key: str, **arguments: Any) -> list[Any]:
        """All items below `key`, however many pages there are."""
        found, marker = [], ""
        while True:
            answer = self(operation, **arguments, **({"Marker": marker} if marker else {}))
            found += answer.get(key, ())
            if not (marker := answer.get("NextMarker", "")):
                return found

    # ---- writes -----------------------------------------------------------------------------------------------

    def write(self, route: Route, actions: list[dict[str, Any]]) -> list[Action]:
        """What AWS answers that they are now."""
        if route["rule"]:
            return list(self("modify_rule", RuleArn=route["rule"], Actions=actions)["Rules"][0]["Actions"])
        answer = self("modify_listener", ListenerArn=route["listener"], DefaultActions=actions)
        return list(answer["Listeners"][0]["DefaultActions"])

    def add_tags(self, resource: str, tags: Mapping[str, str]) -> None:
        self("add_tags", ResourceArns=[resource], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])

    def remove_tags(self, resource: str, keys: Iterable[str]) -> None:
        self("remove_tags", ResourceArns=[resource], TagKeys=list(keys))

    def declare(self, resource: str, wanted: Weights) -> None:
        """So that an earlier move that was not finished explains nothing any more. Only where it can be done: traffic
        is what counts."""
        try:
            self.add_tags(resource, {marks.DECLARING: marks.declaring_text(wanted)})
        except ProviderError:
            return


class Writing:
    """AWS does not tell how many writes it grants: nobody waits before it has refused one, and then all in turn."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._pace, self._is_refused = Pace(*WRITES, clock, sleep), False

    def wait(self, *, last: bool = False) -> None:
        if self._is_refused:
            self._pace.wait(last=True)

    def refused(self) -> None:
        self._is_refused = True
        self._pace.refused()


def _is_well(listed: Sequence[Mapping[str, Any]]) -> bool:
    return bool(listed) and all(each["TargetHealth"]["State"] == "healthy" for each in listed)


def _all_of(asked: Sequence[Future[Any]]) -> list[Any]:
    wait(asked)
    return [answer.result() for answer in asked]


def resource_of(route: Route) -> str:
    """What weights and tags are written to: the rule, else the listener."""
    return str(route["rule"] or route["listener"])


class Opened:
    """Calls by place, each opened once: reading back every moment would otherwise open it every moment, and many
    threads that begin at once would each have a limit of their own."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._opened = lru_cache(maxsize=8)(lambda place: Calls(place, open_client(place)))

    def __call__(self, place: Place) -> Calls:
        with self._guard:
            return self._opened(place)

    def cache_clear(self) -> None:
        self._opened.cache_clear()


calls_of = Opened()


def open_client(place: Place, api: str = "elbv2") -> Any:
    """Raises Invalid without botocore, Denied without credentials."""
    with boto3_needed():
        from providers.aws.errors import translated
        from providers.aws.identity import client_config, open_session
        from providers.aws.quick.loading import quickened
        from providers.aws.quick.names import Names, bound_lookups

    with translated(f"a session in {place.region}", place.who):
        client = quickened(open_session(cast(Any, place))).create_client(
            api,
            region_name=place.region,
            endpoint_url=place.endpoint_url or None,
            config=client_config(),
        )
    bound_lookups(client, Names())
    return client


def _is_lost(error: Transient) -> bool:
    """May the same call work at once? Not as somebody whose login has ended, nor towards a name that nobody knows."""
    from providers.aws.errors import CredentialsExpired
    from providers.aws.quick.names import SlowLookup

    return not isinstance(error, CredentialsExpired) and not isinstance(error.__cause__, SlowLookup)
