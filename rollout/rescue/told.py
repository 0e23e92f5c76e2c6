"""What is said on the way, and how it ends where it does not end well. Standard library only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollout import exits

if TYPE_CHECKING:
    from rollout.card import Card


class Told:
    """Takes what is said: a line for people, and facts for one document. Subclasses `write` the line somewhere.

    One object for one rollback; nothing is shared, so many may run in threads.
    """

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def say(self, line: str, **facts: Any) -> None:
        self.facts.update(facts)
        self.write(line, facts)

    def write(self, line: str, facts: dict[str, Any]) -> None:
        """Nowhere, unless a subclass says where."""


class Refusal(Exception):
    """The emergency path will not act; the message says why, and the next command. `code` 0: nothing is to be done."""

    def __init__(self, message: str, code: int = exits.PERSON_NEEDED, **facts: Any) -> None:
        super().__init__(message)
        self.code, self.facts = code, facts

    @property
    def how(self) -> str:
        return "nothing to do" if self.code == exits.DONE else "rollback refused"


class WayBackClosed(Refusal):
    """The other side was given up: only a new one leads back."""

    def __init__(self, card: Card, message: str) -> None:
        super().__init__(message)
        self.card = card


class Unfinished(Refusal):
    """Something was changed already, and a person is needed for the rest."""

    how = "rollback not finished"
