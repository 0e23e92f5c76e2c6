from __future__ import annotations

import subprocess
import sys
import time

import pytest

from rollout.notify.by_apprise import send_apprise
from rollout.notify.schedule import OWN_TROUBLE_S, Outcome
from tests.healthchecks.servers import Servers
from tests.notify.kit import a_message
from tests.notify.receivers import Receivers

PASSWORD = "hunter2-in-the-address"


def test_title_text_and_next_command_arrive(receivers: Receivers) -> None:
    """A chat shows that something happened, and not what to do."""
    receiver = receivers.start()
    told = a_message(text="It halted.\nreason: <b>5 > 3</b> & more")
    assert send_apprise(f"json://me:{PASSWORD}@127.0.0.1:{receiver.port}/x", told, 5.0) == Outcome()
    (request,) = receiver.received
    assert request.json["title"] == "shop: halted"
    assert request.json["message"] == "It halted.\nreason: <b>5 > 3</b> & more\nnext: rollout x"
    assert request.json["type"] == "failure"


@pytest.mark.parametrize(
    ("kind", "weight"), [("approval_wanted", "info"), ("rolled_back", "warning"), ("test", "info")]
)
def test_each_kind_has_its_weight(receivers: Receivers, kind: str, weight: str) -> None:
    """A test page looks like a fire, or a fire like a test."""
    receiver = receivers.start()
    assert send_apprise(f"json://127.0.0.1:{receiver.port}", a_message(kind), 5.0) == Outcome()
    assert receiver.received[0].json["type"] == weight


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_refusal_names_the_status(receivers: Receivers, status: int) -> None:
    """Nobody knows whether the address is wrong or the service is down."""
    outcome = send_apprise(f"json://127.0.0.1:{receivers.start(status).port}/{PASSWORD}", a_message(), 5.0)
    assert outcome == Outcome(f"the service answered {status}")


def test_redirects_are_not_followed(receivers: Receivers) -> None:
    """A service that was taken over sends our pages where it likes."""
    inside = receivers.start()
    receiver = receivers.start(307, headers={"location": inside.url})
    assert send_apprise(f"json://127.0.0.1:{receiver.port}", a_message(), 5.0).problem
    assert inside.received == []


def test_its_time_outs_are_ours(servers: Servers) -> None:
    """A chat that hangs holds a page for as long as Apprise likes."""
    began = time.monotonic()
    outcome = send_apprise(f"json://{servers.silent().address}", a_message(), 0.3)
    assert outcome == Outcome("the service did not take it")
    assert time.monotonic() - began < 3.0


@pytest.mark.parametrize("address", ["", "nonsense", f"nosuch://{PASSWORD}", f"slack://{PASSWORD}", "json://"])
def test_an_address_that_apprise_cannot_use_is_said_and_not_repeated(
    address: str, capfd: pytest.CaptureFixture[str], root_log: list[str]
) -> None:
    """A token with a typing error ends up in the journal and on the screen."""
    outcome = send_apprise(address, a_message(), 5.0)
    assert outcome == Outcome("its address is not one that apprise can use", wait_s=OWN_TROUBLE_S)
    assert ("".join(capfd.readouterr()), root_log) == ("", [])


def test_a_missing_apprise_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are configured, none comes, and nobody knows that an extra is missing."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    outcome = send_apprise("json://127.0.0.1", a_message(), 5.0)
    assert outcome.problem == "apprise is not installed: install rollout-manager[notify]"


PROGRAM = """
import sys
from rollout.notify.by_apprise import send_apprise
from rollout.notify.message import Message
message = Message("halted", 0.0, "title", "text", "next")
for address in sys.argv[1:]:
    assert send_apprise(address, message, 1.0).problem
"""


def test_nothing_of_it_is_printed_in_a_process_of_its_own(receivers: Receivers) -> None:
    """Python prints warnings that nobody handles: with them the address, on the screen of whoever runs a command."""
    port = receivers.start(500).port
    addresses = [
        f"json://me:{PASSWORD}@127.0.0.1:{port}/{PASSWORD}",
        f"jsons://me:{PASSWORD}@127.0.0.1:{port}/{PASSWORD}?verify=no",
        f"slack://{PASSWORD}",
        f"json://me:{PASSWORD}@{Servers.nobody()}/",
    ]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *addresses], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_processes_own_logging_gets_none_of_it(receivers: Receivers, root_log: list[str]) -> None:
    """A log that somebody set up for other things holds a token."""
    send_apprise(f"json://me:{PASSWORD}@127.0.0.1:{receivers.start(500).port}/{PASSWORD}", a_message(), 5.0)
    assert root_log == []
