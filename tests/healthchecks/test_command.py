from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from healthchecks import command
from healthchecks.base import Role, Verdict
from providers.base import TestRoute
from tests.healthchecks.fakes import World, instance


def _ask(
    *run: str, folder: Path, timeout_s: float = 5.0, role: Role = "replacement", world: World | None = None, **more: Any
) -> Verdict:
    options = command.Options(run, str(folder), **more)
    return command.ask(options, (world or World()).subject(role, timeout_s=timeout_s))


def _script(folder: Path, text: str, name: str = "smoke") -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("code", "answer"), [(0, "pass"), (1, "fail"), (2, "unknown"), (127, "unknown"), (255, "unknown")]
)
def test_the_exit_code_is_the_answer(code: int, answer: str, tmp_path: Path) -> None:
    """A smoke test that could not run counts as a bad patch, or as a good one."""
    verdict = _ask("sh", "-c", f"echo looked; exit {code}", folder=tmp_path)
    assert (verdict.answer, verdict.evidence["exit_code"]) == (answer, code)
    assert "looked" in verdict.summary


def test_codes_are_for_the_operator_to_say(tmp_path: Path) -> None:
    """A tool with exit codes of its own cannot be used."""
    for code, answer in ((0, "unknown"), (1, "unknown"), (10, "pass"), (20, "fail"), (21, "fail")):
        found = _ask("sh", "-c", f"exit {code}", folder=tmp_path, pass_codes=[10], fail_codes=[20, 21])
        assert found.answer == answer


def test_a_program_that_is_killed_has_said_nothing(tmp_path: Path) -> None:
    """A machine out of memory turns a good patch back."""
    verdict = _ask("sh", "-c", "kill -9 $$", folder=tmp_path)
    assert (verdict.answer, "signal 9" in verdict.summary) == ("unknown", True)


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    """A name in a fleet file becomes a command on the host."""
    nasty = ["; touch hacked", "$(touch hacked)", "`touch hacked`", "*", "a b", "", "--"]
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    verdict = _ask(sys.executable, "-c", show, *nasty, folder=tmp_path)
    assert json.loads(verdict.evidence["output"]) == nasty
    assert list(tmp_path.iterdir()) == []


def test_the_environment_is_small_and_says_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program sees the secrets of whoever drives, or does not know which side it is to look at."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("LD_PRELOAD", "")
    world = World(routes={"green": TestRoute("http://127.0.0.1:81/base", {"X-Slot": "green"})})
    world.instances = [instance(1, address="127.0.0.1:91"), instance(2, address="127.0.0.1:92")]
    world.instances += [instance(3, state="starting", address="127.0.0.1:93"), instance(4, "blue")]
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    verdict = _ask(sys.executable, "-c", show, folder=tmp_path, world=world, environment={"MORE": "1"})
    found = json.loads(verdict.evidence["output"])
    found.pop("LC_CTYPE", None)  # an interpreter's own
    home, path = found.pop("HOME"), found.pop("PATH")
    assert (Path(home).is_dir(), str(tmp_path) in path) == (True, False)
    assert found == {
        "LANG": "C.UTF-8",
        "MORE": "1",
        "ROLLOUT_SERVICE": "shop",
        "ROLLOUT_SLOT": "green",
        "ROLLOUT_ROLE": "replacement",
        "ROLLOUT_IMAGES": "image-2",
        "ROLLOUT_TEST_URL": "http://127.0.0.1:81/base",
        "ROLLOUT_TEST_HEADERS": '{"X-Slot": "green"}',
        "ROLLOUT_INSTANCES": "127.0.0.1:91 127.0.0.1:92",
    }


def test_the_side_beside_is_asked_as_such(tmp_path: Path) -> None:
    """A comparison looks at the same side twice."""
    verdict = _ask("sh", "-c", "echo $ROLLOUT_SLOT $ROLLOUT_ROLE", folder=tmp_path, role="original")
    assert verdict.evidence["output"].split() == ["blue", "original"]


@pytest.mark.parametrize("address", ["169.254.169.254:80", "metadata.internal:80", "8.8.8.8:80"])
def test_forbidden_addresses_are_not_handed_on(address: str, tmp_path: Path) -> None:
    """The program fetches what this host may not be asked for."""
    world = World(instances=[instance(1, address=address)])
    assert _ask("touch", "started", folder=tmp_path, world=world).answer == "unknown"
    world = World(instances=[], routes={"green": TestRoute("http://169.254.169.254")})
    assert _ask("touch", "started", folder=tmp_path, world=world).answer == "unknown"
    assert list(tmp_path.iterdir()) == []


def test_secrets_of_the_test_route_are_not_in_what_it_printed(tmp_path: Path) -> None:
    """A curl -v shows the header that opens the test route, and the journal keeps it."""
    world = World(routes={"green": TestRoute("http://127.0.0.1:81", {"X-Key": "hunter2-hunter2"})})
    printing = 'for i in 1 2 3 4 5 6 7 8 9 10; do echo "$ROLLOUT_TEST_HEADERS$(printf "%0500d" 0)"; done; exit 1'
    verdict = _ask("sh", "-c", printing, folder=tmp_path, world=world)
    shown = verdict.summary + json.dumps(dict(verdict.evidence))
    assert "X-Key" in shown
    assert "unter2" not in shown


def test_a_path_is_below_the_folder_and_names_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program runs than the one that lies beside the fleet file, depending on where somebody stands."""
    _script(tmp_path, 'echo from "$PWD"')
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    verdict = _ask("./smoke", folder=tmp_path)
    assert (verdict.answer, verdict.evidence["output"].split()[-1]) == ("pass", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _ask("smoke", folder=tmp_path).answer == "unknown"


@pytest.mark.parametrize("run", ["./nothing", "no-such-program-anywhere", ".", "./plain", "./broken"])
def test_what_cannot_be_started_is_unknown(run: str, tmp_path: Path) -> None:
    """A forgotten file turns a patch back, or lets it through."""
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    _script(tmp_path, "", "broken").write_text("#!/no/such/interpreter\n")
    assert _ask(run, folder=tmp_path).answer == "unknown"
    assert _ask("true", folder=tmp_path / "gone").answer == "unknown"


def _alive(file: Path) -> bool:
    return psutil.pid_exists(int(file.read_text())) and psutil.Process(int(file.read_text())).status() != "zombie"


def _wait_for(what: Any) -> None:
    until = time.monotonic() + 5
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_when_the_time_is_over_the_whole_group_is_killed(tmp_path: Path) -> None:
    """Children of a check pile up on the host that watches, one more at each look."""
    began = time.monotonic()
    said = "trap '' TERM; sh -c 'echo $$ > child; sleep 60' & echo working; wait"
    verdict = _ask("sh", "-c", said, folder=tmp_path, timeout_s=1.0)
    assert (verdict.answer, "within 1 s" in verdict.summary) == ("unknown", True)
    assert verdict.evidence["output"] == "working\n"
    assert time.monotonic() - began < 3
    _wait_for(lambda: not _alive(tmp_path / "child"))


def test_what_it_leaves_behind_is_killed_and_not_waited_for(tmp_path: Path) -> None:
    """A check that starts something in the background takes all of its time, or leaves it running."""
    began = time.monotonic()
    leaving = "sh -c 'echo $$ > child.new; mv child.new child; sleep 60' & until [ -e child ]; do :; done; exit 1"
    assert _ask("sh", "-c", leaving, folder=tmp_path, timeout_s=20.0).answer == "fail"
    assert time.monotonic() - began < 10
    _wait_for(lambda: not _alive(tmp_path / "child"))


def test_a_flood_of_output_is_bounded(tmp_path: Path) -> None:
    """A talkative program fills the memory of the one that watches, or the journal."""
    verdict = _ask("sh", "-c", "yes flood | head -c 20000000; yes late & echo the end; exit 1", folder=tmp_path)
    assert verdict.answer == "fail"
    assert len(verdict.evidence["output"]) <= 4096
    assert _ask("yes", folder=tmp_path, timeout_s=0.3).answer == "unknown"


def test_rubbish_is_made_readable(tmp_path: Path) -> None:
    """A terminal that shows a journal obeys what a program printed."""
    verdict = _ask("printf", r"\033[31mred\000\377\r\nend", folder=tmp_path)
    assert verdict.answer == "pass"
    assert verdict.evidence["output"].isprintable() or "\n" in verdict.evidence["output"]
    assert not set(verdict.evidence["output"] + verdict.summary) & {"\x1b", "\x00", "\r"}


def test_it_reads_nothing_from_our_input(tmp_path: Path) -> None:
    """A program that asks a question takes what somebody types for another one, or waits for ever."""
    verdict = _ask("cat", folder=tmp_path)
    assert (verdict.answer, verdict.evidence["output"]) == ("pass", "")


def test_it_inherits_no_open_files(tmp_path: Path) -> None:
    """A check writes into our store."""
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        # A shell reads its script from no file here: whatever else is open was ours.
        verdict = _ask("sh", "-c", f"echo x >&{file.fileno()}", folder=tmp_path)
    assert verdict.answer != "pass"
    assert (tmp_path / "secret").read_text() == ""


def test_a_program_that_closes_its_output_is_still_waited_for(tmp_path: Path) -> None:
    """A program that says nothing counts as ended while it still looks."""
    verdict = _ask("sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 1", folder=tmp_path)
    assert verdict.answer == "fail"


@pytest.mark.parametrize(
    "options",
    [
        {"run": []},
        {"run": [""]},
        {"run": "rm -rf"},
        {"run": ["a\0b"]},
        {"run": ["a"], "folder": ""},
        {"run": ["a"], "environment": {"ROLLOUT_SLOT": "blue"}},
        {"run": ["a"], "environment": {"A=B": "1"}},
        {"run": ["a"], "environment": {"A": "1\0"}},
        {"run": ["a"], "pass_codes": []},
        {"run": ["a"], "pass_codes": [256]},
        {"run": ["a"], "fail_codes": [-9]},
        {"run": ["a"], "pass_codes": [0, 1]},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """A mistake in the fleet file shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match=r"run|folder|environment|codes"):
        command.Options(**options)
