"""What a fleet file says of no one service: who is told, what is kept, how much runs at once, the policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.news import NEWS_KINDS
from rollout.settings import SettingsErrors, parse_fleet
from tests.settings.conftest import Read, Refused, ToyCatalogue, service

HOOK = "webhook: https://ops.example.com/rollout, secret: {env: HOOK_SECRET}"


def told(*receivers: str, more: str = "") -> str:
    """A fleet with these receivers, from line 8 on."""
    return service() + f"notify:\n  to:\n{''.join(f'    - {{{each}}}{chr(10)}' for each in receivers)}{more}"


def test_defaults(fleet: Read) -> None:
    """Nobody is told too late, nothing leaves the store, and no more runs at once than before."""
    read = fleet(service())
    assert (read.notify.to, read.notify.way_back_ending_s) == ((), 3600)
    assert (read.keep.checkpoints, read.keep.archive, read.keep.journals_s) == (None, None, None)
    assert read.keep.checkpoint_every_s == 3600
    assert (read.serve.jobs, read.policy.require_ref) == (8, ())
    assert read.services["shop"].rollback_while_warm is False


def test_all_of_it_is_read(fleet: Read, tmp_path: Path) -> None:
    """What was written down holds for nobody."""
    text = told(
        "name: team, apprise: {env: TEAM_CHAT_URL}, on: [halted, rolled_back]",
        "name: hooks, webhook: https://ops.example.com/rollout, secret: {file: keys/hook}, private: true",
        more="  way_back_ending: 30m\n"
        "keep: {checkpoints: ./cp, checkpoint_every: 5m, journals: 400d, archive: /old}\n"
        "serve: {jobs: 3}\npolicy: {require_ref: [start, approve]}\n",
    ).replace("    coexist: safe\n", "    coexist: safe\n    rollback_while_warm: true\n")
    read = fleet(text)
    team, hooks = read.notify.to
    assert (team.name, team.on, team.apprise, team.webhook) == ("team", NEWS_KINDS[:2], {"env": "TEAM_CHAT_URL"}, None)
    assert (hooks.on, hooks.webhook, hooks.private) == (NEWS_KINDS, "https://ops.example.com/rollout", True)
    assert hooks.secret == {"file": str(tmp_path / "keys/hook")}, "relative to the fleet file"
    assert read.notify.way_back_ending_s == 1800
    assert (read.keep.checkpoints, read.keep.checkpoint_every_s) == ("./cp", 300)
    assert (read.keep.journals_s, read.keep.archive) == (400 * 86400, "/old")
    assert (read.serve.jobs, read.policy.require_ref) == (3, ("start", "approve"))
    assert read.services["shop"].rollback_while_warm is True


CASES = {
    # text: (line, key, found, allowed, problem)
    told("name: a"): (
        *(8, "notify.to[0]", "a mapping"),
        *("either apprise, or webhook with secret; two receivers for both", "nowhere to tell it"),
    ),
    told("name: a, apprise: {env: A}, " + HOOK): (
        *(8, "notify.to[0]", "a mapping"),
        *("either apprise, or webhook with secret; two receivers for both", "two ways to tell it"),
    ),
    told("name: a, webhook: https://ops.example.com/"): (
        *(8, "notify.to[0].secret", ""),
        *("{env: NAME} or {file: PATH}", "webhooks are signed, and secret is missing"),
    ),
    told("name: a, apprise: {env: A}, secret: {env: B}"): (8, "notify.to[0].secret", "", "only beside webhook", ""),
    told("name: a, apprise: {env: A}, private: true"): (8, "notify.to[0].private", "", "only beside webhook", ""),
    told("apprise: {env: A}"): (8, "notify.to[0].name", "", "what this receiver is called", "missing"),
    told("name: A!, apprise: {env: A}"): (
        *(8, "notify.to[0].name", "'A!'", "a-z, 0-9 and -, beginning with a letter, at most 40", ""),
    ),
    told("name: a, apprise: {env: A}", "name: b, " + HOOK, "name: a, " + HOOK): (
        *(10, "notify.to[2].name", "'a'", "a name of its own", "another receiver has this name"),
    ),
    told("name: a, apprise: {env: A}, on: []"): (
        *(8, "notify.to[0].on", "an empty list"),
        *("at least one kind of news; without the key: all", "it would never be told anything"),
    ),
    told("name: a, apprise: {env: lower}"): (8, "notify.to[0].apprise", "", "{env: NAME} or {file: PATH}", ""),
    service() + "notify: {way_back_ending: 0s}\n": (6, "notify.way_back_ending", "'0s'", "more than 0s", ""),
    service() + "keep: {journals: 400d}\n": (
        *(6, "keep.journals", "'400d'", "together with archive: DIR; or leave journals out to keep them for ever"),
        "entries would be gone for good",
    ),
    service() + "keep: {journals: 3661d, archive: a}\n": (6, "keep.journals", "'3661d'", "at most 3660d", ""),
    service() + "keep: {checkpoint_every: 367d}\n": (6, "keep.checkpoint_every", "'367d'", "at most 366d", ""),
    service() + "keep: {archive: ~/old}\n": (
        *(6, "keep.archive", "'~/old'", "a folder, relative to the fleet file or absolute; ~ is not expanded", ""),
    ),
    service() + "serve: {jobs: 0}\n": (6, "serve.jobs", "0", "1 or more", ""),
    service() + "serve: {jobs: 65}\n": (6, "serve.jobs", "65", "64 or less", ""),
    service() + "policy: {require_ref: [start, rollback]}\n": (
        *(6, "policy.require_ref[1]", "'rollback'", "'start' or 'approve'"),
        "a way back that waits for a ticket is none: a rollback never needs one",
    ),
    service("rollback_while_warm: always"): (6, "services.shop.rollback_while_warm", "'always'", "true or false", ""),
}


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_wrong_value_is_told_in_full(refused: Refused, text: str) -> None:
    """Users search for what is wrong, or nobody is told and nobody knows."""
    (error,) = refused(text)
    assert (error.line, error.key, error.found, error.allowed, error.problem) == CASES[text]


SECRET = "xoxb-4711-hunter2"
WRITTEN_OUT = [
    f"name: a, apprise: 'slack://{SECRET}/b/c'",
    f"name: a, apprise: {SECRET}",
    f"name: a, apprise: [{SECRET}]",
    f"name: a, apprise: {{env: A, file: {SECRET}}}",
    f"name: a, webhook: https://ops.example.com/, secret: {SECRET}",
    f"name: a, webhook: 'https://me:{SECRET}@ops.example.com/', secret: {{env: A}}",
    f"name: a, webhook: 'https://{SECRET}@ops.example.com/', secret: {{env: A}}",
    f"name: a, webhook: 'ftp://ops.example.com/{SECRET}', secret: {{env: A}}",
    f"name: a, webhook: '{SECRET}', secret: {{env: A}}",
    f"name: a, webhook: 'https:///{SECRET}', secret: {{env: A}}",
    f"name: a, webhook: 'https://ops.example.com:0/{SECRET}', secret: {{env: A}}",
    f"name: a, webhook: 'https://ops.example.com:99999/{SECRET}', secret: {{env: A}}",
    f"name: a, webhook: 'https://[::1/{SECRET}', secret: {{env: A}}",
    f"name: a, webhook: 'https://ops.example.com/{SECRET} b', secret: {{env: A}}",
    f"name: a, webhook: 'https://ops.example.com/#{SECRET}', secret: {{env: A}}",
    f"name: a, webhook: 'https://ops.exämple.com/{SECRET}', secret: {{env: A}}",
    f"name: a, apprise: {{env: A}}, secret: {SECRET}",
    f"name: a, apprise_url: 'slack://{SECRET}'",
    f"name: 'slack://{SECRET}', apprise: {{env: A}}",
    f"name: a, apprise: {{env: A}}, on: 'slack://{SECRET}'",
]


@pytest.mark.parametrize("receiver", WRITTEN_OUT)
def test_secret_that_is_written_out_is_refused_and_not_repeated(refused: Refused, receiver: str) -> None:
    """A chat's address, which lets everybody post to it, ends up in a log of CI."""
    errors = refused(told(receiver))
    assert SECRET not in "".join(map(str, errors))
    assert {error.line for error in errors} == {8}


def test_address_in_the_place_of_receivers_is_not_repeated(refused: Refused) -> None:
    """The shortest wrong way to write it tells the secret."""
    for text in (
        f"notify: slack://{SECRET}\n",
        f"notify: {{to: slack://{SECRET}}}\n",
        f"notify: {{to: [x://{SECRET}]}}\n",
    ):
        (error,) = refused(service() + text)
        assert SECRET not in str(error) and error.found == "an address"


@given(st.sampled_from(["apprise", "secret"]), st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=12))
def test_no_literal_is_ever_a_reference(key: str, literal: str) -> None:
    """Some literal passes for a reference, and a secret stands in plans and journals."""
    quoted = "'" + literal.replace("'", "''") + "'"
    beside = "" if key == "apprise" else "webhook: https://ops.example.com, "
    text = told(f"name: a, {beside}{key}: {quoted}")
    with pytest.raises(SettingsErrors) as caught:
        parse_fleet(text.encode(), Path("fleet.yaml"), ToyCatalogue())
    (error,) = caught.value.errors
    assert (error.key, error.found) == (f"notify.to[0].{key}", "")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/a", "https://ops.example.com", "https://[::1]:8443/x?y=1", "HTTPS://OPS.EXAMPLE.COM/"],
)
def test_web_addresses(fleet: Read, url: str) -> None:
    """An address that works in a browser cannot be told anything."""
    (receiver,) = fleet(told(f"name: a, webhook: '{url}', secret: {{env: A}}")).notify.to
    assert receiver.webhook == url


def test_plain_data(fleet: Read) -> None:
    """`--json` of the settings, or a report, ends in an error."""
    read = fleet(told("name: a, " + HOOK))
    assert read.model_dump(mode="json")["notify"]["to"][0]["secret"] == {"env": "HOOK_SECRET"}
