"""What a fleet file says of no one service: who is told what, what is kept, how much runs at once, the policy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from rollout.calendar.hours import Hours
from rollout.fleetfile.explain import refused
from rollout.fleetfile.timing import MANY, Blackouts, Zone, hours_of
from rollout.fleetfile.values import Folder, HostPort, LongSpan, Name, PositiveSpan, Reference, Settings, WebAddress
from rollout.news import NEWS_KINDS, NewsKind

_ONE_WAY: dict[str, Any] = {
    "oneOf": [
        {
            "required": ["apprise"],
            "properties": {
                "apprise": {"type": "object"},
                "webhook": {"type": "null"},
                "secret": {"type": "null"},
                "private": {"const": False},
            },
        },
        {
            "required": ["webhook", "secret"],
            "properties": {
                "webhook": {"type": "string"},
                "secret": {"type": "object"},
                "apprise": {"type": "null"},
            },
        },
    ]
}
_ARCHIVE_FIRST: dict[str, Any] = {
    "if": {"required": ["journals"], "properties": {"journals": {"type": "string"}}},
    "then": {"required": ["archive"], "properties": {"archive": {"type": "string"}}},
}


def _something_told(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if not kinds:
        raise refused("it would never be told anything", "at least one kind of news; without the key: all")
    return kinds


class Receiver(Settings):
    """Who is told: an Apprise address (chat, mail, pager), or a webhook that is signed with `secret`."""

    model_config = ConfigDict(json_schema_extra=_ONE_WAY)

    name: Name = Field(description="what this receiver is called")
    on: Annotated[tuple[NewsKind, ...], AfterValidator(_something_told)] = Field(
        default=NEWS_KINDS, description="The news that it is told (default: all).", json_schema_extra={"minItems": 1}
    )
    apprise: Reference | None = Field(default=None, description="Where the Apprise address is read: it is a secret.")
    webhook: WebAddress | None = Field(default=None, description="The address that news is posted to.")
    secret: Reference | None = Field(default=None, description="Where the webhook's signing secret is read.")
    private: bool = Field(default=False, description="The webhook may be in a private network.")

    @model_validator(mode="after")
    def _one_way(self) -> Receiver:
        if (self.apprise is None) == (self.webhook is None):
            problem = "nowhere to tell it" if self.apprise is None else "two ways to tell it"
            raise refused(problem, "either apprise, or webhook with secret; two receivers for both")
        if self.webhook is not None and self.secret is None:
            raise refused("webhooks are signed, and secret is missing", "{env: NAME} or {file: PATH}", ("secret",))
        if self.apprise is not None and (self.secret is not None or self.private):
            raise refused(
                allowed="only beside webhook", at=("private" if self.secret is None else "secret",), hidden=True
            )
        return self


def _each_once(receivers: tuple[Receiver, ...]) -> tuple[Receiver, ...]:
    seen = set[str]()
    for at, receiver in enumerate(receivers):
        if receiver.name in seen:
            raise refused("another receiver has this name", "a name of its own", (at, "name"))
        seen.add(receiver.name)
    return receivers


class Notify(Settings):
    """Who is told at once, and of what."""

    to: Annotated[tuple[Receiver, ...], AfterValidator(_each_once)] = Field(
        default=(), description="The receivers; news is shown by `rollout status` without any."
    )
    way_back_ending_s: PositiveSpan = Field(
        default=3600.0, alias="way_back_ending", description="Told so long before a way back closes."
    )


class Keep(Settings):
    """What is kept of what was done, where, and for how long."""

    model_config = ConfigDict(json_schema_extra=_ARCHIVE_FIRST)

    checkpoints: Folder | None = Field(
        default=None, description="A folder for signatures of all journals; best on another disk."
    )
    checkpoint_every_s: PositiveSpan = Field(
        default=3600.0, alias="checkpoint_every", description="Between two checkpoints."
    )
    journals_s: LongSpan | None = Field(
        default=None, alias="journals", description="Entries older than this leave the store (default: never)."
    )
    archive: Folder | None = Field(default=None, description="A folder that gets the entries before they leave.")

    @model_validator(mode="after")
    def _archive_first(self) -> Keep:
        if self.journals_s is not None and self.archive is None:
            allowed = "together with archive: DIR; or leave journals out to keep them for ever"
            raise refused("entries would be gone for good", allowed, ("journals",))
        return self


class Serve(Settings):
    """`rollout serve`."""

    jobs: int = Field(default=8, ge=1, le=64, description="So many rollouts are advanced at the same time.")
    metrics: HostPort | None = Field(default=None, description="HOST:PORT that shows figures to Prometheus.")


def _never_a_rollback(command: Any) -> Any:
    if command == "rollback":
        raise refused("a way back that waits for a ticket is none: a rollback never needs one", "'start' or 'approve'")
    return command


class Policy(Settings):
    """What holds for all services."""

    deny_after_services: int = Field(
        default=2, ge=1, le=1000, description="An image that failed on so many services is denied to all."
    )
    require_ref: tuple[Annotated[Literal["start", "approve"], BeforeValidator(_never_a_rollback)], ...] = Field(
        default=(), description="Commands that need --ref TICKET; a rollback never does."
    )
    time_zone: Zone = Field(default="UTC", description="Of all windows, blackouts and schedules without their own.")
    blackouts: Blackouts = Field(
        default=(),
        description="Days on which nothing is begun anywhere; ways back always are.",
        json_schema_extra=MANY,
    )

    def hours(self) -> Hours:
        """When work may be done on anything."""
        return hours_of((), self.blackouts, self.time_zone)
