"""The JSON Schema: editors complete and check a fleet file by it, so that it must say what the program says."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from healthchecks.registry import known_checks
from rollout import resources
from rollout.durations import BadDuration, parse_duration
from rollout.fleetfile.catalogue import known_providers
from rollout.fleetfile.document import parse
from rollout.fleetfile.schema import OUTSIDE_CHECK, OUTSIDE_PROVIDER, fleet_schema, schema_text
from rollout.fleetfile.values import LONGEST_KEPT_S, POSITIVE_SPAN_PATTERN, SPAN_PATTERN
from rollout.settings import SettingsErrors, parse_fleet

FILE = Path("fleet.yaml")
SCHEMA = fleet_schema()
VALIDATOR = Draft7Validator(SCHEMA)
STRUCTURE = ("text", "a whole number", "a number", "true or false", "a list", "a mapping", "'")
"""How the answers begin that a value of the wrong kind gets."""


def document(text: str) -> Any:
    """Plain data as the program reads it."""
    return parse(text.encode(), FILE).data


def shipped() -> dict[str, Any]:
    """Every fleet file that is shipped, with the demo's and the starter's gaps filled in."""
    values = {"port": 8080, "test_port": 8081, "first_port": 18100, "last_port": 18199, "service": "web"}
    values |= {"images": "/images", "advisories": "/advisories"}
    found = {}
    for name in resources.names():
        if name.endswith("fleet.yaml") or name == "fleet.example.yaml":
            text = resources.read_text(name)
            for gap, value in values.items():
                text = text.replace(f"{{{gap}}}", str(value))
            found[name] = document(text)
    return found


SHIPPED = shipped()
EXAMPLE = SHIPPED["fleet.example.yaml"]


def refused_by_schema(data: Any) -> bool:
    """Whether an editor marks it."""
    return next(VALIDATOR.iter_errors(data), None) is not None


def written(data: Any) -> bytes:
    """As a file: each key of its own line, because `state` has to stand on one."""
    if not isinstance(data, dict) or not data:
        return json.dumps(data).encode()
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in data.items()]
    return "\n".join(lines).encode()


def errors_of(data: Any) -> list[Any]:
    """What the program says of it."""
    try:
        parse_fleet(written(data), FILE)
    except SettingsErrors as error:
        return list(error.errors)
    return []


def test_schema_is_the_one_of_the_models() -> None:
    """Editors refuse a key that the program knows, or propose one that it does not know."""
    stale = "it is not what the models say; refresh it: rollout init --schema > config/fleet.schema.json"
    assert resources.read_text("fleet.schema.json") == schema_text(), stale


def test_schema_is_a_schema() -> None:
    """Editors turn it off without a word."""
    Draft7Validator.check_schema(SCHEMA)


def test_nothing_stands_beside_a_reference() -> None:
    """In draft 7 what stands beside a $ref is ignored: a default or an explanation is lost."""
    assert [each for each in inside(SCHEMA) if "$ref" in each and len(each) > 1] == []


def inside(schema: Any) -> Iterator[dict[str, Any]]:
    """Each mapping in a schema."""
    if isinstance(schema, dict):
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from inside(inner)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_fleets_are_valid(name: str) -> None:
    """The first thing that a new user sees in the editor is an error in our own example."""
    assert [error.message for error in VALIDATOR.iter_errors(SHIPPED[name])] == []


def test_every_name_is_completed() -> None:
    """An editor proposes only some of the providers and checks."""
    definitions = SCHEMA["definitions"]
    (names, _) = definitions["ServiceSettings"]["properties"]["provider"]["anyOf"]
    assert names["enum"] == list(known_providers())
    (alone, _, with_options) = definitions["Check"]["anyOf"]
    assert set(with_options["properties"]) == set(known_checks())
    with_needs = {"vulnerabilities", "alarms", "metrics", "command", "synthetic"}
    assert set(alone["enum"]) == set(known_checks()) - with_needs, "they ask nothing without options"


def test_every_key_of_ours_is_explained() -> None:
    """An editor shows a key and does not say what it does."""
    for model in ("ServiceSettings", "Traffic", "Gate", "Deadlines", "Receiver", "Notify", "Keep", "Serve", "Policy"):
        definition = SCHEMA["definitions"][model]
        for name, key in definition["properties"].items():
            target = key.get("$ref") or next((each.get("$ref") for each in key.get("anyOf", ())), None)
            there = SCHEMA["definitions"][target.rpartition("/")[2]] if target else key
            assert key.get("description") or there.get("description"), f"{model}.{name}"


def test_defaults_are_written_as_in_a_file() -> None:
    """An editor inserts 60.0 where 1m is meant, and the program refuses it."""
    properties = SCHEMA["definitions"]["Traffic"]["properties"]
    assert (properties["soak"]["default"], properties["steps"]["default"]) == ("1m", [10, 50, 100])
    for each in inside(SCHEMA):
        if each.get("pattern") in (SPAN_PATTERN, POSITIVE_SPAN_PATTERN) and "default" in each:
            parse_duration(each["default"])


@given(st.from_regex("[0-9dhms]{0,12}", fullmatch=True) | st.text(max_size=8))
def test_spans_are_those_of_the_program(text: str) -> None:
    """An editor accepts a length of time that the program refuses, or the other way round."""
    try:
        seconds = parse_duration(text, LONGEST_KEPT_S * 10**9)
    except BadDuration:
        seconds = -1.0
    assert Draft7Validator({"pattern": SPAN_PATTERN}).is_valid(text) == (seconds >= 0)
    assert Draft7Validator({"pattern": POSITIVE_SPAN_PATTERN}).is_valid(text) == (seconds > 0)


@pytest.mark.parametrize(
    ("pattern", "name", "good"),
    [
        (OUTSIDE_PROVIDER, "their.module:build", True),
        (OUTSIDE_PROVIDER, "module:build", True),
        (OUTSIDE_PROVIDER, "locla", False),
        (OUTSIDE_PROVIDER, "a:b:c", False),
        (OUTSIDE_CHECK, "their.module", True),
        (OUTSIDE_CHECK, "their.module:ask", True),
        (OUTSIDE_CHECK, "balancr", False),
    ],
)
def test_names_from_outside(pattern: str, name: str, good: bool) -> None:
    """An editor marks a provider of the user's own, or accepts a slip as one."""
    assert Draft7Validator({"pattern": pattern}).is_valid(name) is good


def test_what_stands_in_defaults_is_not_missing() -> None:
    """An editor asks for a provider that every service has from `defaults`."""
    short = {"version": 1, "services": {"a": {}}}
    assert refused_by_schema(short)
    assert refused_by_schema({**short, "defaults": {"provider": "local"}}), "coexist is still missing"
    assert not refused_by_schema({**short, "defaults": {"provider": "local", "coexist": "safe"}})
    assert not errors_of({**short, "defaults": {"provider": "local", "coexist": "safe"}})


def changed(path: str, **values: Any) -> Any:
    """The example with these keys in the mapping (or appended as a check to the list) at `path`."""
    data = copy.deepcopy(EXAMPLE)
    at: Any = data
    for part in path.split("."):
        at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
    if isinstance(at, list):
        at.append(values)
    else:
        at.update(values)
    return data


def with_aws(defaults: Any, options: Any) -> Any:
    """A fleet with one service, whose provider is named in `defaults`."""
    return {
        "version": 1,
        "defaults": {"provider": "aws", "coexist": "safe", "options": defaults},
        "services": {"shop": {"options": options}},
    }


@pytest.mark.parametrize("name", ["missing", "in defaults"])
def test_what_a_provider_needs_may_stand_in_defaults(name: str) -> None:
    """An editor does not see that an option is missing, or asks for one that every service has."""
    shop: dict[str, Any] = copy.deepcopy(SHIPPED["aws/fleet.yaml"]["services"]["shop"]["options"])
    blue = {"blue": shop.pop("blue")}
    fleet = with_aws(blue if name == "in defaults" else {}, shop)
    assert bool(errors_of(fleet)) is (name == "missing")
    assert refused_by_schema(fleet) is (name == "missing")


def test_options_are_judged_where_defaults_name_the_provider() -> None:
    """An editor completes nothing, and marks nothing, in a file that names its provider once."""
    shop = copy.deepcopy(SHIPPED["aws/fleet.yaml"]["services"]["shop"]["options"])
    assert refused_by_schema(with_aws({}, {**shop, "no_such_option": 1}))


REFUSED = {
    "a provider's option": changed("services.shop.options", imges="x"),
    "an option of another provider": changed("services.shop.options", launch_s=1.0),
    "a check's option": changed("services.shop.checks.live", http={"pth": "/"}),
    "an unknown check": changed("services.shop.checks.live", htp={"path": "/"}),
    "two checks in one entry": changed("services.shop.checks.live", http={}, balancer={}),
    "a check without what it needs": changed("services.shop.checks.live", vulnerabilities={}),
    "a choice": changed("services.shop", approval="maybe"),
    "a number without unit": changed("services.shop", bake=30),
    "zero": changed("services.shop.traffic", soak="0s"),
    "no checks": changed("services.shop.checks", live=[]),
    "a step": changed("services.shop.traffic", steps=[0, 100]),
    "a literal for a reference": changed("notify.to.0", apprise="slack://a/b/c"),
    "two ways to be told": changed("notify.to.0", webhook="https://ops.example.com", secret={"env": "A"}),
    "an unsigned webhook": changed("notify.to.1", secret=None),
    "a login in an address": changed("notify.to.1", webhook="https://a:b@ops.example.com"),
    "unknown news": changed("notify.to.0", on=["halt"]),
    "journals without an archive": changed("keep", archive=None),
    "too many at once": changed("serve", jobs=65),
    "a rollback that waits for a ticket": changed("policy", require_ref=["rollback"]),
    "a service's name": changed("services", Shop={"provider": "local", "coexist": "safe"}),
    "a folder in somebody's home": changed("keep", checkpoints="~/a"),
    "a missing provider": changed("services", bare={"coexist": "safe"}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_both_refuse(why: str) -> None:
    """An editor shows a file as right that the program refuses."""
    assert errors_of(REFUSED[why])
    assert refused_by_schema(REFUSED[why])


ACCEPTED = {
    "a reference where text may be": changed("services.shop.checks.live", http={"body_contains": {"env": "TEXT"}}),
    "a check without options": changed("services.shop.checks.live", http=None),
    "a provider from outside": changed("services", own={"provider": "a.b:c", "coexist": "safe", "options": {"x": 1}}),
    "no archive and no end": changed("keep", archive=None, journals=None),
    "nothing for the other way": changed("notify.to.0", webhook=None, secret=None),
    "the interval of traffic": changed("services.shop.gates.live", interval=None),
    "a year": changed("services.shop", keep_warm="366d"),
}


@pytest.mark.parametrize("why", ACCEPTED)
def test_both_accept(why: str) -> None:
    """An editor marks what the program accepts, and users learn to ignore it."""
    assert errors_of(ACCEPTED[why]) == []
    assert [error.message for error in VALIDATOR.iter_errors(ACCEPTED[why])] == []


def paths(data: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of everything in a document."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


PATHS = [(name, path) for name, data in SHIPPED.items() for path in paths(data)]
PLAIN: list[Any] = [None, True, False, -1, 0, 1, 64, 200, 2.5, "", "x", "5m", "local"]
VALUES = st.sampled_from([*PLAIN, [], {}, [{}], ["x"], [1], {"env": "NAME"}, {"x": 1}, {"http": None}])


def mutated(data: st.DataObject) -> Any:
    """A shipped fleet in which one thing was removed, renamed, or replaced."""
    name, path = data.draw(st.sampled_from(PATHS))
    fleet = copy.deepcopy(SHIPPED[name])
    at: Any = fleet
    for part in path[:-1]:
        at = at[part]
    how = data.draw(st.sampled_from(["remove", "rename", "replace", "replace"]))
    if how == "replace":
        at[path[-1]] = data.draw(VALUES)
        return fleet
    value = at.pop(path[-1])
    if how == "rename" and isinstance(at, dict):
        at[f"{path[-1]}{data.draw(st.sampled_from('sx_'))}"] = value
    return fleet


def is_of_structure(error: Any) -> bool:
    """Whether a schema can say this: an unknown or missing key, or a value of the wrong kind."""
    return error.problem.startswith("unknown ") or error.problem == "missing" or error.allowed.startswith(STRUCTURE)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutations_are_judged_alike(data: st.DataObject) -> None:
    """An editor marks what the program accepts, or shows as right what it refuses for its structure."""
    fleet = mutated(data)
    said = errors_of(fleet)
    if not said:
        assert [error.message for error in VALIDATOR.iter_errors(fleet)] == []
    elif any(is_of_structure(error) for error in said):
        assert refused_by_schema(fleet), said


def test_file_says_where_its_schema_is() -> None:
    """An editor does not know that there is a schema."""
    for name in ("fleet.example.yaml", "starter/fleet.yaml"):
        assert resources.read_text(name).startswith("# yaml-language-server: $schema=./fleet.schema.json\n")
    assert yaml.safe_load(resources.read_text("fleet.schema.json"))["$schema"].startswith("http://json-schema.org/")
