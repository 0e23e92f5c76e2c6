"""The balancer in front of one service: set up, started again whenever it is missed, and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from providers.base import Clock, Conflict, HoldMark, Invalid, NotFound, Route, Slot, Transient, other
from providers.local import balancers, revision
from providers.local.balancer import client, launcher, store
from providers.local.balancer.answers import StateAnswer
from providers.local.balancer.config import CONFIG
from providers.local.balancer.state import InvalidState, Unservable, split_address
from providers.local.balancers import Client
from providers.local.files import read_json, write_json
from providers.local.options import Options
from providers.local.switch.kind import Switched, written
from providers.local.switch.model import Switch

R = TypeVar("R")
READ_S = 10.0  # a balancer that was killed is started again within this
WRITE_S = 2.0  # T: no write lands later than this after it began
ACT_S = 1.8  # of it, for the lock and all calls; the rest is for noting down what was done
BEGIN_S = 20.0  # until the first processes can be enabled
CALL_S = 1.5  # for the lock alone
OTHER_CHECKS = "use command, listening, fidelity and balancer"
CALL_SHARE_S = 0.7  # of ACT_S, what is left for the call itself when the balancer had to be started


class Front:
    def __init__(self, name: str, directory: Path, clock: Clock) -> None:
        self.name, self.directory, self._clock = name, directory, clock

    @property
    def exists(self) -> bool:
        return (self.directory / CONFIG).exists() and (self.directory / store.STATE).exists()

    @property
    def balancer(self) -> balancers.Balancer:
        """Which one it is; decided when it was set up."""
        return balancers.of(self.directory)

    def create(self, options: Options, slot: Slot, addresses: Sequence[str], folder: Path) -> None:
        """Write its files: all traffic to this slot. What is there already is kept. Raises Invalid.

        folder: where the owner's commands run, where they are in the place of a balancer.
        """
        config = {
            "listen": options.listen,
            "test_listen": options.test_listen,
            "health": {"path": options.health},
        }
        if not (self.directory / CONFIG).exists():
            try:
                chosen = written(options.switch, folder) if options.switch else balancers.written(options.balancer)
                write_json(self.directory / CONFIG, {**config, **chosen})
            except balancers.Unavailable as error:
                raise Invalid(f"service {self.name}: {error}") from None
        none: list[str] = []
        try:
            store.create(self.directory, {slot: 100, other(slot): 0}, {slot: addresses, other(slot): none})
        except (InvalidState, Unservable) as error:
            raise Invalid(f"service {self.name}: {error}") from None

    def begin(self, slot: Slot, token: str) -> None:
        """The first slot serves from now on. Without a balancer its processes have to be enabled, once they can be."""
        state = self.state()
        if self.switched is None or state["token"] is not None:
            return
        weights: dict[str, int] = {slot: 100, other(slot): 0}
        deadline = self._clock.now() + BEGIN_S
        while True:
            try:
                self.call(lambda b: b.set_weights(weights, expected_revision=None, token=token), READ_S)
                return
            except (Transient, Invalid):
                if self._clock.now() >= deadline:
                    raise
            self._clock.sleep(0.2)

    @property
    def switched(self) -> Switched | None:
        """The owner's commands, where they are in the place of a balancer."""
        kind = self.balancer
        return kind if isinstance(kind, Switched) else None

    def follow(self, switch: Switch | None, folder: Path) -> None:
        """Take over commands that were written otherwise since. Raises Invalid where there is a balancer instead."""
        if not self.exists or (switch is None and self.switched is None):
            return
        if switch is None or self.switched is None:
            stands, says = ("behind a balancer", "has") if self.switched is None else ("without one", "has no")
            raise Invalid(
                f"service {self.name}: it stands {stands}, and the fleet file {says} options.switch; "
                f"rollout down {self.name} and rollout up {self.name} change that"
            )
        config = read_json(self.directory / CONFIG)
        if {**config, **written(switch, folder)} != config:
            write_json(self.directory / CONFIG, {**config, **written(switch, folder)})

    def keep_off(self, slot: Slot) -> None:
        """Without a balancer: the first process of a standby slot must not find its side enabled. Raises Transient."""
        kind = self.switched
        if kind is not None and self.exists:
            self.call(lambda _: kind.client(self.directory, CALL_S).keep_off(slot), READ_S)

    def state(self) -> StateAnswer:
        """Raises NotFound, Transient."""
        return self.call(lambda balancer: balancer.state(), READ_S)

    def write(self, act: Callable[[Client], R], deadline: float) -> R:
        """`act`, over by the deadline, whatever it calls.

        Raises Transient (may have been applied), Conflict, Invalid, NotFound.
        """
        return self.call(act, deadline - self._clock.now())

    def call(self, act: Callable[[Client], R], timeout_s: float) -> R:
        if not self.exists:
            raise NotFound(f"service {self.name} has no balancer in {self.directory}; stand it up first")
        deadline = self._clock.now() + timeout_s
        try:
            self.balancer.ensure_running(self.directory, max(timeout_s - CALL_SHARE_S, 0.1))
            left = deadline - self._clock.now()
            if left <= 0:
                raise Transient(f"service {self.name}: no time was left to ask its balancer; nothing changed")
            return act(self.balancer.client(self.directory, left))
        except client.Conflict as error:
            raise Conflict(f"service {self.name}: {error}") from None
        except client.Refused as error:
            kind = Invalid if 400 <= error.status < 500 else Transient
            raise kind(f"service {self.name}: the balancer refused: {error}") from None
        except (client.BalancerError, launcher.LaunchError, OSError) as error:
            raise Transient(f"service {self.name}: {error}") from None

    def route(self, state: StateAnswer) -> Route:
        """Raises Transient when the mark cannot be read: nobody may act on half a route."""
        mark = state["mark"]
        try:
            held = None if mark is None else HoldMark.from_json(mark)
        except KeyError:
            raise Transient(f"service {self.name}: its hold mark cannot be read: {mark}") from None
        weights: dict[Slot, int] = {"blue": state["weights"]["blue"], "green": state["weights"]["green"]}
        waited_s = state.get("waited_s", 0.0)
        note = f"no side took new work for {waited_s:.1f} s" if waited_s else ""
        return Route(weights, revision.of(self.directory, state), held, note)

    def share(self, slot: Slot) -> int:
        """Percent of the traffic that the slot is declared to have, from the file: also while nobody answers."""
        if not self.exists:
            return 0
        try:
            return int(self.balancer.on_file(self.directory)[slot])
        except (store.StateUnusable, OSError) as error:
            raise Transient(f"service {self.name}: {error}") from None

    def target_ports(self) -> set[int]:
        """The ports of all targets that are on file."""
        if not self.exists:
            return set()
        with suppress(store.StateUnusable, OSError):
            targets = store.load(self.directory)[0].targets.values()
            return {split_address(address)[1] for addresses in targets for address in addresses}
        return set()

    def raise_if_serving(self, slot: Slot, act: str) -> None:
        share = self.share(slot)
        if share:
            raise Invalid(f"service {self.name}: {slot} has {share} % of the traffic and cannot be {act}")

    def test_address(self) -> str:
        if self.switched is not None:
            raise Invalid(f"service {self.name} stands behind no balancer, so there is no test route: {OTHER_CHECKS}")
        config = read_json(self.directory / CONFIG)
        if config is None:
            raise NotFound(f"service {self.name} has no balancer yet; stand it up first")
        return str(config["test_listen"])
