"""Campaigns in a fleet file: what they may say, and what is wrong with them, by file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from providers.aws.place import place_of, shares_images
from rollout.campaign import selection
from rollout.campaign.model import Limits, Place
from rollout.campaign.pins import as_text, references
from rollout.campaign.selection import Candidate, Wanted, least_seconds, overlaps, selected
from rollout.fleetfile.campaigns import MOST_PATTERNS, MOST_WAVES
from rollout.fleetfile.catalogue import Shipped, place_in
from rollout.fleetfile.waves import candidates, choose
from rollout.settings import Fleet, SettingsErrors, parse_fleet

FILE = Path("fleet.yaml")
SERVICES: dict[str, dict[str, Any]] = {
    "web-1": {"tags": {"tier": "web"}, "options": {"zone": "x", "region": "r1", "account": "1"}},
    "web-2": {"tags": {"tier": "web", "env": "prod"}, "options": {"zone": "y", "region": "r1", "account": "2"}},
    "db-tool": {"tags": {"tier": "tools"}, "options": {"region": "r2"}},
    "odd": {"provider": "local", "options": {}},
}


def fleet_of(waves: list[dict[str, Any]], **campaign: Any) -> bytes:
    """A fleet file with one campaign over SERVICES."""
    data = {
        "version": 1,
        "defaults": {"coexist": "safe"},
        "services": {name: {"provider": "memory", **each} for name, each in SERVICES.items()},
        "campaigns": {"monthly": {"image": "base-2", "waves": waves, **campaign}},
    }
    return yaml.safe_dump(data, sort_keys=False).encode()


def read(waves: list[dict[str, Any]], **campaign: Any) -> Fleet:
    """The fleet that this describes."""
    return parse_fleet(fleet_of(waves, **campaign), FILE)


def chosen(waves: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The services of each wave."""
    fleet = read(waves)
    return dict(choose(fleet.campaigns["monthly"], candidates(fleet, Shipped())).services)


def wrong(waves: list[dict[str, Any]], **campaign: Any) -> list[str]:
    """What is wrong, as it is told."""
    with pytest.raises(SettingsErrors) as caught:
        read(waves, **campaign)
    return [str(error) for error in caught.value.errors]


def wave(name: str, **more: Any) -> dict[str, Any]:
    """One wave; `select` is of the rest where nothing else is said."""
    return {"name": name, "select": {"rest": True}, **more}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ({"services": ["web-1", "odd"]}, ("web-1", "odd")),
        ({"services": ["web-*"]}, ("web-1", "web-2")),
        ({"tags": {"tier": "web"}}, ("web-1", "web-2")),
        ({"tags": {"tier": "web", "env": "prod"}}, ("web-2",)),
        ({"provider": ["local"]}, ("odd",)),
        ({"account": ["1", "2"]}, ("web-1", "web-2")),
        ({"region": ["r2"]}, ("db-tool",)),
        ({"zone": ["x"]}, ("web-1",)),
        ({"services": ["*"], "region": ["r1"], "zone": ["y"]}, ("web-2",)),
        ({"rest": True}, ("web-1", "web-2", "db-tool", "odd")),
    ],
)
def test_services_are_chosen(select: dict[str, Any], expected: tuple[str, ...]) -> None:
    """A wave patches other services than those that it was written for."""
    assert chosen([{"name": "one", "select": select}]) == {"one": expected}


def test_the_rest_is_what_no_other_wave_has() -> None:
    """The last wave patches the canary again, or forgets the services that are new."""
    waves = [wave("canary", select={"services": ["odd"]}), wave("rest"), wave("web", select={"tags": {"tier": "web"}})]
    assert chosen(waves) == {"canary": ("odd",), "rest": ("db-tool",), "web": ("web-1", "web-2")}


def test_each_wave_waits_for_the_one_above() -> None:
    """Waves begin together although the file has them one below the other."""
    waves = [
        wave("a", select={"services": ["odd"]}),
        wave("b", select={"services": ["web-1"]}),
        wave("c", select={"services": ["web-2"]}, after=["a"]),
        wave("d", after=[]),
    ]
    fleet = read(waves)
    after = choose(fleet.campaigns["monthly"], candidates(fleet, Shipped())).after
    assert after == {"a": (), "b": ("a",), "c": ("a",), "d": ()}


CASES = {
    "nothing": ([wave("a", select={"zone": ["z"]})], {}, "wave a selects nothing: no service fits all of it"),
    "no rest": (
        [wave("a", select={"services": ["*"]}), wave("b")],
        {},
        "wave b selects nothing: every service is in another wave",
    ),
    "twice": (
        [wave("a", select={"services": ["web-*"]}), wave("b", select={"zone": ["x"]})],
        {},
        "campaigns.monthly.waves[1].select: web-1 is in wave a and in wave b",
    ),
    "misspelt": ([wave("a", select={"services": ["web-3"]})], {}, "no service is called 'web-3' (did you mean web-"),
    "everything": ([wave("a", select={})], {}, "it would select everything"),
    "both": ([wave("a", select={"rest": True, "zone": ["x"]})], {}, "the rest has no conditions"),
    "two rests": ([wave("a"), wave("b")], {}, "wave a has the rest already"),
    "same name": ([wave("a", select={"services": ["odd"]}), wave("a")], {}, "another wave has this name"),
    "no such wave": ([wave("a", after=["b"])], {}, "there is no such wave"),
    "circle": (
        [
            wave("a", select={"services": ["odd"]}, after=["c"]),
            wave("b", select={"services": ["web-1"]}, after=["a"]),
            wave("c", after=["b"]),
        ],
        {},
        "waves wait for each other in a circle: a → c → b → a",
    ),
    "itself": ([wave("a", after=["a"])], {}, "in a circle: a → a"),
    "no waves": ([], {}, "nothing would be patched"),
    "no zone": ([wave("a", one_at_a_time="zone")], {}, "nobody knows the zone of db-tool"),
    "never": (
        [wave("a")],
        {"windows": [{"days": ["monday"], "from": "01:00", "to": "02:00"}], "blackouts": ["01-01..12-31"]},
        "it never opens",
    ),
    "deadline": ([wave("a", select={"services": ["odd"]}), wave("b")], {"deadline": "1h"}, "1h cannot be met"),
    "no image": ([wave("a")], {"image": None, "schedule": "0 22 * * tue"}, "nobody says what it starts with"),
    "bad cron": ([wave("a")], {"schedule": "0 22 * *"}, "five fields"),
    "pattern": ([wave("a", select={"services": ["web[12]"]})], {}, "in which * may stand for any text"),
    "typo": ([wave("a", max_paralel=2)], {}, "unknown key 'max_paralel' (did you mean max_parallel?)"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_work_is_said_before_anything_begins(case: str) -> None:
    """A campaign that can never do what it says is noticed in the middle of the patch night."""
    waves, more, expected = CASES[case]
    told = wrong(waves, **more)  # type: ignore[arg-type]
    assert any(expected in each for each in told), told
    assert all(each.startswith("fleet.yaml:") and "campaigns.monthly" in each for each in told)
    assert all(int(each.split(":")[1]) > 20 for each in told), "the line of the campaign"


def test_a_window_that_never_meets_a_services_is_found() -> None:
    """A service waits for ever, because its own window is on another day."""
    text = fleet_of([wave("a")], windows=[{"days": ["saturday"], "from": "01:00", "to": "05:00"}]).decode()
    text = text.replace("  odd:\n", "  odd:\n    windows: [{days: [tuesday], from: '01:00', to: '05:00'}]\n")
    with pytest.raises(SettingsErrors, match=r"never opens together with the windows of services\.odd"):
        parse_fleet(text.encode(), FILE)


def test_a_deadline_that_can_just_be_met_is_accepted() -> None:
    """A campaign that would be in time is refused."""
    waves = [wave("a", select={"services": ["odd"]}, soak="1h"), wave("b", max_parallel=3)]
    assert read(waves, deadline="2h").campaigns["monthly"].deadline_s == 7200


def test_places_come_from_options_and_else_from_tags() -> None:
    """Two zones are taken for one, because the provider could not say."""
    fleet = parse_fleet(
        b"version: 1\nservices:\n  a:\n    provider: local\n    coexist: safe\n"
        b"    tags: {zone: rack-1, region: here, architecture: arm64}\n",
        FILE,
    )
    (found,) = candidates(fleet, Shipped())
    assert found.place == Place("local", "", "here", "rack-1", "arm64")


def test_where_a_service_at_aws_is() -> None:
    """Services of two accounts are taken for one, and get the image of the other."""
    listener = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/web/1/2"
    options = {"region": "eu-central-1", "routes": [{"listener": listener}]}
    assert place_of(options) == {"region": "eu-central-1", "account": "123456789012"}
    assert place_of({**options, "account": "999999999999"})["account"] == "999999999999"
    assert place_of({}) == {}
    assert place_in({"region": "r", "zone": "", "account": 7}) == {"region": "r"}


@pytest.mark.parametrize(
    ("reference", "shared"),
    [
        ("ami-0123456789abcdef0", True),
        ("ssm:/golden/linux", True),
        ("name:self/base-*", True),
        ("bake:active", False),
        ("in-place", False),
        ("in-place:pb-0123456789abcdef0", False),
        ("ami-0123456789abcdef0+pb-0123456789abcdef0@2026-01-01", False),
    ],
)
def test_images_that_are_made_of_a_service_are_for_it_alone(reference: str, shared: bool) -> None:
    """One service's application is rolled out to all others, because an image was baked from it."""
    assert shares_images(reference) is shared


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "services": st.lists(st.sampled_from(["*", "a*", "*b", "ab", "c"]), min_size=1, max_size=2).map(tuple),
        "zone": st.lists(st.sampled_from("xy"), min_size=1, max_size=2).map(tuple),
        "tags": st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw"), max_size=2),
    },
).map(lambda given: Wanted(**cast(Any, given)))
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.text("abc", min_size=1, max_size=3),
        st.builds(Place, zone=st.sampled_from("xyz")),
        st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw"), max_size=2),
    ),
    max_size=8,
    unique_by=lambda each: each.name,
)


@given(st.dictionaries(st.sampled_from(["w1", "w2", "w3"]), CONDITIONS, min_size=1), CANDIDATES)
def test_every_service_is_in_a_wave_or_in_the_rest(waves: dict[str, Wanted], services: list[Candidate]) -> None:
    """Some service is in no wave although one has the rest, or is twice in one."""
    found = selected({**waves, "rest": Wanted(rest=True)}, services)
    assert {name for names in found.values() for name in names} == {each.name for each in services}
    for wave_name, wanted in waves.items():
        assert found[wave_name] == tuple(e.name for e in services if wanted.fits(e.name, e.place, e.tags))
    twice = {name for name, _, _ in overlaps(found)}
    assert twice == {e.name for e in services if sum(e.name in names for names in found.values()) > 1}


@given(st.integers(1, 5), st.integers(1, 40), st.floats(0, 1000), st.floats(1, 1000))
def test_no_campaign_is_quicker_than_it_can_be(parallel: int, count: int, soak_s: float, least_s: float) -> None:
    """A deadline that nobody can meet is accepted, or one that could be met is refused."""
    names = tuple(f"s{each}" for each in range(count))
    limits = {"a": Limits(parallel, soak_s=soak_s), "b": Limits(1)}
    needed = least_seconds(
        {"a": (), "b": ("a",)}, limits, {"a": names, "b": ("last",)}, dict.fromkeys(names, least_s) | {"last": 1.0}
    )
    rounds = -(-count // parallel)
    assert needed == pytest.approx(rounds * least_s + soak_s)


def test_one_patch_has_a_name_for_each_provider() -> None:
    """A campaign over two providers is impossible, for no image is called the same in both."""
    text = as_text({"local": "base-2", "aws": "name:self/base-*"})
    assert text == "local=base-2 aws=name:self/base-*"
    assert references(text, ["aws", "local", "aws"]) == {"local": "base-2", "aws": "name:self/base-*"}
    assert references("local=base-2", ["aws", "local"]) == {"local": "base-2"}
    assert references("base-2", ["aws", "local"]) == {"aws": "base-2", "local": "base-2"}
    assert references("a=b", ["local"]) == {"local": "a=b"}, "an image may be called so"


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.from_regex(r"[^\s]{1,9}", fullmatch=True), min_size=1))
def test_names_for_each_provider_are_read_as_they_were_written(names: dict[str, str]) -> None:
    """What a run has on record as its patch is another one when it is read."""
    assert references(as_text(names), names) == names


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ({"memory": "b"}, "campaigns.monthly.image: nothing is rolled out to odd (local); found"),
        ({"memory": "b", "local": "c", "aws": "d"}, "image.aws: no service of the campaign has provider 'aws'"),
        ({"memory": "b", "local": 4}, "image.local: found 4; allowed: text"),
        (
            {"memory": "b", "local": "a b"},
            "image.local: found 'a b'; allowed: a provider's name, and a reference without",
        ),
        ({}, "nothing would be rolled out"),
        ([1], "image: found a list; allowed: text (in quotes if it looks like something else) or a mapping"),
    ],
)
def test_an_image_for_each_provider_is_judged(image: Any, told: str) -> None:
    """A provider is forgotten, or spelt wrong, and that is found out in the patch night."""
    (error,) = wrong([wave("all")], image=image)
    assert told.replace("; found", "") in error and error.startswith("fleet.yaml:")


def test_what_is_looked_at_together_is_bounded() -> None:
    """A file that was made by a program keeps every command waiting for minutes, or ends it with a stack trace."""
    many = [wave(f"w{number}", select={"services": ["web-1"]}) for number in range(MOST_WAVES + 1)]
    assert "too many waves" in wrong(many)[0]
    stars = {"services": [f"web-{number}*" for number in range(MOST_PATTERNS + 1)]}
    assert "too many names with *" in wrong([wave("all", select=stars)])[0]
    assert "too many of them" in wrong([wave("all")], blackouts=["2026-01-01"] * 201)[0]
    assert "too many of them" in wrong([wave("all")], windows=[{"from": "00:00", "to": "01:00"} for _ in range(201)])[0]
    deep = [wave(f"w{number}", select={"services": ["web-1"]}) for number in range(MOST_WAVES)]
    assert "web-1 is in wave w0 and in wave w1" in wrong(deep)[0], "a chain of so many is judged, not fallen over"


def test_thousands_of_names_are_looked_up_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wave that names its ten thousand services one by one is chosen for a minute, by every command."""
    compared = list[str]()
    monkeypatch.setattr(selection, "fnmatchcase", lambda name, pattern: compared.append(name))
    names = tuple(f"s{number}" for number in range(3000))
    services = [Candidate(name, Place()) for name in names]
    assert selected({"all": Wanted(services=names)}, services) == {"all": names}
    assert not compared
