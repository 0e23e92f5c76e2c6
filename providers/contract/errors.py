"""The kinds of error that a platform may answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class ProviderError(Exception):
    """Anything that a platform answered instead of doing what was asked.

    ProviderError
    ├── Transient      may work in a moment: time-out, lost connection, 5xx. A write may have been applied
    │   └── Throttled  asked too often; nothing was applied
    ├── NotFound       what was named does not exist
    ├── Conflict       someone else changed it since it was read; nothing was applied
    ├── Denied         credentials or permissions; nothing was applied
    ├── PartlyDone     some of several routes; it says which
    └── Invalid        can never succeed as asked; the message says what is allowed
    """


class Transient(ProviderError):
    pass


class Throttled(Transient):
    pass


class NotFound(ProviderError):
    pass


class Conflict(ProviderError):
    pass


class Denied(ProviderError):
    pass


class Invalid(ProviderError):
    pass


class PartlyDone(ProviderError):
    """Some of several routes moved, and some did not: `done` names those, `failed` these, each with the command that
    moves it."""

    def __init__(self, message: str, done: Sequence[str], failed: Mapping[str, str]) -> None:
        super().__init__(message)
        self.done, self.failed = list(done), dict(failed)
