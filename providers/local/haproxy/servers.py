"""HAProxy's servers, brought in line with a state while it runs: added before others are removed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from providers.local.balancer.config import Config
from providers.local.balancer.state import SLOTS, State
from providers.local.balancer.store import write_atomic
from providers.local.haproxy.cli import Cli
from providers.local.haproxy.stats import CLASSES, Row, Stats, parse, responses
from providers.local.haproxy.text import backend_of, name_of, server_words

REMOVED = "removed.json"
PATIENCE_S, RETRY_S = 0.2, 0.01  # for requests in flight on what is to be removed, all together
REGISTERED, DELETED = "New server registered.", "Server deleted."


class Servers:
    """counters_id: of the HAProxy that runs; what removed servers had answered is kept under it."""

    def __init__(self, directory: Path, cli: Cli, config: Config, counters_id: str) -> None:
        self._cli, self._config, self._id = cli, config, counters_id
        self._removed = directory / REMOVED

    def sync(self, before: State, after: State) -> None:
        """Have exactly the targets of `after`. What a person added or took out by hand is left as it is."""
        seen = parse(self._cli.ask("show stat"))
        for slot, tested in _backends():
            backend = backend_of(slot, tested=tested)
            fresh = set(after.targets[slot]) - set(before.targets[slot])
            for address in after.targets[slot]:
                row = seen.of(backend).get(name_of(address))
                if row is None or (address in fresh and row.get("status") == "MAINT"):
                    self._add(backend, address, tested, exists=row is not None)
        patience = time.monotonic() + PATIENCE_S
        for slot, tested in _backends():
            self._remove_surplus(backend_of(slot, tested=tested), slot, before, after, seen, patience)

    def base(self) -> Mapping[str, Mapping[str, int]]:
        """By backend and class: what servers answered that are gone."""
        try:
            kept = json.loads(self._removed.read_bytes())
            found = kept["backends"] if kept["id"] == self._id else {}
            return {name: {word: int(counts[word]) for word in CLASSES} for name, counts in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _add(self, backend: str, address: str, tested: bool, *, exists: bool) -> None:
        server = f"{backend}/{name_of(address)}"
        words = server_words(self._config, tested=tested)
        add = [] if exists else [f"add server {server} {address}{words}"]
        begin = [f"set server {server} state ready"]
        if not tested:
            # HAProxy takes a new server for healthy; here it has to pass its checks first.
            begin = [f"enable health {server}", *begin, f"set server {server} health down"]
        self._cli.tell("; ".join([*add, *begin]), REGISTERED if add else "")

    def _remove_surplus(
        self, backend: str, slot: str, before: State, after: State, seen: Stats, patience: float
    ) -> None:
        wanted = {name_of(address) for address in after.targets[slot]}
        ours = {name_of(address) for address in before.targets[slot]}
        for name, row in seen.of(backend).items():
            if name not in wanted and (name in ours or row.get("status") == "MAINT"):
                self._remove(backend, name, patience)

    def _remove(self, backend: str, name: str, patience: float) -> None:
        while True:
            shown = self._cli.ask(f"set server {backend}/{name} state maint; show stat")
            row = parse(shown.lstrip()).of(backend).get(name)
            deleted = self._cli.ask(f"del server {backend}/{name}").strip() == DELETED
            if deleted and row is not None:
                self._keep(backend, row)
            # With long requests on it, it stays, without new ones, until targets change again or HAProxy starts anew.
            if deleted or row is None or time.monotonic() >= patience:
                return
            time.sleep(RETRY_S)

    def _keep(self, backend: str, row: Row) -> None:
        base = {name: dict(counts) for name, counts in self.base().items()}
        had, more = base.get(backend, {}), responses([row])
        base[backend] = {word: had.get(word, 0) + more[word] for word in CLASSES}
        write_atomic(self._removed, json.dumps({"id": self._id, "backends": base}).encode())


def _backends() -> Iterator[tuple[str, bool]]:
    for slot in SLOTS:
        yield slot, False
        yield slot, True
