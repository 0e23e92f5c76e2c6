"""All of the hotline that `rollout serve` runs beside its engine: who listens, what is kept warm, what is rehearsed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rollout import rehearsals
from rollout.engine.serve import Chore
from rollout.hotline.answering import Answering
from rollout.hotline.listener import Hotline
from rollout.hotline.warm import EVERY_S, Warmth

if TYPE_CHECKING:
    from rollout.hotline.web import Listen, Page, Web
    from rollout.wiring import Installation

ENDED_S = 20.0
"""So long whoever is being answered may still be answered when the server stops; after that he goes on by himself."""
SEE_S = 5.0
DRILLS_S = 60.0


class Switchboard:
    """`pages` are what else is answered on the net, such as metrics: path → Page."""

    def __init__(
        self,
        installation: Installation,
        say: Callable[[str], None],
        log: Any,
        listen: Listen | None = None,
        pages: dict[str, Page] | None = None,
    ) -> None:
        self._installation, self._say, self._log = installation, say, log
        self._answer = Answering(installation.fleet_file, lambda **said: log.info("hotline", **said))
        self._hotline: Hotline | None = None
        self._said = False
        self._web = self._made_web(listen, pages or {}) if listen else None
        self._warmth = Warmth(installation.cards, self._warm)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Answer while the body runs. What cannot be listened at is said, and tried again by a chore."""
        self._listen()
        if self._web is not None:
            self._web.open()
        try:
            yield
        finally:
            if self._web is not None:
                self._web.close()
            if self._hotline is not None:
                self._hotline.close(ENDED_S)

    def chores(self) -> list[Chore]:
        """None of them needs the engine, and but for the drills none needs the store."""
        clock = self._installation.clock
        return [
            Chore("hotline", SEE_S, self._listen, needs_store=False, each=True),
            Chore("warm", EVERY_S, lambda: self._warmth.keep(clock.now()), aside=True, needs_store=False, each=True),
            Chore("kept drills", SEE_S, lambda: self._told(rehearsals.journal_kept(self._installation)), each=True),
            Chore("drills", DRILLS_S, lambda: self._told(rehearsals.rehearse(self._installation)), aside=True),
        ]

    def read_again(self) -> None:
        """The certificate, where there is one. Raises BadListen."""
        if self._web is not None:
            self._web.read_again()

    def _made_web(self, listen: Listen, pages: dict[str, Page]) -> Web:
        from rollout.hotline.web import PATH, Web, rollback_page

        return Web(listen, {**pages, PATH: rollback_page(self._answer, self._trouble)}, self._trouble)

    def _listen(self) -> None:
        """Also anew, where somebody took the socket away."""
        if self._hotline is not None and self._hotline.is_ours:
            return
        hotline = Hotline(self._installation.state_dir, self._answer, self._trouble)
        if hotline.open():
            before, self._hotline, self._said = self._hotline, hotline, False
            if before is not None:
                before.close()
        elif not self._said:
            self._said = True
            self._say(f"another process answers at {hotline.path}; rollout rollback works, there or directly")

    def _told(self, done: list[Any]) -> None:
        for each in done:
            self._log.info("drill", about=str(each)[:1000])

    def _warm(self, service: str, problem: str) -> None:
        self._log.info("warm", service=service, problem=problem)
        if problem:
            self._say(f"{service}: its balancer cannot be read, so a rollback could not now either: {problem}")
        else:
            self._say(f"{service}: its balancer can be read again")

    def _trouble(self, what: str, error: BaseException) -> None:
        self._log.error("trouble", what=what, kind=type(error).__name__, text=str(error))
