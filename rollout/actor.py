"""Who asked: the user of this operating system on this host, and what a CI job says it acts for.

The user comes from the system and cannot be claimed. The rest comes from the environment, so that it is only added,
and never decides whether two people are one. Standard library only: the emergency path needs it.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Mapping
from pathlib import Path

FOR = " for "
AS = " as "
LONGEST_CLAIM = 120
_LOGIN_LENGTH = 39


def this_person() -> str:
    """`user@host` of this process. Has no spaces in names, so that nothing after it can be taken for a part of it."""
    try:
        user = re.sub(r"\s+", "_", pwd.getpwuid(_uid()).pw_name)
    except KeyError:
        user = f"uid {_uid()}"
    return f"{user}@{socket.gethostname()}"


def _uid() -> int:
    """This process's user outside of a user namespace, in which anybody can call himself root."""
    uid = os.getuid()
    try:
        lines = Path("/proc/self/uid_map").read_text().splitlines()
        ranges = [(int(inside), int(outside), int(count)) for inside, outside, count in map(str.split, lines)]
    except (OSError, ValueError):
        return uid
    return next((outside + uid - inside for inside, outside, count in ranges if inside <= uid < inside + count), uid)


def this_actor(environ: Mapping[str, str] | None = None) -> str:
    """`this_person()`, and in a CI job " for " and what the job says of itself."""
    claim = ci_subject(os.environ if environ is None else environ)
    return f"{this_person()}{FOR}{claim}" if claim else this_person()


def as_identity(actor: str, identity: str) -> str:
    """The same actor, and who a platform says that he is: told beside the user, never in his place."""
    person, sep, claim = actor.partition(FOR)
    return f"{person}{AS}{_plain(identity)[:LONGEST_CLAIM]}{sep}{claim}"


def same_person(one: str, other: str) -> bool:
    """Whether two actors are one user of the operating system, whatever their environments and host names said."""
    return _user(one) == _user(other)


def _user(actor: str) -> str:
    return actor.partition(FOR)[0].partition(AS)[0].rpartition("@")[0] or actor


def ci_subject(environ: Mapping[str, str]) -> str:
    """What a CI job is, for whom: printable ASCII, at most LONGEST_CLAIM characters; empty outside of known ones."""

    def first(*names: str) -> str:
        return next((_plain(environ[name]) for name in names if environ.get(name)), "")

    if environ.get("GITHUB_ACTIONS") == "true":
        who = first("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR")
        return _claim("github", first("GITHUB_REPOSITORY"), first("GITHUB_REF"), first("GITHUB_RUN_ID"), who)
    if environ.get("GITLAB_CI") == "true":
        where, which = first("CI_PROJECT_PATH"), first("CI_JOB_ID", "CI_PIPELINE_ID")
        return _claim("gitlab", where, first("CI_COMMIT_REF_NAME"), which, first("GITLAB_USER_LOGIN"))
    if environ.get("BUILDKITE") == "true":
        where = "/".join(filter(None, (first("BUILDKITE_ORGANIZATION_SLUG"), first("BUILDKITE_PIPELINE_SLUG"))))
        who = first("BUILDKITE_BUILD_CREATOR", "BUILDKITE_BUILD_AUTHOR")
        return _claim("buildkite", where, first("BUILDKITE_BRANCH"), first("BUILDKITE_BUILD_NUMBER"), who)
    if environ.get("JENKINS_URL"):
        branch = first("BRANCH_NAME", "GIT_BRANCH")
        return _claim("jenkins", first("JOB_NAME"), branch, first("BUILD_NUMBER"), first("BUILD_USER_ID", "BUILD_USER"))
    return ""


def _claim(system: str, where: str, ref: str, run: str, who: str) -> str:
    """Who and which run are kept whole where all of it is too long."""
    tail = (f" run {run[:20]}" if run else "") + (f" by {who[:_LOGIN_LENGTH]}" if who else "")
    head = f"{system}:{where or '?'}" + (f"@{ref}" if ref else "")
    return head[: LONGEST_CLAIM - len(tail)] + tail


def _plain(text: str) -> str:
    """Printable ASCII on one line; anything else is a question mark."""
    return "".join(each if " " <= each <= "~" else "?" for each in text[: 4 * LONGEST_CLAIM])
