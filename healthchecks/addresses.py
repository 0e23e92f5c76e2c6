"""Where a check may connect to: addresses are judged before anything is sent, and odd spellings are refused.

`pin(url)` reads a URL strictly, has its host resolved, refuses it unless *every* address found is allowed, and
returns one of them (`bases` and `places`: all): the connection is made to exactly that address, so nothing can
resolve differently between the judgement and the connection. Redirects are never followed.

Which rule holds depends on whose word the address is:

  an instance             the provider's own observation     `judge`: loopback and private, as a literal address only
  a test route            the provider's word; a balancer    `judge_public_or_private`: names too, for a balancer may
                          that may face the internet         be known by its name alone
  what people name        a check's own `url` or `address`,  `judge_public`; with `allow_private: true` (a webhook's
  themselves              the receiver of a webhook          `private: true`) `judge_public_or_private`

Link-local addresses and the clouds' metadata services are never allowed, whoever names them and whichever way they
are written: a check that could be led there would hand out the credentials of the host that it runs on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Sequence[str]]
"""All A and AAAA records of a name, as text."""
Judge = Callable[[Address], None]
"""Raises Refused for an address that may not be connected to."""

DEFAULT_PORTS = {"http": 80, "https": 443}
_ALLOWED = [
    ip_network(text) for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]
# Inside fc00::/7, but metadata services: AWS (also its time and name servers), GCP, Oracle. Azure's looks public.
_METADATA = [ip_network(text) for text in ("fd00:ec2::/32", "fd20:ce::/64", "fd00:c1::/64", "168.63.129.16/32")]
_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")  # an IPv4 address in its last 32 bits
# Protocols, tunnels (Teredo, 6to4) and documentation, which not every Python release knows to be special.
_SPECIAL = [
    ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]|\\")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.IGNORECASE)
_PORT = re.compile(r"[0-9]{1,5}")


class Refused(ValueError):
    """An address that a check may not connect to. The message never repeats user names or passwords."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A place to connect to: `address` was judged, `host` is what the URL said (for the Host header)."""

    scheme: str
    host: str
    address: Address
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """Host header: what the URL said, with the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def no_names(name: str) -> Sequence[str]:
    """The resolver for places that providers name by address only."""
    raise Refused(f"{_short(name)} is a name; only a literal address such as 127.0.0.1 can be asked")


def pin(url: str, resolve: Resolve = no_names) -> Pinned:
    """The one place that this base URL of an instance stands for; Refused says why there is none."""
    return bases(url, resolve, judge)[0]


def bases(url: str, resolve: Resolve, judge: Judge) -> tuple[Pinned, ...]:
    """All places that a base URL stands for: it has no query, and paths are put behind it."""
    if "?" in url:
        raise Refused("a base address has no query")
    return tuple(replace(each, path=each.path.rstrip("/")) for each in places(url, resolve, judge))


def raise_if_never_allowed(url: str, judge: Judge) -> None:
    """Refuse, before anything is resolved, a URL that `places` would refuse whatever its name stood for."""
    parts = _split(url)
    literal = _literal(parts.hostname or "", bracketed="[" in parts.netloc)
    for address in literal:
        judge(address)
    if not literal:
        _raise_if_no_name(parts.hostname or "")
    _port(parts)


def places(url: str, resolve: Resolve, judge: Judge) -> tuple[Pinned, ...]:
    """All places that this URL stands for, at least one, in the order of its records; its query is in their path.

    Refused unless every one of them is allowed.
    """
    parts = _split(url)
    host = parts.hostname or ""
    candidates = _literal(host, bracketed="[" in parts.netloc) or _resolved(host, resolve)
    for address in candidates:
        judge(address)
    port = _port(parts)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return tuple(Pinned(parts.scheme, host, address, port, path) for address in candidates)


def judge(address: Address) -> None:
    """Refuse whatever is not an address that a provider's own instances can have."""
    if not _within(address, _ALLOWED):
        raise Refused(f"{address} is neither a loopback nor a private address")
    _raise_if_metadata(address)


def judge_public(address: Address) -> None:
    """Refuse whatever is not on the public internet."""
    if not _is_public(address):
        raise Refused(f"{address} is not a public address")
    _raise_if_metadata(address)


def judge_public_or_private(address: Address) -> None:
    """Refuse what is neither on the public internet nor an address that a provider's own instances can have."""
    if _is_public(address):
        _raise_if_metadata(address)
    else:
        judge(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return _is_public(_embedded(address))
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not _within(address, _SPECIAL)


def _raise_if_metadata(address: Address) -> None:
    meant = _embedded(address) if isinstance(address, IPv6Address) and address in _NAT64 else address
    if _within(meant, _METADATA):
        raise Refused(f"{address} belongs to a cloud's metadata service")


def _embedded(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)


def _within(address: Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _split(url: str) -> SplitResult:
    if not url or _UNPRINTABLE.search(url):
        raise Refused("the address is empty or has spaces, backslashes, or characters other than plain ASCII")
    try:
        parts = urlsplit(url)
        netloc = parts.netloc
    except ValueError as error:
        raise Refused("the address cannot be read as a URL") from error
    if "@" in netloc:
        raise Refused("the address carries a user name or password")
    if parts.scheme not in DEFAULT_PORTS:
        raise Refused(f"{_short(parts.scheme)} cannot be asked, only http:// and https://")
    if "#" in url:
        raise Refused("the address has a fragment")
    if "%" in netloc:
        raise Refused("the host is percent-encoded or carries a zone")
    return parts


def _port(parts: SplitResult) -> int:
    text = parts.netloc.rpartition("]")[2].partition(":")
    if not text[1]:
        return DEFAULT_PORTS[parts.scheme]
    if not _PORT.fullmatch(text[2]) or not 1 <= int(text[2]) <= 65535:
        raise Refused(f"{_short(text[2])} is not a port")
    return int(text[2])


def _literal(host: str, bracketed: bool) -> list[Address]:
    """The address that `host` spells in the one usual way; empty for a name; Refused for other spellings."""
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if bracketed != isinstance(address, IPv6Address):
        raise Refused(f"{_short(host)} is not an IPv6 address in brackets")
    if address is not None:
        return [address]
    # 127.1, 0x7f000001, 2130706433, 0177.0.0.1: other programs read these as IPv4 addresses.
    if re.fullmatch(r"0[xX][0-9a-fA-F]*|[0-9]+", host.rstrip(".").rpartition(".")[2]):
        raise Refused(f"{_short(host)} is an unusual spelling of an address")
    return []


def _raise_if_no_name(host: str) -> None:
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise Refused(f"{_short(host)} is not a host name")


def _resolved(host: str, resolve: Resolve) -> list[Address]:
    _raise_if_no_name(host)
    found = list(resolve(host))
    if not found:
        raise Refused(f"{_short(host)} has no address")
    try:
        return [ip_address(text) for text in found]
    except ValueError as error:
        raise Refused(f"{_short(host)} resolves to something that is not an address") from error


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
