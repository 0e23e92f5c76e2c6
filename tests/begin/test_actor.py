"""Who asked: the system's user, and what a CI job claims beside it. The claim never makes anybody somebody else."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.actor import LONGEST_CLAIM, ci_subject, same_person, this_actor, this_person

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_RUN_ID": "123",
    "GITHUB_ACTOR": "mona",
}
SYSTEMS = {
    "github:acme/shop@refs/heads/main run 123 by mona": GITHUB,
    "github:acme/shop@refs/heads/main run 123 by hubot": {**GITHUB, "GITHUB_TRIGGERING_ACTOR": "hubot"},
    "gitlab:acme/web/shop@main run 77 by tanuki": {
        "GITLAB_CI": "true",
        "CI_PROJECT_PATH": "acme/web/shop",
        "CI_COMMIT_REF_NAME": "main",
        "CI_JOB_ID": "77",
        "CI_PIPELINE_ID": "5",
        "GITLAB_USER_LOGIN": "tanuki",
    },
    "buildkite:acme/shop@main run 9 by Bea Keats": {
        "BUILDKITE": "true",
        "BUILDKITE_ORGANIZATION_SLUG": "acme",
        "BUILDKITE_PIPELINE_SLUG": "shop",
        "BUILDKITE_BRANCH": "main",
        "BUILDKITE_BUILD_NUMBER": "9",
        "BUILDKITE_BUILD_CREATOR": "Bea Keats",
    },
    "jenkins:patch/shop@main run 31": {
        "JENKINS_URL": "https://ci.example.com/",
        "JOB_NAME": "patch/shop",
        "BRANCH_NAME": "main",
        "BUILD_NUMBER": "31",
    },
    "jenkins:shop run 2 by butler": {
        "JENKINS_URL": "https://ci.example.com/",
        "JOB_NAME": "shop",
        "BUILD_NUMBER": "2",
        "BUILD_USER_ID": "butler",
    },
    "github:?": {"GITHUB_ACTIONS": "true"},
}
KNOWN = sorted({name for environ in SYSTEMS.values() for name in environ})


@pytest.mark.parametrize("claim", SYSTEMS)
def test_each_system_says_what_it_acts_for(claim: str) -> None:
    """The journal says `runner@host` of every rollout, and nobody can tell which pipeline it was."""
    assert ci_subject(SYSTEMS[claim]) == claim
    assert this_actor(SYSTEMS[claim]) == f"{this_person()} for {claim}"


@pytest.mark.parametrize("environ", [{}, {"CI": "true"}, {"GITHUB_ACTIONS": "false", "GITHUB_ACTOR": "mona"}])
def test_a_person_at_a_terminal_claims_nothing(environ: dict[str, str]) -> None:
    """A left-over variable gives a person's work to a pipeline."""
    assert this_actor(environ) == this_person()


ENVIRONS = st.dictionaries(st.sampled_from(KNOWN), st.text(max_size=300) | st.sampled_from(["true", " for root@host"]))


@given(ENVIRONS)
def test_a_claim_is_short_and_plain(environ: dict[str, str]) -> None:
    """A branch's name brings control characters to a terminal, or pages of text to the journal."""
    claim = ci_subject(environ)
    assert len(claim) <= LONGEST_CLAIM
    assert all(" " <= each <= "~" for each in claim)


@given(ENVIRONS, ENVIRONS)
def test_no_environment_makes_a_person_somebody_else(one: dict[str, str], other: dict[str, str]) -> None:
    """Whoever asked approves it too, as another pipeline."""
    assert same_person(this_actor(one), this_actor(other))
    assert same_person(this_actor(one), this_person())
    assert this_actor(one).startswith(this_person())


@given(st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}", fullmatch=True), st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}", fullmatch=True))
def test_two_people_stay_two(one: str, other: str) -> None:
    """A second person may not approve, because the pipeline's name is the same."""
    claim = ci_subject(GITHUB)
    assert same_person(f"{one} for {claim}", f"{other} for {claim}") == (one.split("@")[0] == other.split("@")[0])


def test_another_host_name_makes_no_second_person() -> None:
    """Whoever asked approves it too, from a container of his own with another host name."""
    assert same_person("eve@vm", "eve@container") and not same_person("eve@vm", "bob@vm")


def test_a_user_namespace_makes_nobody_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked approves it too, as the root of a namespace of his own."""
    maps = {"/proc/self/uid_map": "         0       4711          1\n"}
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(Path, "read_text", lambda path, *rest: maps[str(path)])
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    assert this_person().startswith("uid 4711@")


def test_a_users_name_cannot_look_like_a_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user called `eve for x` would be eve, and two users one."""
    entry = pwd.getpwuid(os.getuid())
    odd = pwd.struct_passwd(("eve for\tbob", *tuple(entry)[1:]))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: odd)
    assert this_person().startswith("eve_for_bob@")
    assert not same_person(this_person(), this_person().replace("eve_for_bob", "eve"))


def test_who_and_which_run_are_kept_where_all_is_too_long() -> None:
    """A long branch pushes out who did it."""
    claim = ci_subject({**GITHUB, "GITHUB_REF": "refs/heads/" + "x" * 200})
    assert claim.endswith("x run 123 by mona")
    assert len(claim) == LONGEST_CLAIM


def test_the_environment_is_read_when_asked(tmp_path: Path) -> None:
    """The command line does not pass on what its CI job says."""
    environ = {**os.environ, **GITHUB, "USER": "root", "LOGNAME": "root", "SUDO_USER": "root"}
    asked = [sys.executable, "-c", "from rollout.actor import this_actor; print(this_actor())"]
    done = subprocess.run(asked, capture_output=True, text=True, env=environ, timeout=60, check=True)
    assert done.stdout.strip() == f"{this_person()} for {ci_subject(GITHUB)}"
