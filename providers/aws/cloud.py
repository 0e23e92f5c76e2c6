"""One account and region, as somebody: the only way from the adapter to AWS.

The SDK's own retries are off: the engine repeats what it journalled. Each call waits its turn in a budget for its API.
A write begins none of its calls, nor the reads that it decides by, after `BEGIN_WITHIN_S`: later it may have lost the
right to act, and whoever comes next goes on from what is there.
"""

from __future__ import annotations

import difflib
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import boto3
from botocore.exceptions import EndpointConnectionError
from botocore.session import Session

from providers.aws.budget import Budgets, sent_before
from providers.aws.errors import CredentialsExpired, CredentialsRefused, translated
from providers.aws.identity import CONNECT_S, READ_S, client_config, expires_at, open_session, source
from providers.aws.options import Options
from providers.base import Clock, Context, Denied, Invalid, Service, Transient

BEGIN_WITHIN_S = 8.0
"""Counted from the first line of the write: some thirty calls, where each takes a quarter of a second."""
WRITE_S = BEGIN_WITHIN_S + CONNECT_S + READ_S
"""The write time-out T. Nothing is sent over a connection that took longer than `CONNECT_S` (connecting.py)."""


READS = ("describe_", "get_", "list_")


@dataclass(frozen=True, slots=True)
class Look:
    """What was read at one look, and when that was begun. `owner` is the thread that looks, for another may be begun
    with its context. What is read `for_writing` is never answered by what was read before."""

    owner: int
    within_s: float
    known: dict[Any, tuple[float, Any]]
    for_writing: bool = False

    @property
    def is_here(self) -> bool:
        return self.owner == threading.get_ident()


_look: ContextVar[Look | None] = ContextVar("look", default=None)


@contextmanager
def at_one_look(within_s: float = math.inf) -> Iterator[None]:
    """Inside of this, in this thread, equal reads that are begun `within_s` of each other are made once. A write of
    ours makes all of it old, and so does a look that begins inside of this one."""
    outer = _look.get()
    known = outer.known if outer and outer.is_here else {}
    known.clear()
    with _looking(Look(threading.get_ident(), within_s, known)):
        yield


@contextmanager
def _looking(look: Look | None) -> Iterator[None]:
    before = _look.set(look)
    try:
        yield
    finally:
        _look.reset(before)


@dataclass(frozen=True, slots=True)
class Place:
    """Where, and as whom."""

    region: str
    account: str = ""
    profile: str = ""
    role: str = ""
    external_id: str = ""
    endpoint_url: str = ""

    @classmethod
    def of(cls, options: Options) -> Place:
        return cls(*(getattr(options, name) for name in cls.__slots__))

    @property
    def who(self) -> str:
        return self.role or (f"profile {self.profile}" if self.profile else "the default credentials")


class Cloud:
    """Calls to one place. Thread-safe."""

    def __init__(self, place: Place, clock: Clock, budgets: Budgets, opening: Callable[[Place], Session]) -> None:
        self.place, self.clock = place, clock
        self._budgets, self._opening = budgets, opening
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._clients: dict[str, Any] = {}
        self._caller: dict[str, str] | None = None

    def read(self, api: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """One call; `operation` in snake case. Raises ProviderErrors."""

        def ask(client: Any) -> Any:
            if not hasattr(client, operation):
                raise Invalid(f"{api} {operation}: the installed boto3 does not know it; install a newer one")
            return getattr(client, operation)(**arguments)

        answer: dict[str, Any] = self._looked(api, operation, arguments, ask)
        return answer

    def pages(self, api: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        """All items below `key`, however many pages there are."""

        def ask(client: Any) -> list[Any]:
            return [
                item for page in client.get_paginator(operation).paginate(**arguments) for item in page.get(key, ())
            ]

        items: list[Any] = self._looked(api, operation, {**arguments, "": "all pages"}, ask)
        return list(items)

    def batches(
        self, api: str, operation: str, key: str, argument: str, names: Iterable[str], size: int, **more: Any
    ) -> list[Any]:
        """All items for these names, asked for `size` names at a time (the API's documented limit)."""
        asked = list(dict.fromkeys(names))
        parts = [asked[at : at + size] for at in range(0, len(asked), size)]
        return [item for part in parts for item in self.pages(api, operation, key, **{argument: part}, **more)]

    def writing(self) -> Writing:
        """A write that begins now. One that a contract is asked for is `Clouds.writing`."""
        return Writing(self, self.clock.now())

    def caller(self) -> Mapping[str, str]:
        """Account and Arn of the credentials, read once. Denied when it is not the account that was declared."""
        if (known := self._caller) is None:
            client, used = self._client("sts"), self._session
            known = self._identify(client)
            with self._lock:
                if self._session is used:
                    self._caller = known
        return known

    def identify(self) -> None:
        """Compare the credentials' account with the one that was declared, if that was not done yet."""
        if self.place.account and self._caller is None:
            self.caller()

    def credentials(self) -> tuple[str, float | None]:
        """Where they come from, in botocore's words, and when they end (None: not, or not known). Asks no AWS API."""
        self._client("sts")
        with translated(f"credentials for {self.place.region}", self.place.who):
            session = self._session or self._opening(self.place)
            return source(session), expires_at(session)

    def regions(self) -> list[str]:
        """Those that the installed SDK knows, in the partition of this one. Asks no AWS API."""
        self._client("sts")
        session = self._session or self._opening(self.place)
        partition = session.get_partition_for_region(self.place.region)
        return list(session.get_available_regions("autoscaling", partition_name=partition))

    @property
    def account(self) -> str:
        return self.caller()["Account"]

    def _looked(self, api: str, operation: str, arguments: Mapping[str, Any], ask: Callable[[Any], Any]) -> Any:
        """The answer, or the one that an equal read had at the same look."""
        look = _look.get()
        if look and not operation.startswith(READS):
            try:
                return self._call(api, operation, ask)
            finally:
                look.known.clear()
        if look is None or not look.is_here:
            return self._call(api, operation, ask)
        key, now = (self.place, api, operation, repr(sorted(arguments.items()))), self.clock.now()
        began, answer = look.known.get(key, (None, None))
        if began is None or look.for_writing or not 0 <= now - began <= look.within_s:
            answer = self._call(api, operation, ask)
            look.known[key] = (now, answer)
        return answer

    def _call(self, api: str, operation: str, ask: Callable[[Any], Any]) -> Any:
        what = f"{api} {operation} in {self.place.region}"
        used = self._session
        try:
            self.identify()
            client = self._client(api)
            used = self._session
            with translated(what, self.place.who):
                return ask(client)
        except (CredentialsExpired, CredentialsRefused):
            self._forget(used)
            raise
        except Transient as error:
            if isinstance(error.__cause__, EndpointConnectionError) and self.place.region not in self.regions():
                raise Transient(f"{error}; {self._unknown_region()}") from error.__cause__
            raise

    def _unknown_region(self) -> str:
        near = difflib.get_close_matches(self.place.region, self.regions(), 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        return f"the installed boto3 knows no region {self.place.region}{meant}: correct region, or install a newer one"

    def _identify(self, client: Any) -> dict[str, str]:
        place = self.place
        with translated(f"sts get_caller_identity in {place.region}", place.who):
            answer = client.get_caller_identity()
        found = {key: str(answer[key]) for key in ("Account", "Arn")}
        if place.account and found["Account"] != place.account:
            raise Denied(
                f"{place.who} is of account {found['Account']}, the service is declared in {place.account}; "
                "nothing was done"
            )
        return found

    def _client(self, api: str) -> Any:
        with self._lock:
            if api not in self._clients:
                with translated(f"a session in {self.place.region}", self.place.who):
                    if self._session is None:
                        self._session = self._opening(self.place)
                    client = boto3.Session(botocore_session=self._session, region_name=self.place.region).client(
                        api,
                        endpoint_url=self.place.endpoint_url or None,
                        config=client_config(),
                    )
                self._budgets.watch(client, api, self.place)
                self._clients[api] = client
            return self._clients[api]

    def _forget(self, used: Session | None) -> None:
        """The next call reads the credentials anew: somebody may have logged in."""
        with self._lock:
            if self._session is used:  # else another thread has done so already
                self._session, self._caller = None, None
                self._clients.clear()


class Writing:
    """The calls of one write that began at `began`, before it read anything."""

    def __init__(self, cloud: Cloud, began: float) -> None:
        self.cloud, self._began = cloud, began

    @property
    def until(self) -> float:
        """After this none of its calls begins."""
        return self._began + BEGIN_WITHIN_S

    def call(self, api: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """One call that changes something; Transient, with nothing sent, when it comes too late."""
        with sent_before(self.until):
            self.cloud.identify()
            took = self.cloud.clock.now() - self._began
            if took > BEGIN_WITHIN_S:
                raise Transient(f"{api} {operation}: not begun, for all before it took {took:.1f} s; it will go on")
            return self.cloud.read(api, operation, **arguments)


class Clouds:
    """All places of one provider, each opened when it is first needed."""

    def __init__(self, context: Context, opening: Callable[[Place], Session] = open_session) -> None:
        self.context = context
        self._budgets = Budgets(context.clock)
        self._opening = opening
        self._lock = threading.Lock()
        self._clouds: dict[Place, Cloud] = {}

    def at(self, place: Place) -> Cloud:
        with self._lock:
            if place not in self._clouds:
                self._clouds[place] = Cloud(place, self.context.clock, self._budgets, self._opening)
            return self._clouds[place]

    def of(self, service: Service) -> tuple[Cloud, Options]:
        options = Options.of(service)
        return self.at(Place.of(options)), options

    @contextmanager
    def writing(self, service: Service) -> Iterator[tuple[Writing, Options]]:
        """What a contract is asked to change: the first line of each such method. Everything inside, reads too, is
        begun in time or not at all, and a write within a write has no more time than the outer one. Nothing that a
        look saw before serves it."""
        began = self.context.clock.now()
        cloud, options = self.of(service)
        writing = Writing(cloud, began)
        outer = _look.get()
        look = replace(outer, for_writing=True) if outer else None
        with sent_before(writing.until), _looking(look):
            try:
                yield writing, options
            except BaseException:
                if look:
                    look.known.clear()  # what it was decided by is not so, or nobody knows what is
                raise

    def grouped(self, services: Sequence[Service]) -> Iterable[tuple[Cloud, Mapping[str, Options]]]:
        """The services of each place, by name."""
        found: dict[Place, dict[str, Options]] = defaultdict(dict)
        for service in services:
            options = Options.of(service)
            found[Place.of(options)][service.name] = options
        return [(self.at(place), named) for place, named in found.items()]

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each operation was called so far, as `api.Operation`."""
        return self._budgets.calls

    @property
    def throttled(self) -> Mapping[str, int]:
        """How often AWS answered that it was asked too often, as `api.Operation`."""
        return self._budgets.throttled
