"""What the built-in balancer's own client offers, for HAProxy: the state is ours, on disk; HAProxy follows it.

A write takes the state's lock, begins a version of HAProxy's map, looks, saves the state, syncs servers, writes the
map file, and commits the version. Killed anywhere in between, the next look finishes it; whoever was overtaken by the
emergency path cannot commit any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from providers.local.balancer import store
from providers.local.balancer.answers import CountersAnswer, StateAnswer
from providers.local.balancer.client import Conflict, Refused, Unreachable
from providers.local.balancer.config import Config, ConfigError, load_config
from providers.local.balancer.declared import edited_revision, judged, load, raise_if_stale, writing
from providers.local.balancer.identity import recorded
from providers.local.balancer.mark import read_mark
from providers.local.balancer.state import (
    SLOTS,
    InvalidState,
    State,
    parse_addresses,
    parse_slot,
    parse_token,
    parse_weights,
)
from providers.local.haproxy import stats
from providers.local.haproxy.cli import Cli, Overtaken
from providers.local.haproxy.servers import Servers
from providers.local.haproxy.text import backend_of
from providers.local.haproxy.weights import ABSENT, MAP, Entry, entry_of, file_text, from_file

PROCESS = "parent.json"


@dataclass(frozen=True)
class Seen:
    """state: as declared. memory, disk: the map as HAProxy has it, and as its file has it."""

    state: State
    before: State | None
    memory: Entry
    disk: Entry
    notice: str | None

    @property
    def in_line(self) -> bool:
        return self.memory == self.disk == entry_of(self.state)

    @property
    def half_done(self) -> bool:
        """A write of ours ended between state and map."""
        if self.before is None:
            return False
        earlier = entry_of(self.before)
        return self.memory == earlier and self.disk in (earlier, entry_of(self.state))

    @property
    def in_force(self) -> State:
        """The state that HAProxy's servers are those of."""
        return self.before if self.half_done and self.before is not None else self.state

    @property
    def edited(self) -> bool:
        """Somebody else wrote the map, in HAProxy or on disk."""
        return not self.in_line and not self.half_done

    @property
    def weights(self) -> Mapping[str, int]:
        """By which traffic is shared now; a file that was edited counts from HAProxy's next start on."""
        declared = self.memory == entry_of(self.state) or self.half_done
        return self.state.weights if declared else self.memory.weights

    @property
    def revision(self) -> int:
        if not self.edited:
            return self.state.revision
        return edited_revision(f"{self.memory.text}|{self.disk.text}", self.state.revision)


class HaproxyClient:
    """timeout_s is for all calls together, counted from here on. Calls raise what BalancerClient's do."""

    def __init__(self, directory: Path | str, timeout_s: float = 5.0) -> None:
        self._directory = Path(directory)
        self._deadline = time.monotonic() + timeout_s
        self._cli = Cli(self._directory, self._deadline)

    def state(self) -> StateAnswer:
        seen = self._look()
        if not seen.in_line:
            # Perhaps somebody is writing at this moment: only under the lock it is clear what it means.
            with self._writing() as held:
                seen = self._settled(held)[0]
        return self._answer(seen)

    def set_weights(self, weights: Mapping[str, int], *, expected_revision: int | None, token: str) -> StateAnswer:
        """As BalancerClient's. expected_revision None goes over a person's edit, too."""
        with _judged():
            wanted, token = parse_weights(dict(weights)), parse_token(token)
            with self._writing() as held:
                # Who goes over everything does not first finish what somebody else had begun.
                anyway = expected_revision is None
                seen, version = self._looked() if anyway else self._settled(held)
                if not (seen.edited or seen.half_done) and (seen.state.token, seen.state.weights) == (token, wanted):
                    return self._answer(seen)
                raise_if_stale(seen.revision, expected_revision, partial(self._answer, seen))
                return self._write(held, seen, seen.state.with_weights(wanted, token), version)

    def set_targets(
        self, slot: str, addresses: Sequence[str], *, expected_revision: int | None, token: str
    ) -> StateAnswer:
        """As BalancerClient's. The weights that a person set by hand stay."""
        with _judged():
            wanted, token, slot = parse_addresses(list(addresses)), parse_token(token), parse_slot(slot)
            config = self._config()
            if own := {config.listen, config.test_listen}.intersection(wanted):
                raise InvalidState(f"addresses: {', '.join(map(str, own))} is the balancer itself")
            with self._writing() as held:
                seen, version = self._settled(held)
                if not seen.edited and (seen.state.token, seen.state.targets[slot]) == (token, wanted):
                    return self._answer(seen)
                raise_if_stale(seen.revision, expected_revision, partial(self._answer, seen))
                targets = {**seen.state.targets, slot: wanted}
                count = seen.state.revision + 1
                after = replace(seen.state, revision=count, weights=seen.weights, targets=targets, token=token)
                return self._write(held, seen, after, version)

    def cut(self, slot: str) -> int:
        """Close what is in flight on a slot; returns how many requests that were."""
        with _judged():
            slot, closed = parse_slot(slot), 0
            for tested in (False, True):
                backend = backend_of(slot, tested=tested)
                for name, row in stats.parse(self._cli.ask("show stat")).of(backend).items():
                    if count := stats.number(row, "scur"):
                        self._cli.tell(f"shutdown sessions server {backend}/{name}")
                        closed += count
            return closed

    def _config(self) -> Config:
        try:
            return load_config(self._directory)
        except ConfigError as error:
            raise Refused(str(error), status=500) from None

    def _look(self, entry: Entry | None = None) -> Seen:
        state, notice = load(self._directory)
        before = store.previous(self._directory)
        return Seen(state, before, entry or self._cli.entry(), disk_entry(self._directory), notice)

    def _writing(self) -> AbstractContextManager[store.StateStore]:
        return writing(self._directory, max(self._deadline - time.monotonic(), 0.0))

    def _looked(self) -> tuple[Seen, str]:
        """What is there, and a version of the map that was begun before looking."""
        version, entry = self._cli.begin()
        return self._look(entry), version

    def _settled(self, held: store.StateStore) -> tuple[Seen, str]:
        """The same, with nothing half done."""
        seen, version = self._looked()
        if seen.half_done:
            self._publish(held, seen.in_force, seen.state, version)
            return self._looked()
        return seen, version

    def _write(self, held: store.StateStore, seen: Seen, after: State, version: str) -> StateAnswer:
        """Disk, then servers, then route, then answer."""
        if time.monotonic() > self._deadline or held.seized:
            raise Unreachable(f"{self._directory}: came too late: nothing was changed", may_have_applied=False)
        try:
            held.save(after)
        except OSError as error:
            raise Refused(f"not carried out: {error}", status=500) from None
        self._publish(held, seen.in_force, after, version)
        return self._answer(self._look())

    def _publish(self, held: store.StateStore, before: State, after: State, version: str) -> None:
        try:
            if before.targets != after.targets:
                self._servers().sync(before, after)
            if held.seized:
                raise Overtaken
            # HAProxy keeps what it is told in memory only: what it starts with has to be there first.
            store.write_atomic(self._directory / MAP, file_text(entry_of(after)).encode())
            self._cli.commit(version, entry_of(after))
        except Overtaken:
            message = "somebody else, who did not wait for us, set the route meanwhile"
            raise Conflict(message, state=self._answer(self._look())) from None
        except OSError as error:
            raise Unreachable(f"{self._directory}: {error}", may_have_applied=True) from None

    def _servers(self) -> Servers:
        return Servers(self._directory, self._cli, self._config(), counters_id(self._directory))

    def _answer(self, seen: Seen) -> StateAnswer:
        now, state = time.time(), seen.state
        with _judged():
            found, base = stats.parse(self._cli.ask("show stat")), self._servers().base()

        def counted(slot: str, tested: bool) -> CountersAnswer:
            name = backend_of(slot, tested=tested)
            return stats.counters(found.backends.get(name), found.of(name).values(), base.get(name, {}))

        return StateAnswer(
            revision=seen.revision,
            weights=dict(seen.weights),
            targets={slot: stats.targets(found.of(backend_of(slot)), state.targets[slot], now) for slot in SLOTS},
            token=None if seen.edited else state.token,
            mark=read_mark(self._directory),
            counters={slot: counted(slot, False) for slot in SLOTS},
            test_counters={slot: counted(slot, True) for slot in SLOTS},
            counters_id=counters_id(self._directory),
            notice=seen.notice,
            at=now,
        )


def counters_id(directory: Path) -> str:
    """Counters begin anew with each HAProxy."""
    process = recorded(directory / PROCESS)
    return "unknown" if process is None else f"{process.pid}-{process.start}"


def disk_entry(directory: Path) -> Entry:
    try:
        return from_file((directory / MAP).read_text("utf-8", "replace"))
    except OSError:
        return ABSENT


@contextmanager
def _judged() -> Iterator[None]:
    """And what HAProxy says and nobody understands."""
    try:
        with judged():
            yield
    except stats.Unreadable as error:
        raise Refused(str(error), status=500) from None
