"""One signed webhook: a POST to an address that was judged. No redirects, no proxies, no retries.

Headers and signature are those of Standard Webhooks; `webhook-id` is the same for all tries of one delivery, so that
a receiver can tell that it had it already.
"""

from __future__ import annotations

import binascii
import json
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

import httpx

from healthchecks.addresses import Address, Pinned, Refused, Resolve, judge_public, judge_public_or_private, places
from healthchecks.fetch import Deadline
from healthchecks.resolve import resolve_all
from rollout.notify.message import Message
from rollout.notify.schedule import OWN_TROUBLE_S, REFUSALS, Outcome
from rollout.notify.target import SecretMissing, Target, read_secret

CONNECT_S = 3.0
ASK_AGAIN = (408, 425, 429)
GONE = 410


class Unsigned(Exception):
    """There is no signature; the message holds nothing of the secret."""


def send_webhook(target: Target, message: Message, idempotency_id: str, now: float, deadline: Deadline) -> Outcome:
    """One try. Never raises for what the network, the receiver or the settings do."""
    body = json.dumps(message.to_json(), separators=(",", ":"))
    try:
        headers = _signed(target, body, idempotency_id, now)
    except (SecretMissing, Unsigned) as problem:
        return Outcome(str(problem), wait_s=OWN_TROUBLE_S)
    try:
        found = judged(target.webhook or "", target.private, resolve_all)
    except Refused as refused:
        return Outcome(str(refused))
    return _first_that_connects(found, headers, body, deadline)


def judged(url: str, private: bool, resolve: Resolve) -> tuple[Pinned, ...]:
    """Where a webhook may go; Refused says why it may not."""
    found = places(url, resolve, judge_public_or_private if private else _judge_public)
    if found[0].scheme != "https" and not private:
        raise Refused("http:// can be read on its way: use https://, or private: true on a network of your own")
    return found


def _judge_public(address: Address) -> None:
    try:
        judge_public(address)
    except Refused as refused:
        raise Refused(f"{refused}; only a receiver with private: true may have a private one") from None


def _signed(target: Target, body: str, idempotency_id: str, now: float) -> dict[str, str]:
    try:
        import standardwebhooks
    except ImportError:
        raise Unsigned("standardwebhooks is not installed: install rollout-manager[notify]") from None
    if target.secret is None:
        raise Unsigned("it has no secret to sign with")
    key = _key(read_secret(target.secret))
    if not key:
        raise Unsigned("its secret is not one of Standard Webhooks: whsec_ and 24 to 64 bytes in base64")
    signed_at = datetime.fromtimestamp(int(now), UTC)
    return {
        "content-type": "application/json",
        "user-agent": "rollout-manager",
        "webhook-id": idempotency_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": standardwebhooks.Webhook(key).sign(idempotency_id, signed_at, body),
    }


def _key(secret: str) -> bytes:
    """Read strictly, for a receiver that reads it otherwise would refuse every signature; empty for what is no key."""
    text = secret.removeprefix("whsec_")
    try:
        key = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        return b""
    return key if 24 <= len(key) <= 64 else b""


def _first_that_connects(found: Sequence[Pinned], headers: dict[str, str], body: str, deadline: Deadline) -> Outcome:
    """A host may have several addresses; the next is asked only where the one before took no connection."""
    problem = ""
    for at in found:
        if not deadline.left:
            break
        try:
            return _judge(_post(at, headers, body, deadline))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            problem = _certificate(error) or "it takes no connection"
        except (httpx.TransportError, httpx.InvalidURL, OSError):
            return Outcome("it hung up without an answer" if deadline.left else "no answer in time")
    return Outcome(problem or "no answer in time")


def _post(at: Pinned, headers: dict[str, str], body: str, deadline: Deadline) -> int:
    """The status. What is in the answer is never read: the head says all, and a body may be endless."""
    target = at.path if at.path.startswith("/") else f"/{at.path}"
    url = httpx.URL(scheme=at.scheme, host=str(at.address), port=at.port, raw_path=target.encode("ascii"))
    extensions = {"trace": deadline.watch, "sni_hostname": at.host}
    left = max(deadline.left, 0.001)
    sent = {"host": at.authority, "accept-encoding": "identity", "connection": "close", **headers}
    timeout = httpx.Timeout(left, connect=min(CONNECT_S, left))
    with (
        httpx.Client(verify=_trust(), trust_env=False, follow_redirects=False, timeout=timeout) as client,
        client.stream("POST", url, content=body.encode(), headers=sent, extensions=extensions) as response,
    ):
        return response.status_code


def _judge(status: int) -> Outcome:
    if 200 <= status <= 299:
        return Outcome()
    if status == GONE:
        return Outcome("it answered 410: it is gone for good", most_tries=0)
    if 300 <= status <= 399:
        return Outcome(f"it answered {status}; redirects are not followed")
    refused = 400 <= status <= 499 and status not in ASK_AGAIN
    return Outcome(f"it answered {status}", most_tries=REFUSALS if refused else None)


def _certificate(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return ""


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()
