"""Every finding is true, says its fix, and a look changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from providers.memory.clock import VirtualClock
from rollout import bootstrap, interventions
from rollout.care import check_fleet, check_state
from rollout.care.checkpoint import write_checkpoint
from rollout.care.doctor import examine
from rollout.care.findings import LEVELS, Finding, findings_text
from rollout.care.restored import RESTORED, set_fact
from rollout.holds import Holds
from rollout.lease import this_process
from rollout.presence import note_server
from rollout.rows import Hold
from rollout.schema import MIGRATIONS
from rollout.wiring import Installation
from tests.care.scene import DAY_S, again, begin, closed, drive, sql, warm
from tests.core.scene import FLEET


def found(made: Installation, check: str, level: str) -> list[Finding]:
    """The findings of one kind; each that is not ok says its fix."""
    seen = examine(again(made))
    assert all(each.fix for each in seen if each.level != "ok"), seen
    return [each for each in seen if (each.check, each.level) == (check, level)]


def rewrite(made: Installation, text: str) -> Installation:
    """The same fleet with another fleet file."""
    made.fleet_file.write_text(text)
    return Installation(made.fleet_file, made.clock)


def test_a_healthy_fleet_has_no_problem(installation: Installation) -> None:
    """Whoever runs it every morning learns to look away."""
    closed(installation)
    seen = examine(again(installation))
    assert [each for each in seen if each.level == "problem"] == []
    assert {each.check for each in seen if each.level == "ok"} >= {
        "program", "fleet", "secrets", "services", "state", "disk", "store", "journals", "restored", "rollouts",
        "holds", "denials", "news", "clock", "spool", "cards",
    }  # fmt: skip
    assert all(each.level in LEVELS for each in seen)


def test_a_look_changes_nothing(installation: Installation) -> None:
    """A doctor that repairs by the way surprises whoever only looked."""
    row = warm(installation)
    before = installation.store.rollout(row.id)
    dumped = installation.store.db.all("SELECT * FROM services")
    examine(again(installation))
    assert installation.store.rollout(row.id) == before
    assert installation.store.db.all("SELECT * FROM services") == dumped


def test_a_new_fleet_is_no_problem(installation: Installation) -> None:
    """The first thing that a new user tries ends with an error."""
    seen = examine(again(installation))
    assert not [each for each in seen if each.level == "problem"]
    assert not installation.store_path.exists(), "looking made no store"


def test_every_error_of_the_fleet_file_is_listed(installation: Installation) -> None:
    """A user corrects one error at a time, and tries again for each."""
    text = FLEET.replace("steps: [50, 100]", "steps: [50, 40]").replace("coexist: safe", "coexist: perhaps")
    seen = examine(rewrite(installation, text))
    problems = [each.text for each in seen if each.check == "fleet"]
    assert len(problems) == 2 and all(":" in each for each in problems)
    assert any(each.check == "state" for each in seen), "the rest is looked at all the same"
    installation.fleet_file.unlink()
    assert "there is no fleet file" in next(check_fleet.fleet_file(installation)).text


def test_the_state_folders_mode(installation: Installation) -> None:
    """Anybody on the machine can change the record, or where a rollback goes."""
    installation.state_dir.chmod(0o777)
    (each,) = found(installation, "state", "problem")
    assert "0777" in each.text and each.fix == f"chmod go-w {installation.state_dir}"
    installation.state_dir.chmod(0o755)
    assert "chmod 700" in found(installation, "state", "warning")[0].fix


def test_a_groups_state_folder_is_no_problem(installation: Installation) -> None:
    """The very folder that the guide has a team make is called a fault, and its remedy locks the team out."""
    installation.state_dir.chmod(0o2770)
    assert "is for its group" in found(installation, "state", "ok")[0].text
    installation.state_dir.chmod(0o2775)
    assert "chmod 2770" in found(installation, "state", "warning")[0].fix
    installation.state_dir.chmod(0o2772)
    assert "chmod o-w" in found(installation, "state", "problem")[0].fix


def test_a_disk_that_is_nearly_full(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rollouts stop one night, and nobody was told a week before."""
    real = os.statvfs(installation.state_dir)

    def nearly_full(path: object) -> os.statvfs_result:
        return os.statvfs_result((*real[:2], 1_000_000, 20_000, 20_000, *real[5:]))

    monkeypatch.setattr(os, "statvfs", nearly_full)
    assert "make room" in found(installation, "disk", "warning")[0].fix


def test_a_store_that_is_damaged_or_too_new(installation: Installation, tmp_path: Path) -> None:
    """The store's trouble is found by the next rollout, in the middle of the night."""
    closed(installation)
    installation.store.close()
    sql(installation, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    assert "newer release" in found(installation, "store", "problem")[0].text
    for path in installation.state_dir.glob("rollout.db*"):
        path.write_bytes(b"not a database" * 400)
    (each,) = found(installation, "store", "problem")
    assert "rollout store restore" in each.fix and "rollout rollback works" in each.fix


def test_heads_and_open_journals(installation: Installation) -> None:
    """Tampering is found only by those who think of looking for it."""
    row = begin(installation)
    sql(installation, "UPDATE journal SET at = at + 1")
    assert row.id in found(installation, "journals", "problem")[0].text
    sql(installation, "DELETE FROM journal")
    assert any("head" in each.text for each in found(installation, "journals", "problem"))


def test_a_restored_store(installation: Installation) -> None:
    """Nothing moves, and the doctor says that all is well."""
    closed(installation)
    with installation.store.db.transaction() as db:
        set_fact(db, RESTORED, json.dumps({"at": 1.0, "from": "/kept.db"}))
    assert found(installation, "restored", "problem")[0].fix == "rollout repair --restored"


def test_a_store_that_is_older_than_its_cards(installation: Installation, tmp_path: Path) -> None:
    """A file that was copied back goes unnoticed."""
    begin(installation)
    installation.store.close()
    shutil.copy(installation.store_path, tmp_path / "before.db")
    made = again(installation)
    drive(made, made.store.rollouts()[0].id)
    made.store.close()
    shutil.copy(tmp_path / "before.db", installation.store_path)
    assert "looks restored" in found(installation, "restored", "problem")[0].text


def test_spool_and_cards(installation: Installation) -> None:
    """The way back of tonight is a file that nobody can read."""
    closed(installation)
    (installation.state_dir / "spool").mkdir()
    (installation.state_dir / "spool" / "shop-1.json").write_text("{}")
    assert "rollout repair" in found(installation, "spool", "problem")[0].fix
    card = json.loads(installation.cards.path("shop").read_text())
    installation.cards.path("gone").write_text(json.dumps({**card, "service": "gone"}))
    installation.cards.path("shop").write_text("{")
    assert "cannot be read" in found(installation, "cards", "problem")[0].text
    assert "gone, which the fleet file does not have" in found(installation, "cards", "warning")[0].text


def test_open_rollouts_that_nobody_drives(installation: Installation) -> None:
    """A rollout stands at half of the traffic for a week, because its terminal was closed."""
    row = begin(installation)
    drive(installation, row.id, lambda now: now.phase == "shifting")
    (each,) = found(installation, "rollouts", "problem")
    assert f"{row.id} is shifting, and nobody drives it" in each.text
    assert each.fix == f"rollout resume {row.id}, or run rollout serve"
    note_server(installation.store.db, this_process(), installation.clock.now())
    assert found(installation, "rollouts", "problem") == []
    assert "rollout serve" in found(installation, "rollouts", "ok")[0].text


def test_what_waits_for_a_person(installation: Installation) -> None:
    """A halted rollout is forgotten."""
    row = begin(installation)
    drive(installation, row.id, lambda now: now.phase == "shifting")
    interventions.pause(installation, installation.store.rollout(row.id), "ops", "lunch")
    assert any("is paused" in each.text and "ops" in each.text for each in found(installation, "rollouts", "warning"))
    head = installation.store.rollout(row.id).head_seq
    installation.store.decide(row.id, head, "halted", {"reason": "odd"}, 1.0, outcome="halted")
    assert any("is halted" in each.text and "odd" in each.text for each in found(installation, "rollouts", "problem"))


def test_a_way_back_that_ends_soon(installation: Installation) -> None:
    """The window closes an hour before somebody wants to go back."""
    row = warm(installation)
    assert any("closes in 1 min" in each.text for each in found(installation, "rollouts", "warning"))
    installation.clock.sleep(120)
    told = found(installation, "rollouts", "warning")
    assert any(each.fix == f"rollout resume {row.id} gives it up" for each in told)


def test_old_holds(installation: Installation) -> None:
    """A pipeline that was cancelled keeps patches away for ever."""
    installation.store.rollouts()
    now = installation.clock.now()
    Holds(installation.store.db).put(Hold("shop", "ci", "deploy", "", now, None))
    assert found(installation, "holds", "warning") == []
    installation.clock.sleep(DAY_S + 1)
    assert "rollout hold shop --release" in found(installation, "holds", "warning")[0].fix


def test_a_patch_that_is_denied(installation: Installation) -> None:
    """Tonight's wave leaves the service out, and nobody knows before."""
    bootstrap.deny(installation, "shop", "base-2", reason="broke", lift=False, actor="me")
    assert "rollout deny shop base-2 --lift" in found(installation, "denials", "warning")[0].fix


def test_news_that_did_not_arrive(installation: Installation) -> None:
    """The pager's key expired a month ago."""
    installation.store.rollouts()
    sql(installation, "INSERT INTO news VALUES (1, 1.0, 'halted', 'shop', 'shop-1', 1, '{}')")
    sql(installation, "INSERT INTO deliveries VALUES (1, 'pager', 'given_up', 9, 1.0, 'HTTP 401')")
    sql(installation, "INSERT INTO deliveries VALUES (1, 'chat', 'due', 0, 1.0, '')")
    given_up, waiting = found(installation, "news", "warning")
    assert "pager was not told" in given_up.text and "401" in given_up.text and "--send-test" in given_up.fix
    assert "chat is still to be told" in waiting.text


def test_checkpoints(installation: Installation, tmp_path: Path) -> None:
    """What should protect the record stopped being written, and nobody noticed."""
    assert not found(installation, "checkpoints", "ok")
    made = rewrite(installation, f"{FLEET}keep: {{checkpoints: ../elsewhere, checkpoint_every: 1h}}\n")
    begin(made)
    assert "there is none" in found(made, "checkpoints", "warning")[0].text
    path = write_checkpoint(made, tmp_path / "elsewhere")
    assert found(made, "checkpoints", "ok")
    assert "own disk" in found(made, "checkpoints", "warning")[0].text
    made.clock.sleep(3 * 3600)
    assert any("the last one is of" in each.text for each in found(made, "checkpoints", "warning"))
    path.write_text(path.read_text().replace('"shop":0', '"shop":9'))
    assert "was edited" in found(made, "checkpoints", "problem")[0].text


def test_a_clock_that_went_back(installation: Installation) -> None:
    """Windows end a day late, after somebody set the clock."""
    closed(installation)
    made = Installation(installation.fleet_file, VirtualClock(installation.clock.now() - DAY_S))
    made._providers = installation._providers
    assert "set the clock right" in found(made, "clock", "problem")[0].fix


SECRETS = """\
notify:
  to:
    - {name: pager, webhook: "https://pager.example/in", secret: {env: NO_SUCH_VARIABLE_HERE}}
    - {name: chat, apprise: {file: secrets/chat}}
"""


def test_secrets_that_cannot_be_read(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first message that matters is the first that fails. And no secret is ever shown."""
    made = rewrite(installation, FLEET + SECRETS)
    problems = found(made, "secrets", "problem")
    assert len(problems) == 2
    assert "notify.pager refers to env NO_SUCH_VARIABLE_HERE: it is not set here" in problems[0].text
    monkeypatch.setenv("NO_SUCH_VARIABLE_HERE", "hunter2")
    secret = made.fleet_file.parent / "secrets" / "chat"
    secret.parent.mkdir()
    secret.write_text("hunter2")
    seen = examine(again(made))
    assert "2 references can be read here" in findings_text(seen) and "hunter2" not in findings_text(seen)


def test_a_provider_that_cannot_be_loaded_is_named(installation: Installation) -> None:
    """One broken adapter hides what is wrong with all other services."""

    class Broken(Installation):
        def provider(self, name: str) -> object:  # type: ignore[override]
            raise ImportError("no module named boto3")

    made = Broken(installation.fleet_file, installation.clock)
    told = [each for each in examine(made) if each.check == "services"]
    assert told[0].level == "problem" and "boto3" in told[0].text


def test_a_patch_that_does_not_resolve(installation: Installation) -> None:
    """The nightly rollout finds out that its image is not there."""
    made = rewrite(installation, FLEET.replace("base-2", "base-99"))
    assert "base-99 cannot be resolved" in found(made, "services", "problem")[0].text


def test_a_check_that_breaks_hides_nothing(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor itself falls ill, and says nothing at all."""

    def broken(made: Installation) -> list[Finding]:
        raise OSError("stale file handle")

    monkeypatch.setattr(check_state, "spool", broken)
    seen = examine(again(installation))
    assert any(each.level == "problem" and "stale file handle" in each.text for each in seen)
    assert any(each.check == "cards" for each in seen)


def test_receivers_are_tried_only_when_asked(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the fleet wakes everybody up; or a wrong key is found when it is too late."""
    import rollout.notify.direct as direct

    tried = []

    def send(targets: list[object], clock: object) -> list[tuple[str, str]]:
        tried.append(len(targets))
        return [("pager", "HTTP 401"), ("chat", "")]

    monkeypatch.setattr(direct, "send_test", send)
    made = rewrite(installation, FLEET + SECRETS)
    examine(again(made))
    assert tried == []
    told = {each.text: each.level for each in examine(again(made), send_test=True) if each.check == "receivers"}
    assert told == {"pager was not reached: HTTP 401": "problem", "chat was sent a test": "ok"} and tried == [2]


def test_the_worst_comes_last() -> None:
    """What matters scrolled away."""
    seen = [Finding("a", "problem", "bad", "fix it"), Finding("b", "ok", "good"), Finding("c", "warning", "hm", "see")]
    lines = findings_text(seen).splitlines()
    assert [line.split()[0] for line in lines] == ["ok", "warning", "→", "problem", "→", "1"]
