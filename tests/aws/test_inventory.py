from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from providers.aws.inventory import packages
from providers.base import HostInventory, Invalid, Provider, Service
from tests.aws.account import Account, in_process, open_provider
from tests.aws.wire import wire

AMAZON = {"InstanceId": "i-1", "PlatformName": "Amazon Linux", "PlatformVersion": "2023"}
UBUNTU = {"InstanceId": "i-1", "PlatformName": "Ubuntu", "PlatformVersion": "22.04"}
OPENSSL = {"Name": "openssl", "Version": "3.0.8", "Release": "1.amzn2023", "Epoch": "1", "Architecture": "x86_64"}
STATE = {
    "MissingCount": 3,
    "FailedCount": 1,
    "InstalledPendingRebootCount": 2,
    "InstalledCount": 200,
    "SecurityNonCompliantCount": 2,
}


@dataclass
class Shop:
    account: Account
    provider: Provider
    service: Service

    @property
    def ids(self) -> list[str]:
        """Blue's hosts."""
        return [host.id for host in self.provider.compute.observe([self.service])["shop"] if host.slot == "blue"]

    def read(self) -> Sequence[HostInventory]:
        """Of blue."""
        return self.provider.inventory.read(self.service, "blue")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Two hosts with an inventory of one package."""
    with in_process() as account:
        account.answers.inventory_of = lambda host: {"openssl": "3.0.8-1.amzn2023"}
        yield Shop(account, open_provider(tmp_path), account.service())


def test_each_host_has_its_packages_and_patches(shop: Shop) -> None:
    """Otherwise the gain of a patch cannot be shown host by host."""
    first, second = shop.ids
    ended = datetime.now(UTC) - timedelta(hours=1)
    shop.account.answers.patch_states[first] = {**STATE, "OperationEndTime": ended}
    known = {host.host: host for host in shop.read()}
    assert known[first].packages == ("pkg:rpm/amzn/openssl@3.0.8-1.amzn2023?arch=x86_64&distro=amzn-2023",)
    assert known[first].image == shop.account.images["base-1"]
    state = known[first].patches
    assert state is not None
    assert (state.installed, state.missing, state.missing_security) == (200, 3, 2)
    assert (state.failed, state.pending_reboot, state.baseline) == (1, 2, "pb-0123456789abcdef0")
    assert state.at == pytest.approx(ended.timestamp(), abs=1)
    assert known[second].patches is None


def test_numbers_that_are_not_told_are_no_state(shop: Shop) -> None:
    """Otherwise a number that is missing counts as none missing."""
    shop.account.answers.patch_states[shop.ids[0]] = {"MissingCount": 0, "FailedCount": 0}
    assert {host.patches for host in shop.read()} == {None}


def test_security_that_is_not_told_apart_is_all_that_is_missing(shop: Shop) -> None:
    """Otherwise what may be a hole is taken for none."""
    told = {key: value for key, value in STATE.items() if key != "SecurityNonCompliantCount"}
    shop.account.answers.patch_states[shop.ids[0]] = told
    (state,) = (host.patches for host in shop.read() if host.patches)
    assert state.missing_security == 3


def test_a_host_that_is_not_managed_says_so(shop: Shop) -> None:
    """Otherwise a host that nobody looks into counts as known."""
    shop.account.answers.inventory_of = lambda host: None
    assert {(host.packages, "does not know it" in host.problem) for host in shop.read()} == {(None, True)}


def test_an_inventory_older_than_the_host_is_none(shop: Shop) -> None:
    """Otherwise an image's old packages are taken for what the host has."""
    shop.account.answers.captured_at = datetime(2020, 1, 1, tzinfo=UTC)
    assert {(host.packages, "older than the host" in host.problem) for host in shop.read()} == {(None, True)}


def test_an_inventory_from_before_the_patches_is_none(shop: Shop) -> None:
    """Otherwise the packages from before a patch are compared as those after it."""
    told = {**STATE, "Operation": "Install", "OperationEndTime": datetime.now(UTC) + timedelta(minutes=1)}
    shop.account.answers.patch_states = dict.fromkeys(shop.ids, told)
    assert {(host.packages, "last installation" in host.problem) for host in shop.read()} == {(None, True)}


def test_no_entries_are_no_inventory(shop: Shop) -> None:
    """Otherwise a host without packages is clean."""
    shop.account.answers.give("ssm", "ListInventoryEntries", {"Entries": []})
    assert {(host.packages, "AWS-GatherSoftwareInventory" in host.problem) for host in shop.read()} == {(None, True)}


def test_all_pages_are_read_and_hosts_are_asked_for_together(shop: Shop) -> None:
    """Otherwise half of the packages are compared, or a large fleet is throttled."""
    shop.account.answers.inventory_of = lambda host: {f"package-{n}": f"{n}-1" for n in range(120)}
    with wire(shop.account) as line:
        hosts = shop.read()
    assert [len(host.packages or ()) for host in hosts] == [120, 120]
    asked = [call.operation for call in line.calls]
    assert asked.count("DescribeInstancePatchStates") == asked.count("DescribeInstanceInformation") == 1


@pytest.mark.parametrize(
    ("agent", "entry", "purl"),
    [
        (AMAZON, OPENSSL, "pkg:rpm/amzn/openssl@1:3.0.8-1.amzn2023?arch=x86_64&distro=amzn-2023"),
        (AMAZON, {**OPENSSL, "Epoch": "(none)"}, "pkg:rpm/amzn/openssl@3.0.8-1.amzn2023?arch=x86_64&distro=amzn-2023"),
        (
            AMAZON,
            {"Name": "openssl-libs", "Version": "3.0.8", "PackageId": "openssl-3.0.8-1.amzn2023.src.rpm"},
            "pkg:rpm/amzn/openssl-libs@3.0.8-1.amzn2023?distro=amzn-2023",
        ),
    ],
)
def test_packages_are_named_as_advisories_name_them(
    agent: Mapping[str, Any], entry: Mapping[str, str], purl: str
) -> None:
    """Otherwise no advisory is ever found for a package."""
    (found,) = packages([entry], agent)
    assert PackageURL.from_string(found) == PackageURL.from_string(purl)


def test_a_host_whose_source_packages_nobody_tells_is_unknown() -> None:
    """Otherwise libc6 is looked up where glibc stands, nothing is found, and a hole counts as closed."""
    entry = {"Name": "libc6:amd64", "Version": "2.35-0ubuntu3.4", "Architecture": "x86_64"}
    with pytest.raises(ValueError, match="source packages"):
        packages([entry], UBUNTU)


@pytest.mark.parametrize("entry", [{"Name": "x"}, {"Version": "1"}, {"Name": "openssl", "Version": "3.0.8"}])
def test_a_package_that_is_half_known_makes_the_host_unknown(entry: Mapping[str, str]) -> None:
    """Otherwise two releases of a package look alike, and the fixed one is not told from the other."""
    with pytest.raises(ValueError, match="software inventory"):
        packages([entry], AMAZON)


def test_a_system_that_is_not_known_makes_the_host_unknown() -> None:
    """Otherwise its packages are compared by another system's rules."""
    with pytest.raises(Invalid, match="templeos"):
        packages([OPENSSL], {"InstanceId": "i-1", "PlatformName": "TempleOS"})


@given(
    st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1),
    st.from_regex(r"[0-9][0-9a-z.~^+]{0,12}", fullmatch=True),
    st.from_regex(r"[0-9][0-9a-z._~^+]{0,12}", fullmatch=True),
    st.integers(0, 9),
)
def test_what_is_written_can_be_read_again(name: str, version: str, release: str, epoch: int) -> None:
    """Otherwise a version that has a strange letter is compared as another one."""
    entry = {"Name": name, "Version": version, "Release": release, "Epoch": str(epoch)}
    (found,) = packages([entry], AMAZON)
    told = PackageURL.from_string(found)
    assert (told.name, told.version) == (name.lower() if told.name.islower() else name, told.version)
    assert told.version == (f"{epoch}:" if epoch else "") + f"{version}-{release}"
