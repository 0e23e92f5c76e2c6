"""A wrong service or id on the command line is answered with the one that was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.card import CardFolder
from rollout.cli import main
from rollout.entry import run
from rollout.wiring import Installation
from tests.core.scene import FLEET, a_plan
from tests.core.test_card import CARD

ROLLOUT = "shop-20260102-abcdef"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fleet of `shop`, with one rollout and its card."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROLLOUT_CONFIG", raising=False)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    made, plan = Installation(tmp_path / "fleet.yaml"), a_plan()
    made.store.open_rollout(ROLLOUT, "shop", plan.to_json(), plan.hash, at=1.0, actor="me@here")
    made.store.close()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("plan", "shpo"), "shop"),
        (("start", "Shop"), "shop"),
        (("up", "shopp"), "shop"),
        (("status", "shpo"), "shop"),
        (("approve", "shpo"), "shop"),
        (("resume", ROLLOUT.replace("abcdef", "abdcef")), ROLLOUT),
    ],
)
def test_wrong_name(folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], meant: str) -> None:
    """Whoever is called at night reads lists for a letter that was mistyped."""
    assert main(list(arguments)) == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_wrong_service_in_a_rollback(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one command that matters does not know what was meant."""
    assert run(["rollback", "shpo"]) == 2
    assert "services with one: none\n" in capsys.readouterr().err, "nothing is invented"
    CardFolder(folder / ".rollout" / "cards").write(CARD)
    assert run(["rollback", "shpo"]) == 2
    assert "services with one: shop (did you mean shop?)" in capsys.readouterr().err


def test_what_resembles_nothing_gets_no_advice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wild guess leads to the rollback of another service."""
    assert main(["status", "qqq"]) == 2
    assert "did you mean" not in capsys.readouterr().err
