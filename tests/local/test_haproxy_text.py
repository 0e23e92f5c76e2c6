"""HAProxy's files and answers as text: what is written for it, and what is read from it."""

from __future__ import annotations

import csv
import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.local.balancer.config import Config, Health, parse_config
from providers.local.balancer.state import State
from providers.local.haproxy import stats
from providers.local.haproxy.program import problem, version_in
from providers.local.haproxy.text import name_of, quoted, render
from providers.local.haproxy.weights import (
    ABSENT,
    KEY,
    Entry,
    entry_of,
    file_text,
    from_file,
    from_memory,
    percent,
)
from tests.local.haproxy_kit import NEEDS_HAPROXY, PROGRAM

SHARES = st.integers(0, 100)
LINES = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


def state(blue: int = 100, green: int = 0, revision: int = 7) -> State:
    """A state with IPv4 and IPv6 targets."""
    targets = {"blue": ("127.0.0.1:8001", "[::1]:8001"), "green": ("127.0.0.1:8002",)}
    return State(revision, {"blue": blue, "green": green}, targets)


# The map


@given(SHARES, SHARES, st.integers(0, 10**9))
def test_what_is_written_is_what_is_read(blue: int, green: int, revision: int) -> None:
    """Else a write of ours is taken for a person's edit, or the reverse."""
    if blue + green == 0:
        return
    entry = entry_of(state(blue, green, revision))
    assert from_file(file_text(entry)) == from_memory(f"0x7f {file_text(entry)}") == entry
    assert entry.plain
    if blue + green == 100:
        assert entry.weights == {"blue": blue, "green": green}
    assert (percent({"blue": blue, "green": green}) > 0) == (green > 0)
    assert (percent({"blue": blue, "green": green}) < 100) == (blue > 0)


@given(st.lists(LINES, max_size=6).map("\n".join))
def test_any_map_file_means_some_weights(text: str) -> None:
    """Else a map that a person damaged hides where traffic goes."""
    for entry in (from_file(text), from_memory(text)):
        assert sum(entry.weights.values()) == 100 and min(entry.weights.values()) >= 0


@given(st.text(max_size=12))
def test_only_well_formed_entries_are_kept_at_a_start(text: str) -> None:
    """Else a torn file moves traffic."""
    if Entry(text).plain:
        shown, _, revision = text.partition(":")
        assert 0 <= int(shown) <= 100 and (not revision or int(revision) >= 0)


@pytest.mark.parametrize(
    ("text", "means"),
    [("50", 50), ("50:3", 50), ("", 0), ("banana", 0), ("-5", 0), ("250", 100), ("7x", 7), (" 30 ", 30), ("1e2", 1)],
)
def test_a_persons_number_means_what_haproxy_makes_of_it(text: str, means: int) -> None:
    """Else `status` says one thing and clients meet another."""
    assert Entry(text).percent == means


def test_a_second_entry_shows() -> None:
    """Else an edit beside ours goes unnoticed."""
    assert from_file(f"# by hand\n{KEY} 10:1\n{KEY} 90\nother 3\n") == Entry("10:1")
    assert from_file(f"{KEY} 10:1\n{KEY} 10:1\n") != Entry("10:1")
    assert from_file("other 3\n") == from_memory("\n") == ABSENT


# The statistics

COLUMNS = [
    "pxname", "svname", "scur", "econ", "eresp", "wretr", "wredis", "status", "lastchg", "type", "check_status",
    "check_code", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "req_tot", "cli_abrt", "srv_abrt",
    "last_chk", "check_desc",
]  # fmt: skip
FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def shown(*rows: dict[str, str]) -> str:
    """An answer to `show stat`."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n", quoting=csv.QUOTE_ALL)
    file.write(",".join(COLUMNS) + "\n")
    writer.writerows(rows)
    return "# " + file.getvalue()


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS[2:]), FIELD), max_size=4))
def test_strange_statistics_are_read_without_harm(fields: list[dict[str, str]]) -> None:
    """Else an odd message of a target's check blinds everybody to the traffic."""
    rows = [{**row, "pxname": "blue", "svname": f"s{number}", "type": "2"} for number, row in enumerate(fields)]
    found = stats.parse(shown(*rows))
    assert list(found.of("blue")) == [row["svname"] for row in rows]
    for name, row in found.of("blue").items():
        assert row["last_chk"] == rows[int(name[1:])].get("last_chk", "")
        assert stats.judged(row) in (True, False, None) and stats.reason(row)
    counted = stats.counters(None, found.of("blue").values(), {})
    assert min(counted["responses"].values()) >= 0 and counted["requests"] == 0


@given(LINES)
def test_what_is_no_statistics_is_refused(text: str) -> None:
    """Else an error message counts as a service without traffic and without targets."""
    if not text.startswith("# pxname,"):
        with pytest.raises(stats.Unreadable):
            stats.parse(text)
    with pytest.raises(stats.Unreadable):
        stats.parse("# pxname,svname\nblue,a\n")


@pytest.mark.parametrize(
    ("status", "check", "healthy", "reason"),
    [
        ("UP", "L7OK", True, "check passed"),
        ("UP", "* L7OK", True, "check passed"),
        ("UP 1/2", "L7STS", True, "check answered 500"),
        ("UP", "INI", None, "not checked yet"),
        ("DOWN", "INI", None, "not checked yet"),
        ("DOWN 1/2", "L7OK", None, "check passed"),
        ("DOWN", "L7STS", False, "check answered 500"),
        ("DOWN", "L4CON", False, "check failed: Layer4 connection problem: Connection refused"),
        ("MAINT", "L7OK", False, "somebody set it to MAINT"),
        ("DRAIN", "L7OK", False, "somebody set it to DRAIN"),
    ],
)
def test_health_has_a_reason(status: str, check: str, healthy: bool | None, reason: str) -> None:
    """Else a gate passes what was never asked, or fails without saying why."""
    row = {"status": status, "check_status": check, "check_code": "500", "lastchg": "3"}
    row |= {"check_desc": "Layer4 connection problem", "last_chk": "Connection refused"}
    (target,) = stats.targets({"::1:8001": row}, ["[::1]:8001"], 10.0)
    assert target == {"address": "[::1]:8001", "healthy": healthy, "reason": reason, "since": 7.0}


def test_a_target_that_haproxy_does_not_know_is_not_healthy() -> None:
    """Else a server that a person removed counts as one that serves."""
    (target,) = stats.targets({}, ["127.0.0.1:1"], 10.0)
    assert (target["healthy"], target["reason"]) == (False, stats.NO_SERVER)


def test_counters_tell_answers_of_targets_from_those_of_haproxy() -> None:
    """Else an outage looks like errors of the application, and a broken answer like a whole one."""
    backend = {"stot": "12", "econ": "1", "eresp": "2", "scur": "3", "cli_abrt": "1", "hrsp_5xx": "4"}
    rows = [{"hrsp_2xx": "6", "hrsp_5xx": "1", "srv_abrt": "1"}, {"hrsp_2xx": "2"}]
    counted = stats.counters(backend, rows, {"2xx": 10})
    assert counted["responses"] == {"1xx": 0, "2xx": 18, "3xx": 0, "4xx": 0, "5xx": 1}
    assert (counted["requests"], counted["failed"], counted["in_flight"]) == (12, 3, 3)


# The configuration


def test_ordinary_files_say_nothing_of_haproxy() -> None:
    """Else those who have the built-in balancer get a new file format, and an old program cannot read it."""
    assert parse_config({"listen": "127.0.0.1:1"}).kind == "builtin"
    with pytest.raises(ValueError, match="kind"):
        parse_config({"listen": "127.0.0.1:1", "kind": "nginx"})
    with pytest.raises(ValueError, match="program"):
        parse_config({"listen": "127.0.0.1:1", "kind": "haproxy", "program": 3})


def test_names_and_words_cannot_break_out() -> None:
    """Else an address or a path in the fleet file becomes a directive."""
    assert name_of("[::1]:8001") == "::1:8001"
    assert quoted("/it's") == "'/it'\\''s'"


PATHS = ["/health", "/it's", '/"a"', "/a#b", "/$HOME", "/%[src]", "/a\\b", "/ü?x=1&y=%20", "/{a}", "/a;b,c(d)"]


@NEEDS_HAPROXY
@pytest.mark.parametrize("path", PATHS)
def test_haproxy_takes_any_path_as_it_is(path: str, tmp_path: Path) -> None:
    """Else a health path with a quote in it keeps the balancer from starting."""
    config = Config("127.0.0.1:1", "[::1]:2", Health(path), kind="haproxy")
    (tmp_path / "haproxy.cfg").write_text(render(config, state(50, 50), 4096))
    (tmp_path / "weights.map").write_text(file_text(entry_of(state())))
    command = [str(PROGRAM), "-c", "-C", str(tmp_path), "-f", "haproxy.cfg"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_test_route_or_a_path_there_is_none() -> None:
    """Else a service without a health page is down behind HAProxy."""
    text = render(Config("127.0.0.1:1", None, Health(None), served_by=False), state(), 64)
    assert "httpchk" not in text and "frontend test" not in text and "Served-By" not in text
    assert " check inter 250ms " in text and "maxconn 50\n" in text


# The program


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17", (2, 6)),
        ("HA-Proxy version 1.8.30", (1, 8)),
        ("HAProxy version 3.2.1", (3, 2)),
        ("nothing of the kind", None),
    ],
)
def test_the_version_is_read(said: str, version: tuple[int, int] | None) -> None:
    """Else a HAProxy that cannot add servers is taken, and fails in the middle of a rollout."""
    assert version_in(said) == version


def test_a_program_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    """Else `balancer: haproxy` fails without a reason."""
    fake = tmp_path / "haproxy"
    for script, why in (("echo HAProxy version 2.4.1", "2.6 or newer"), ("echo hello", "does not say its version")):
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o700)
        assert why in str(problem(str(fake)))
    assert "cannot be run" in str(problem(str(tmp_path / "none")))
