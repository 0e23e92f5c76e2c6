"""Who is told of what. A secret is a reference here, read at the moment of its use and kept nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.news import NewsKind

SecretRef = Mapping[str, str]
"""{"env": NAME} or {"file": PATH}."""

SECRET_BYTES = 16 * 1024


class SecretMissing(Exception):
    """A secret cannot be read; the message names the reference, never what it stands for."""


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody to tell of the kinds in `on`: through Apprise (its address is a secret), or by a webhook.

    `secret` signs the webhook; `private` allows a webhook on this machine or a private network, and http://.
    """

    name: str
    on: tuple[NewsKind, ...]
    apprise: SecretRef | None = None
    webhook: str | None = None
    secret: SecretRef | None = None
    private: bool = False

    def __post_init__(self) -> None:
        if (self.apprise is None) == (self.webhook is None):
            raise ValueError(f"{self.name} needs either apprise or webhook")


def targets_of(notify: Any) -> tuple[Target, ...]:
    """The targets in the settings: each of `notify.to` with the attributes of a Target."""
    return tuple(
        Target(
            name=str(each.name),
            on=tuple(each.on),
            apprise=dict(each.apprise) if each.apprise else None,
            webhook=str(each.webhook) if each.webhook else None,
            secret=dict(each.secret) if each.secret else None,
            private=bool(each.private),
        )
        for each in notify.to
    )


def read_secret(ref: SecretRef) -> str:
    """What a reference stands for, without white space around it; SecretMissing says why there is nothing."""
    if "env" in ref:
        where, text = f"the variable {ref['env']}", os.environ.get(ref["env"])
        if text is None:
            raise SecretMissing(f"{where} is not set")
    else:
        where = f"the file {ref['file']}"
        text = _read(where, Path(ref["file"]).expanduser())
    text = text.strip()
    if not text:
        raise SecretMissing(f"{where} is empty")
    return text


def _read(where: str, path: Path) -> str:
    problem = ""
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES + 1)
        if len(content) <= SECRET_BYTES:
            return content.decode("utf-8")
        problem = "is too large for a secret"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "is not text"
    raise SecretMissing(f"{where} {problem}")  # out here: the cause of another exception could quote the content
