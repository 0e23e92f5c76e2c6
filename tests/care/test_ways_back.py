"""The doctor asks whether open ways back are whole, and says what to do where they are not."""

from __future__ import annotations

from dataclasses import replace

from providers.base import Transient
from rollout.care.check_way_back import ways_back
from rollout.care.findings import Finding
from rollout.drills import Drill, record
from rollout.wiring import Installation
from tests.care.scene import closed, warm


def found(made: Installation) -> list[tuple[str, str]]:
    """Levels and texts; each that is not ok says its fix."""
    seen: list[Finding] = list(ways_back(made))
    assert all(each.fix for each in seen if each.level != "ok")
    return [(each.level, each.text) for each in seen]


def lacking(made: Installation, *what: str, error: Exception | None = None) -> None:
    """Have the platform say this of every way back."""

    def answer(*about: object) -> list[str]:
        if error:
            raise error
        return list(what)

    made._providers["memory"] = replace(made.provider("memory"), way_back_lacks=answer)


def test_whole_ones_are_no_trouble(installation: Installation) -> None:
    """A look in the morning is full of what is well."""
    warm(installation)
    assert found(installation) == [("ok", "1 are open, with all that they stand on")]


def test_what_is_gone_is_a_problem(installation: Installation) -> None:
    """The image of the way back is deleted, and the doctor calls the fleet healthy."""
    row = warm(installation)
    lacking(installation, "image base-1 was deregistered")
    assert found(installation) == [("problem", f"the way back of {row.id} to blue: image base-1 was deregistered")]


def test_what_cannot_be_asked_is_said(installation: Installation) -> None:
    """No answer is taken for a good one."""
    warm(installation)
    lacking(installation, error=Transient("no answer"))
    ((level, text),) = found(installation)
    assert level == "warning" and "no answer" in text


def test_a_drill_that_failed_stays_a_problem(installation: Installation) -> None:
    """The way back did not work yesterday, and today everybody has forgotten."""
    row = warm(installation)
    drill = Drill("shop", row.id, installation.clock.now(), False, 0.2, "daemon", "rollout", "", "no answer")
    record(installation.store.db, drill)
    assert found(installation) == [("problem", "the drill of shop 0 s ago failed: no answer")]
    record(installation.store.db, replace(drill, ok=True, why=""))
    assert found(installation)[0][0] == "ok"


def test_closed_ones_are_not_asked_about(installation: Installation) -> None:
    """What was retired last year is missing for ever."""
    closed(installation)
    lacking(installation, "everything")
    assert found(installation) == [("ok", "0 are open, with all that they stand on")]
