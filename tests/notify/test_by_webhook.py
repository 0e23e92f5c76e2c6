from __future__ import annotations

import base64
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from healthchecks.addresses import Refused
from healthchecks.fetch import Deadline
from healthchecks.resolve import resolve_all
from rollout.notify import by_webhook
from rollout.notify.by_webhook import judged, send_webhook
from rollout.notify.schedule import Outcome
from rollout.notify.target import Target
from tests.healthchecks.servers import Servers
from tests.notify.kit import KEY, SECRET_ENV, a_message, hook
from tests.notify.receivers import Receivers, certificate

NOW = 1_767_225_600.0


def send(target: Target, within_s: float = 5.0, now: float = NOW) -> Outcome:
    """One try at a target."""
    with Deadline(within_s) as deadline:
        return send_webhook(target, a_message(), "msg_1", now, deadline)


def nowhere(name: str) -> Sequence[str]:
    """A literal address is never looked up."""
    raise AssertionError("a literal address needs no look-up")


def test_a_receiver_can_verify_it_with_the_standards_own_library(receivers: Receivers) -> None:
    """Receivers refuse every page, or cannot tell a forged one."""
    receiver = receivers.start()
    now = int(time.time()) + 0.9  # the library compares it with the real time
    assert send(hook(receiver.url), now=now) == Outcome()
    (request,) = receiver.received
    verified = standardwebhooks.Webhook(KEY).verify(request.body, dict(request.headers))
    assert verified["type"] == "rollout.halted" and verified["data"]["title"] == "shop: halted"
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["webhook-timestamp"] == str(int(now))
    assert request.headers["content-type"] == "application/json"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(KEY).verify(request.body + b" ", dict(request.headers))


def test_a_whole_address_is_asked_for_with_its_query(receivers: Receivers) -> None:
    """Receivers that carry a key in their address get pages without it."""
    receiver = receivers.start()
    assert send(hook(f"{receiver.url}/?key=1&x=%2F")) == Outcome()
    assert send(hook(receiver.url.removesuffix("/hook"))) == Outcome()
    assert [request.path for request in receiver.received] == ["/hook/?key=1&x=%2F", "/"]
    assert receiver.received[0].headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_kind_of_yes_is_a_yes(receivers: Receivers, status: int) -> None:
    """Somebody is paged hourly for a day although each page arrived."""
    assert send(hook(receivers.start(status).url)) == Outcome()


@pytest.mark.parametrize(
    ("status", "most"), [(500, None), (503, None), (408, None), (425, None), (429, None), (400, 5), (404, 5), (410, 0)]
)
def test_each_kind_of_no_has_its_patience(receivers: Receivers, status: int, most: int | None) -> None:
    """A page is given up where a moment would have helped, or repeated where nothing will."""
    outcome = send(hook(receivers.start(status).url))
    assert f"answered {status}" in outcome.problem
    assert outcome.most_tries == most


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receivers: Receivers, status: int) -> None:
    """A receiver sends our page, signature and all, to an address that nobody judged."""
    inside = receivers.start()
    receiver = receivers.start(status, headers={"location": inside.url})
    assert send(hook(receiver.url)).problem == f"it answered {status}; redirects are not followed"
    assert inside.received == []


def test_proxies_of_the_environment_are_not_asked(receivers: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was judged is one address, and where it goes is another."""
    proxy, receiver = receivers.start(), receivers.start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert send(hook(receiver.url)) == Outcome()
    assert (len(proxy.received), len(receiver.received)) == (0, 1)


def test_a_receiver_that_hangs_costs_its_time_and_no_more(servers: Servers) -> None:
    """One dead receiver stops all pages."""
    assert send(hook(f"{servers.silent().url}/"), within_s=0.3).problem == "no answer in time"


def test_an_answer_that_drips_in_costs_its_time_and_no_more(servers: Servers) -> None:
    """One byte a second keeps a page open for ever."""
    dripping = servers.dripping(b"HTTP/1.1 200 OK\r\nx-long: ")
    assert send(hook(f"{dripping.url}/"), within_s=0.3).problem == "no answer in time"


def test_the_head_of_an_answer_is_enough(servers: Servers) -> None:
    """A page that arrived is sent again because its answer has a body without an end."""
    dripping = servers.dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")
    assert send(hook(f"{dripping.url}/"), within_s=3.0) == Outcome()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_a_connection_that_is_closed_or_speaks_otherwise_is_a_failure(servers: Servers, said: bytes) -> None:
    """Whatever listens there takes the page for all we know."""
    outcome = send(hook(f"{servers.saying(said).url}/"))
    assert outcome == Outcome("it hung up without an answer")


@pytest.mark.usefixtures("servers")
def test_nobody_there_is_a_failure_that_is_tried_again() -> None:
    """A receiver that restarts misses its page."""
    assert send(hook(f"http://{Servers.nobody()}/")) == Outcome("it takes no connection")


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.7",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "[::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[::ffff:8.8.8.8]",
        "[64:ff9b::a9fe:a9fe]",
    ],
)
def test_inner_addresses_are_refused(address: str) -> None:
    """A fleet file makes this host post to the services that trust it."""
    with pytest.raises(Refused):
        judged(f"https://{address}/", False, nowhere)


@pytest.mark.parametrize("address", ["169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "168.63.129.16", "0.0.0.0"])
def test_metadata_and_link_local_are_refused_to_private_targets_too(address: str) -> None:
    """`private: true` opens the metadata service along with the office network."""
    with pytest.raises(Refused):
        judged(f"https://{address}/", True, nowhere)


def test_public_addresses_need_tls_and_private_ones_need_to_be_allowed() -> None:
    """A page crosses the internet in the clear, or an office's own receiver cannot be told."""
    assert judged("https://8.8.8.8/", False, nowhere)[0].port == 443
    assert judged("http://10.0.0.7:81/", True, nowhere)[0].port == 81
    assert judged("https://8.8.8.8/", True, nowhere)
    with pytest.raises(Refused, match="can be read on its way"):
        judged("http://8.8.8.8/", False, nowhere)
    with pytest.raises(Refused, match="only a receiver with private: true"):
        judged("https://10.0.0.7/", False, nowhere)


@pytest.mark.parametrize("url", ["https://me:hunter2@8.8.8.8/", "ftp://8.8.8.8/", "https://134744072/", "https://a_b/"])
def test_odd_addresses_are_refused_without_repeating_a_password(url: str) -> None:
    """What was judged and what is connected to are two places, or a password is in the journal."""
    with pytest.raises(Refused) as refused:
        judged(url, True, lambda _: ["8.8.8.8"])
    assert "hunter2" not in str(refused.value)


def test_one_bad_record_refuses_a_name() -> None:
    """A name with one good address beside a bad one gets around the judgement."""
    with pytest.raises(Refused):
        judged("https://hooks.example/", False, lambda _: ["8.8.8.8", "127.0.0.1"])


def test_a_name_that_resolves_differently_the_second_time_gains_nothing(
    receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between judgement and connection the name is bound anew, to the inside (DNS rebinding)."""
    outside, inside = receivers.start(), receivers.start()
    answers = iter([["127.0.0.1"]])
    monkeypatch.setattr(by_webhook, "resolve_all", lambda name: next(answers))
    monkeypatch.setattr(socket, "getaddrinfo", _only_literals)
    assert send(hook(f"http://hooks.example:{outside.port}/")) == Outcome()
    assert outside.received[0].headers["host"] == f"hooks.example:{outside.port}"
    assert next(answers, "asked once") == "asked once" and inside.received == []


_look_up = socket.getaddrinfo


def _only_literals(host: str, *rest: Any, **more: Any) -> object:
    assert host == "127.0.0.1", f"{host} was looked up by the connection"
    return _look_up(host, *rest, **more)


def test_the_next_address_is_asked_where_the_first_takes_no_connection(
    receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver with a broken IPv6 address is never told."""
    receiver = receivers.start()
    monkeypatch.setattr(by_webhook, "resolve_all", lambda name: ["127.0.0.2", "127.0.0.1"])
    assert send(hook(f"http://hooks.example:{receiver.port}/")) == Outcome()
    assert len(receiver.received) == 1


def test_a_name_without_an_address_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that fails ends the process that pages."""

    def fails(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(Refused, match="cannot be resolved"):
        resolve_all("hooks.example")


def test_all_addresses_of_a_name_are_found_once() -> None:
    """An address that nobody judged is among those of the name."""
    found = resolve_all("localhost")
    assert found and len(found) == len(set(found)) and set(found) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(("named", "problem"), [("hooks.example", ""), ("other.example", "its certificate is not")])
def test_tls_is_verified_against_the_name_in_the_address(
    receivers: Receivers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str, problem: str
) -> None:
    """Whoever answers at the judged address is taken for the receiver."""
    file = certificate(tmp_path, named)
    receiver = receivers.start(tls=file)
    monkeypatch.setattr(by_webhook, "resolve_all", lambda name: ["127.0.0.1"])
    monkeypatch.setattr(by_webhook, "_trust", lambda: ssl.create_default_context(cafile=file))
    outcome = send(hook(f"https://hooks.example:{receiver.port}/"))
    assert outcome.problem.startswith(problem) and bool(outcome.problem) == bool(problem)
    assert len(receiver.received) == (0 if problem else 1)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    receivers: Receivers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Anybody between us and the receiver reads the page."""
    receiver = receivers.start(tls=certificate(tmp_path, "hooks.example"))
    monkeypatch.setattr(by_webhook, "resolve_all", lambda name: ["127.0.0.1"])
    outcome = send(hook(f"https://hooks.example:{receiver.port}/"))
    assert outcome.problem.startswith("its certificate is not trusted: self-signed")


# Secrets


@pytest.mark.parametrize(
    "secret",
    ["hunter2", "whsec_hunter2!", "whsec_", "whsec_" + base64.b64encode(b"short").decode(), "hünter2" * 9, "x" * 400],
)
def test_a_secret_that_signs_nothing_is_a_problem_that_does_not_repeat_it(
    receivers: Receivers, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """A mistyped secret signs with rubbish and no receiver takes it, or it is printed."""
    receiver = receivers.start()
    monkeypatch.setenv(SECRET_ENV, secret)
    outcome = send(hook(receiver.url))
    assert "its secret is not one of Standard Webhooks" in outcome.problem and outcome.wait_s is not None
    assert secret not in outcome.problem.replace("whsec_ and 24", "") and receiver.received == []


def test_nothing_is_sent_unsigned(receivers: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that does not check takes it, and then takes anybody's."""
    receiver = receivers.start()
    assert send(Target("hook", (), webhook=receiver.url, private=True)).problem == "it has no secret to sign with"
    monkeypatch.delenv(SECRET_ENV)
    assert send(hook(receiver.url)).problem == f"the variable {SECRET_ENV} is not set"
    monkeypatch.setitem(sys.modules, "standardwebhooks", None)
    assert "install rollout-manager[notify]" in send(hook(receiver.url)).problem
    assert receiver.received == []
