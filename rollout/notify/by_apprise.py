"""One message through Apprise, which speaks to chats, mail and pagers. Its address is a secret, all of it.

What Apprise logs could repeat parts of that address or of an answer, so nothing of it is shown; the one thing taken
from it is the status that a service answered with.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any, Literal

from rollout.notify.message import Message
from rollout.notify.schedule import OWN_TROUBLE_S, Outcome

CONNECT_S = 3.0
_LOUD = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")
_ANSWERED = re.compile(r"\berror=([1-5][0-9]{2})\b")
_Weight = Literal["info", "warning", "failure"]
_WEIGHTS: dict[str, _Weight] = {
    "halted": "failure",
    "failing_while_warm": "failure",
    "way_back_weak": "warning",
    "drill_failed": "warning",
    "campaign_stopped": "warning",
    "store_trouble": "failure",
    "rolled_back": "warning",
    "way_back_ending": "warning",
}


def send_apprise(address: str, message: Message, within_s: float) -> Outcome:
    """One try. Its time-outs are set, but not all that Apprise does obeys them: call it where it can be left behind."""
    _quieten()
    try:
        import apprise
    except ImportError:
        return Outcome("apprise is not installed: install rollout-manager[notify]", wait_s=OWN_TROUBLE_S)
    # Its own limits use threads that a command's end would wait for.
    asset = apprise.AppriseAsset(
        app_id="rollout", app_desc="Rollout", async_mode=False, http_redirects=False, service_timeout=0
    )
    chat = apprise.Apprise(asset=asset)
    if not chat.add(address):
        return Outcome("its address is not one that apprise can use", wait_s=OWN_TROUBLE_S)
    for service in chat:
        service.socket_connect_timeout = min(CONNECT_S, within_s)
        service.socket_read_timeout = min(service.socket_read_timeout, within_s)
    result = chat.notify(
        title=message.title,
        body=message.body,
        notify_type=apprise.NotifyType(_WEIGHTS.get(message.kind, "info")),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return Outcome() if result else Outcome(_problem(result))


def _problem(result: Any) -> str:
    found = [_ANSWERED.search(entry.message) for entry in result.logs()]
    statuses = sorted({match[1] for match in found if match})
    return f"the service answered {', '.join(statuses)}" if statuses else "the service did not take it"


def _quieten() -> None:
    """No logger without a handler: Python would print its warnings, addresses and all, on stderr."""
    for name in _LOUD:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", module=rf"({'|'.join(_LOUD)})\b")
