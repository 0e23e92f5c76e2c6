"""Whose word an address is, and what may therefore be asked there: the rules of `addresses`, by their source."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from healthchecks.addresses import (
    Judge,
    Pinned,
    Refused,
    bases,
    judge_public,
    judge_public_or_private,
    pin,
    places,
    raise_if_never_allowed,
)
from healthchecks.deadline import Deadline
from healthchecks.resolve import within
from providers.base import Instance


def of_instance(instance: Instance) -> Pinned:
    """An instance as its provider observed it, an address and a port."""
    return pin(f"http://{instance.address}")


def of_port(instance: Instance, port: int | None) -> Pinned:
    """An instance, at its own port (None) or another one."""
    own = of_instance(instance)
    return own if port is None else replace(own, port=port)


def of_test_route(url: str, deadline: Deadline) -> tuple[Pinned, ...]:
    """A slot's test route, which may be a balancer that only has a name."""
    return bases(url, within(deadline), judge_public_or_private)


def of_url(url: str, allow_private: bool, deadline: Deadline) -> tuple[Pinned, ...]:
    """What a check's options name themselves; the path begins with / and has the query."""
    try:
        found = places(url, within(deadline), _judge(allow_private))
    except Refused as refused:
        hint = "" if allow_private else "; only with allow_private: true may it be in a private network"
        raise Refused(f"{refused}{hint if 'not a public' in str(refused) else ''}") from None
    return tuple(each if each.path.startswith("/") else replace(each, path=f"/{each.path}") for each in found)


def of_address(address: str, allow_private: bool, deadline: Deadline) -> tuple[Pinned, ...]:
    """`host:port` that a check's options name themselves."""
    return of_url(_url(address), allow_private, deadline)


def raise_if_never_url(url: str, allow_private: bool) -> None:
    raise_if_never_allowed(url, _judge(allow_private))


def raise_if_never_address(address: str, allow_private: bool) -> None:
    if urlsplit(_url(address)).netloc != address or ":" not in address.rpartition("]")[2]:
        raise Refused("address is host:port")
    raise_if_never_allowed(_url(address), _judge(allow_private))


def _url(address: str) -> str:
    return f"https://{address}"


def _judge(allow_private: bool) -> Judge:
    return judge_public_or_private if allow_private else judge_public
