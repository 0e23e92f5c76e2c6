from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from providers.base import Invalid
from providers.memory import adapter
from rollout import exits
from rollout.cli import main

FLEET = "version: 1\nservices:\n  shop:\n    provider: memory\n    coexist: safe\n"
MADE = {"service": "shop", "image": "ami-2", "reference": "bake:active", "made": True}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fleet with one service."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROLLOUT_CONFIG", raising=False)
    return tmp_path


def test_a_provider_that_makes_no_images_says_so(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise the command fails with a stack of calls."""
    assert main(["bake", "shop"]) == exits.USAGE
    assert "makes no images" in capsys.readouterr().err


def test_the_result_is_data_and_its_progress_is_for_people(
    fleet: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a pipeline cannot go on with the image that it had made."""
    asked = list[Any]()

    def hook(context: Any, service: Any, reference: str, *, fresh: str, say: Any) -> dict[str, Any]:
        asked.append((service.name, reference, fresh))
        say("builder i-1 is being patched")
        return MADE

    monkeypatch.setattr(adapter, "bake", hook, raising=False)
    assert main(["bake", "shop", "--fresh", "w48", "--json"]) == exits.DONE
    told = capsys.readouterr()
    assert json.loads(told.out) == MADE
    assert "builder i-1 is being patched" in told.err
    assert "rollout bake shop --from active --fresh w48" in told.err
    assert asked == [("shop", "active", "w48")]


def test_what_could_not_be_made_needs_a_person(
    fleet: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a pipeline goes on with the old image, or nobody knows what to do next."""

    def hook(*asked: Any, **more: Any) -> dict[str, Any]:
        raise Invalid("builder i-1 was terminated: no space left on device")

    monkeypatch.setattr(adapter, "bake", hook, raising=False)
    assert main(["bake", "shop"]) == exits.PERSON_NEEDED
    told = capsys.readouterr().err
    assert "no space left" in told and "again: rollout bake shop --from active" in told


def test_a_source_that_is_not_there_is_refused_before_anything_is_launched(
    fleet: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a typing error costs a builder."""
    monkeypatch.setattr(adapter, "bake", lambda *asked, **more: pytest.fail("it was asked to"), raising=False)
    assert main(["bake", "shop", "--from", "no-such-image"]) == exits.USAGE
    assert "no-such-image" in capsys.readouterr().err
