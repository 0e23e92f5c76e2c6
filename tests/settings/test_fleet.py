"""A fleet file that is right: defaults, short forms, merging, and plain data for the plan."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rollout import resources
from rollout.fleetfile.catalogue import Shipped, UnknownName, known_providers
from rollout.fleetfile.fleetwide import Receiver
from rollout.settings import CheckSpec, Fleet, ServiceSettings, SettingsErrors, load, parse_fleet
from tests.settings.conftest import Read, Refused, ToyCatalogue, service


def shop(fleet: Fleet) -> ServiceSettings:
    """The service of `service(…)`."""
    return fleet.services["shop"]


def test_defaults_are_the_documented_ones(fleet: Read) -> None:
    """A short file does something else than the example says."""
    read = fleet(service())
    found = shop(read)
    assert (read.state, read.policy.deny_after_services) == (".rollout", 2)
    assert found.traffic.steps == (10, 50, 100)
    assert (found.traffic.soak_s, found.traffic.interval_s, found.traffic.on_rollback) == (60, 5, "drain")
    assert (found.bake_s, found.keep_warm_s, found.approval, found.settle_s) == (1800, 86400, "none", 5)
    assert [check.label for check in found.checks.replacement] == ["http", "balancer", "fidelity"]
    assert [check.label for check in found.checks.live] == ["balancer", "failed_responses"]
    assert found.patch is None


def test_defaults_of_the_models_are_those_of_a_file(fleet: Read) -> None:
    """What a test or a tool builds by hand behaves unlike what a file describes."""
    by_hand = ServiceSettings.model_validate({"provider": "toy", "coexist": "safe"})
    read = shop(fleet(service()))
    assert by_hand.model_dump(exclude={"options", "checks"}) == read.model_dump(exclude={"options", "checks"})
    for gate in ("preflight", "replacement", "live"):
        labels = [[each.label for each in getattr(one.checks, gate)] for one in (by_hand, read)]
        assert labels[0] == labels[1]


def test_everything_is_plain_json_data(fleet: Read) -> None:
    """A plan cannot be hashed, written down, or compared."""
    data = fleet(service("traffic: {soak: 90s}", "options: {password: {env: PW}}")).model_dump(mode="json")
    assert json.loads(json.dumps(data)) == data
    assert data["services"]["shop"]["traffic"]["soak_s"] == 90


def test_settings_cannot_be_changed_afterwards(fleet: Read) -> None:
    """Something other is carried out than was read and approved."""
    with pytest.raises(ValueError, match="frozen"):
        shop(fleet(service())).bake_s = 0.0


def test_checks_are_a_name_or_a_name_with_options(fleet: Read, tmp_path: Path) -> None:
    """The options of a check are lost, or two checks of one name become one."""
    checks = shop(
        fleet(service("checks:", "  live:", "  - http: {path: /a}", "  - http:", "      path: /b", "  - balancer:"))
    ).checks
    assert [(each.label, each.options.get("path")) for each in checks.live] == [
        *(("http", "/a"), ("http-2", "/b"), ("balancer", None)),
    ]
    assert checks.live[0].options["statuses"] == [200]
    assert [each.name for each in checks.preflight] == ["balancer"]


def test_entry_with_options_beside_the_name_says_how_to_write_it(refused: Refused) -> None:
    """YAML's commonest slip ends in a riddle."""
    (error,) = refused(service("checks:", "  live:", "  - http:", "    path: /a"))
    assert (error.line, error.key, error.found) == (8, "services.shop.checks.live[0]", "a mapping")
    assert "indented below the name" in error.allowed


def test_unknown_check_names_the_nearest(refused: Refused) -> None:
    """A slip in a check's name has to be looked up in the documentation."""
    (error,) = refused(service("checks: {live: [balancr]}"))
    assert error.problem == "unknown check 'balancr' (did you mean balancer?)"
    assert error.allowed == "http, vulnerabilities, balancer, fidelity, failed_responses"


@pytest.mark.parametrize(
    ("lines", "line", "key", "told"),
    [
        (("options:", "  imges: x"), 7, "options.imges", "unknown key 'imges' (did you mean images?)"),
        (("options:", "  instances: two"), 7, "options.instances", "found 'two'; allowed: a whole number"),
        (("options:", "  ports: none"), 7, "options.ports", "'none' is not a range; found 'none'"),
        (("options:", "  environment:", "    A: 5"), 8, "options.environment.A", "found 5; allowed: text"),
        (("options: [a]",), 6, "options", "found a list; allowed: a mapping"),
        (("checks:", "  live:", "  - http:", "      path: 5"), 9, "checks.live[0].http.path", "found 5"),
        (("checks:", "  live:", "  - http: 5"), 8, "checks.live[0].http", "found 5"),
        (("checks:", "  live:", "  - vulnerabilities"), 8, "checks.live[0].vulnerabilities.advisories", "missing"),
        (("checks: {live: [http: {statuses: 5}]}",), 6, "checks.live[0].http.statuses", "found 5; allowed: a list"),
    ],
)
def test_errors_inside_options_have_the_inner_line(
    refused: Refused, lines: tuple[str, ...], line: int, key: str, told: str
) -> None:
    """Users are sent to `options:` of a service with forty of them."""
    (error,) = refused(service(*lines))
    assert (error.line, error.key) == (line, f"services.shop.{key}")
    assert told in str(error)


def test_paths_are_relative_to_the_fleet_file(fleet: Read, tmp_path: Path) -> None:
    """A run from another folder reads other advisories, or none."""
    read = shop(fleet(service("options: {images: ./mine}", "checks: {live: [vulnerabilities: {advisories: ../adv}]}")))
    assert read.options["images"] == str(tmp_path / "mine")
    assert read.checks.live[0].options["advisories"] == str(tmp_path / "../adv")
    assert shop(fleet(service("options: {images: /abs}"))).options["images"] == "/abs"


def test_service_is_laid_over_defaults(fleet: Read) -> None:
    """What was said once for all is lost, or overrides what a service says of itself."""
    top = (
        "version: 1\ndefaults:\n  traffic: {soak: 2m, steps: [1, 2, 100]}\n  options: {password: {env: A}}\n  bake: 1h"
    )
    read = shop(fleet(service("traffic: {steps: [100]}", "options: {password: {file: b}}", top=top)))
    assert (read.traffic.soak_s, read.traffic.steps, read.bake_s) == (120, (100,), 3600)
    assert set(read.options["password"]) == {"file"}


def test_provider_from_outside_is_left_to_the_composition_root(fleet: Read) -> None:
    """Nobody can bring a provider of their own."""
    read = shop(fleet(service("options: {any: [thing]}").replace("toy", "their.module:build")))
    assert (read.provider, read.options) == ("their.module:build", {"any": ["thing"]})


def test_gate_rule_includes_the_soak_in_its_deadline(fleet: Read) -> None:
    """A long bake always ends at the gate's deadline and turns back."""
    read = shop(fleet(service("traffic: {interval: 2s}", "gates: {live: {deadline: 1m}, preflight: {interval: 1s}}")))
    rule = read.gate_rule("live", soak_s=1800)
    assert (rule.deadline_s, rule.soak_s, rule.interval_s) == (1860, 1800, 2)
    assert read.gate_rule("preflight").interval_s == 1


def test_a_gate_says_how_long_a_check_may_take(fleet: Read, refused: Refused) -> None:
    """A check that needs half a minute never knows; or one takes an hour, in which nobody can stop anything."""
    read = shop(fleet(service("gates: {live: {timeout: 30s}}")))
    assert (read.gate_rule("live").timeout_s, read.gate_rule("replacement").timeout_s) == (30.0, 5.0)
    (error,) = refused(service("gates: {live: {timeout: 6m}}"))
    assert error.key == "services.shop.gates.live.timeout" and "at most 5m" in error.allowed


def test_nothing_is_ever_evaluated(fleet: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file can read what it should not, or run something."""
    monkeypatch.setenv("HOME", "/evaluated")
    text = "${HOME} {{ 7 * 7 }} $(id) %(x)s"
    patch = shop(fleet(service(f"patch: {{image: '{text}'}}"))).patch
    assert patch is not None
    assert patch.image == text


def test_example_loads_and_says_its_defaults() -> None:
    """The documentation shows a file that the program refuses."""
    read = load(resources.path("fleet.example.yaml"))
    written, shortest = read.services["shop"], read.services["tidy"]
    for part in ("traffic", "deadlines", "bake_s", "keep_warm_s", "settle_s"):
        assert getattr(written, part) == getattr(shortest, part), part
    for gate in ("preflight", "replacement"):
        assert getattr(written.gates, gate) == getattr(shortest.gates, gate)
    assert written.gate_rule("live") == shortest.gate_rule("live")


def models_in(kind: Any) -> Iterator[type[BaseModel]]:
    """A model, and all that are inside of it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from models_in(field.annotation)
    for inner in typing.get_args(kind):
        yield from models_in(inner)


def test_example_shows_every_key() -> None:
    """A setting exists that nobody can find."""
    text = resources.read_text("fleet.example.yaml")
    models = set(models_in(Fleet)) - {CheckSpec}  # checks are written by their names
    assert len(models) > 12
    for model in models:
        for name, field in model.model_fields.items():
            assert re.search(rf"(^|[\s{{]){field.alias or name}:", text), f"{model.__name__}.{name}"


def test_example_says_the_defaults_of_the_whole_fleet() -> None:
    """What is marked (default) in the example is none."""
    read, bare = load(resources.path("fleet.example.yaml")), Fleet.model_construct()
    assert read.policy.model_copy(update={"blackouts": ()}) == bare.policy
    assert read.serve == bare.serve
    assert read.notify.way_back_ending_s == bare.notify.way_back_ending_s
    assert read.keep.checkpoint_every_s == bare.keep.checkpoint_every_s
    assert read.notify.to[0].on == Receiver.model_fields["on"].default
    assert read.notify.to[1].private is Receiver.model_fields["private"].default
    assert read.services["shop"].rollback_while_warm is read.services["tidy"].rollback_while_warm


def test_shipped_names_are_found_not_listed() -> None:
    """A new provider or check has to be registered in a second place."""
    assert "local" in known_providers()
    with pytest.raises(UnknownName, match=r"unknown provider 'locl' \(did you mean local\?\)") as caught:
        Shipped().provider_options("locl")
    assert "package.module:factory" in caught.value.allowed
    with pytest.raises(UnknownName, match=r"unknown check 'htp' \(did you mean http\?\)"):
        Shipped().check_options("htp")
    assert Shipped().check_options("http").__name__ == "Options"
    assert Shipped().provider_options("a.b:c") is None
    for odd in ("..", "base", "local.adapter", "os:system:x", ""):
        with pytest.raises(UnknownName):
            Shipped().provider_options(odd)


def test_fleet_can_be_read_from_memory(tmp_path: Path) -> None:
    """What a pipeline pipes in has to be written to a file first."""
    assert parse_fleet(service().encode(), tmp_path / "stdin", ToyCatalogue()).services
    with pytest.raises(SettingsErrors, match="stdin:1: "):
        parse_fleet(b"a", Path("stdin"), ToyCatalogue())
