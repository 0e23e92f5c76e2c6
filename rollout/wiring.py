"""The composition root: a fleet file becomes settings, store, cards, providers, checks and a clock."""

from __future__ import annotations

import importlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout import state_dir

if TYPE_CHECKING:  # help and completion come through here: each part is imported when it is first needed
    from healthchecks.base import Subject, Verdict
    from providers.base import Clock, Context, Provider, Usage
    from rollout.card import CardFolder
    from rollout.means import Means
    from rollout.plan import CheckSpec
    from rollout.references import Resolved
    from rollout.settings import Fleet, ServiceSettings
    from rollout.store import Store


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(seconds, 0.0))


def steady() -> float:
    """Seconds of a clock that nobody can set, for how long something takes in this process."""
    return time.monotonic()


class UnknownService(Exception):
    """No such service in the fleet file; the message lists the known ones."""


class Installation:
    """One fleet file and everything that hangs on it; each part is made when it is first needed."""

    def __init__(self, fleet_file: Path, clock: Clock | None = None) -> None:
        self.fleet_file = fleet_file
        text = state_dir.head_of(fleet_file)
        self.state_dir = fleet_file.absolute().parent / (state_dir.written_state(text) or state_dir.DEFAULT_STATE)
        self.is_shared = state_dir.written_store(text) is not None
        self.clock: Clock = clock or (self._store_clock() if self.is_shared else SystemClock())
        self._fleet: Fleet | None = None
        self._store: Store | None = None
        self._providers: dict[str, Provider] = {}
        self._building = threading.RLock()
        self._options: dict[str, Any] = {}

    @property
    def fleet(self) -> Fleet:
        """The settings; SettingsErrors name file, line and key."""
        if self._fleet is None:
            from rollout.settings import load  # pydantic: only for commands that read settings

            self._fleet = load(self.fleet_file)
        return self._fleet

    def read_again(self) -> None:
        """Read the fleet file again; what was read before stays where it is wrong now (SettingsErrors)."""
        from rollout.settings import load

        self._fleet = load(self.fleet_file)

    @property
    def cards(self) -> CardFolder:
        from rollout.card import CardFolder

        return CardFolder(self.state_dir / "cards")

    @property
    def store_path(self) -> Path:
        """The SQLite file, where the store is one."""
        return state_dir.store_file_of(self.fleet_file)

    @property
    def store_name(self) -> str:
        """Where the store is, for people."""
        return self.store.path if self.is_shared else str(self.store_path)

    @property
    def has_store(self) -> bool:
        """False where nothing was kept yet."""
        return self.is_shared or self.store_path.exists()

    @property
    def store(self) -> Store:
        if self._store is None:
            from rollout.stores.opening import open_store

            self._store = open_store(self.fleet_file)
        return self._store

    def _store_clock(self) -> Clock:
        from rollout.stores.clock import StoreClock

        return StoreClock(lambda: self.store.db.time() or time.time(), steady, SystemClock().sleep)

    def service(self, name: str) -> ServiceSettings:
        if name not in self.fleet.services:
            from rollout.fleetfile.problems import listed, nearest

            near = nearest(name, self.fleet.services)
            hint = f"; did you mean {near}?" if near else "."
            known = listed(sorted(self.fleet.services))
            raise UnknownService(f"{self.fleet_file} has no service {name!r}{hint} Known: {known}")
        return self.fleet.services[name]

    @property
    def context(self) -> Context:
        from providers.base import Context

        state_dir.make_folder(self.state_dir)
        return Context(self.state_dir, self.fleet_file.absolute().parent, self.clock)

    def provider(self, name: str) -> Provider:
        """One for all who ask, whatever thread they are in: it has the clients, and one budget for calls."""
        with self._building:
            if name not in self._providers:
                build = getattr(adapter(name), name.partition(":")[2] or "build")
                self._providers[name] = build(self.context)
            return self._providers[name]

    def usages(self) -> dict[str, Usage]:
        """How often each provider that was used so far was called."""
        with self._building:
            return {name: made.usage() for name, made in self._providers.items() if made.usage}

    def means(self, provider: str) -> Means:
        from rollout.means import Means

        return Means(self.store, self.provider(provider), self.clock, self.cards, self.ask)

    def ask(self, spec: CheckSpec, subject: Subject) -> Verdict:
        """Put one configured check; whatever goes wrong is an unknown verdict."""
        from healthchecks import registry
        from healthchecks.base import Verdict
        from rollout.references import Resolved, resolved

        read = Resolved({})
        try:
            read = resolved(spec.options)
            module, options = self._check(spec.name, read)
        except Exception as error:  # it was removed, or has other options now: that blocks, and breaks no job
            why = "its options have secrets in them, so what is wrong is not shown" if read.hidden else str(error)
            return Verdict.unknown(f"check {spec.name} cannot be asked: {type(error).__name__}: {why}"[:400])
        return read.without(registry.ask_safely(module, options, subject))

    def _check(self, name: str, read: Resolved) -> tuple[Any, Any]:
        """The check's module and its options, as the plan has them; those with secrets in them are not kept."""
        import json

        from healthchecks import registry
        from rollout.journal import canonical

        key = canonical([name, read.options])
        if key not in self._options or read.hidden:
            from pydantic import TypeAdapter

            module = registry.load(name)
            typed: TypeAdapter[Any] = TypeAdapter(module.Options)
            found = (module, typed.validate_json(json.dumps(read.options)))
            if read.hidden:
                return found
            self._options[key] = found
        kept: tuple[Any, Any] = self._options[key]
        return kept


def adapter(name: str) -> Any:
    """The module of a provider: `aws` is providers/aws/adapter.py; `package.module:factory` is from outside."""
    module, _, factory = name.partition(":")
    return importlib.import_module(module if factory else f"providers.{name}.adapter")


def thin_rollback(provider: str) -> Any:
    """The provider's emergency module: `read`, `put_back`, `set_mark`; standard library only."""
    return importlib.import_module(f"providers.{provider}.rollback")
