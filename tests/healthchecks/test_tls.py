from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from healthchecks import tls
from healthchecks.base import Verdict
from providers.base import TestRoute
from tests.healthchecks.certificates import BASE_S, DAY_S, Authority
from tests.healthchecks.fakes import World, instance
from tests.healthchecks.servers import Servers, said


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who is trusted."""
    return Authority.new(tmp_path)


def _ask(authority: Authority | None, *addresses: str, timeout_s: float = 5.0, **options: Any) -> Verdict:
    world = World(instances=[instance(number, address=address) for number, address in enumerate(addresses)])
    trusted = {"ca_file": str(authority.file)} if authority else {}
    asked = tls.Options(**{"name": "shop.internal", **trusted, **options})
    return tls.ask(asked, world.subject(timeout_s=timeout_s, now=BASE_S))


def test_a_good_certificate_passes_and_its_end_is_on_record(
    servers: Servers, authority: Authority, tmp_path: Path
) -> None:
    """A service with sound certificates cannot be patched, or nobody sees when they end."""
    verdict = _ask(authority, servers.secured(authority.context(tmp_path)).address)
    assert verdict.answer == "pass", verdict
    assert verdict.evidence["asked"][0]["ends"].endswith("+00:00")
    assert verdict.evidence["asked"][0]["protocol"] == "TLSv1.3"


def test_one_bad_certificate_among_good_ones_fails(servers: Servers, authority: Authority, tmp_path: Path) -> None:
    """A host that came back with an old certificate is hidden by the others."""
    good = servers.secured(authority.context(tmp_path)).address
    bad = servers.secured(authority.context(tmp_path, "other.internal")).address
    verdict = _ask(authority, good, bad)
    assert (verdict.answer, verdict.severity) == ("fail", 0.5)
    assert "green-1 shows a certificate that is not good" in verdict.summary


@pytest.mark.parametrize(
    ("days", "answer", "words"),
    [
        (-2000, "fail", "expired"),
        (1, "fail", "ends in 1.0 days; 14 are wanted"),
        (13.9, "fail", "13.9"),
        (15, "pass", ""),
    ],
)
def test_a_certificate_that_ends_soon_fails(
    days: float, answer: str, words: str, servers: Servers, authority: Authority, tmp_path: Path
) -> None:
    """A certificate ends in the night after a rollout that could have told."""
    verdict = _ask(authority, servers.secured(authority.context(tmp_path, days=days)).address)
    assert verdict.answer == answer, verdict
    assert words in verdict.summary


def test_how_soon_is_for_the_operator_to_say(servers: Servers, authority: Authority, tmp_path: Path) -> None:
    """Certificates that are renewed each week can never pass."""
    server = servers.secured(authority.context(tmp_path, days=5))
    assert _ask(authority, server.address, min_days=3).answer == "pass"
    assert _ask(authority, server.address, min_days=6).answer == "fail"


def test_a_chain_that_nobody_trusts_fails(servers: Servers, authority: Authority, tmp_path: Path) -> None:
    """A certificate that anybody could have made passes."""
    stranger = Authority.new(tmp_path, "stranger")
    server = servers.secured(stranger.context(tmp_path))
    assert _ask(authority, server.address).answer == "fail"
    assert _ask(None, server.address).answer == "fail"
    assert _ask(stranger, server.address).answer == "pass"


@pytest.mark.parametrize(
    ("host", "answer"),
    [("eu.shop.internal", "pass"), ("*.shop.internal", "pass"), ("shop.internal", "fail"), ("127.0.0.1", "fail")],
)
def test_the_certificate_is_for_the_name(
    host: str, answer: str, servers: Servers, authority: Authority, tmp_path: Path
) -> None:
    """A certificate for another service passes for this one's."""
    server = servers.secured(authority.context(tmp_path, host))
    assert _ask(authority, server.address, name="eu.shop.internal").answer == answer


def test_an_address_can_be_the_name(servers: Servers, authority: Authority, tmp_path: Path) -> None:
    """Certificates for addresses cannot be checked."""
    server = servers.secured(authority.context(tmp_path, "127.0.0.1"))
    verdict = _ask(authority, name=None, address=server.address, allow_private=True)
    assert verdict.answer == "pass", verdict


def test_no_connection_says_nothing_about_the_certificate(servers: Servers, authority: Authority) -> None:
    """A host that is down gets its image denied because of a certificate that nobody saw."""
    assert _ask(authority, servers.nobody()).answer == "unknown"
    assert _ask(authority, servers.silent().address, timeout_s=0.2).answer == "unknown"
    assert _ask(authority, servers.greeting(b"").address).answer == "unknown"


@pytest.mark.parametrize("what", [said("ok"), b"SSH-2.0-OpenSSH_9.9\r\n", b"\x15\x03\x01\x00\x02\x02\x28"])
def test_what_does_not_speak_tls_fails(what: bytes, servers: Servers, authority: Authority) -> None:
    """A replacement that lost its encryption passes as unclear until somebody waves it through."""
    verdict = _ask(authority, servers.greeting(what).address)
    assert verdict.answer == "fail", verdict


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that is the point
def test_an_old_protocol_fails(servers: Servers, authority: Authority, tmp_path: Path) -> None:
    """A patch that goes back to a broken protocol passes."""
    context = authority.context(tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert _ask(authority, servers.secured(context).address).answer == "fail"


def test_a_handshake_that_drips_is_cut_off(servers: Servers, authority: Authority) -> None:
    """One host holds up the gate, and with it the way back."""
    server = servers.dripping(b"\x16\x03\x03\x3f\xff")
    assert _ask(authority, server.address, timeout_s=0.3).answer == "unknown"


def test_the_test_route_is_asked_when_it_is_wanted(servers: Servers, authority: Authority, tmp_path: Path) -> None:
    """The balancer's own certificate is nobody's business."""
    good = servers.secured(authority.context(tmp_path)).address
    bad = servers.secured(authority.context(tmp_path, days=2)).address
    world = World(instances=[instance(1, address=good)], routes={"green": TestRoute(f"https://{bad}")})
    options = tls.Options("shop.internal", test_route=True, ca_file=str(authority.file))
    verdict = tls.ask(options, world.subject(now=BASE_S))
    assert (verdict.answer, verdict.summary.startswith("test route")) == ("fail", True)


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_authorities_that_cannot_be_read_are_unknown(content: str | None, servers: Servers, tmp_path: Path) -> None:
    """A missing file means that this host's own trust is taken instead."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    verdict = _ask(None, servers.nobody(), ca_file=str(file))
    assert (verdict.answer, "ca_file" in verdict.summary) == ("unknown", True)


def test_the_clock_of_the_rollout_decides_about_days(servers: Servers, authority: Authority, tmp_path: Path) -> None:
    """What is looked at in a rehearsal is not what is judged in the rollout."""
    server = servers.secured(authority.context(tmp_path, days=90))
    world = World(instances=[instance(1, address=server.address)])
    options = tls.Options("shop.internal", ca_file=str(authority.file))
    answers = [tls.ask(options, world.subject(now=BASE_S + days * DAY_S)).answer for days in (0, 80, 100)]
    assert answers == ["pass", "fail", "fail"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"name": ""},
        {"name": "a", "port": 0},
        {"name": "a", "min_days": -1},
        {"name": "a", "allow_private": True},
        {"address": "shop.example"},
        {"address": "10.0.0.1:443"},
        {"address": "169.254.169.254:443", "allow_private": True},
        {"address": "shop.example:443", "test_route": True},
        {"address": "shop.example:443", "port": 8443},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """A mistake in the fleet file shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match=r"name|port|min_days|address|private|host"):
        tls.Options(**options)
