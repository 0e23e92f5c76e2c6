"""Whose credentials are used, how they are renewed, and what happens when they end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from botocore import credentials as botocore_credentials
from botocore.exceptions import NoCredentialsError

from providers.aws.cloud import Cloud, Clouds, Place
from providers.aws.errors import CredentialsExpired, CredentialsRefused
from providers.aws.identity import expires_at, open_session, source
from providers.base import Context, Throttled
from providers.memory.clock import VirtualClock
from tests.aws.account import REGION, Account, in_process
from tests.aws.wire import wire

ROLE = "arn:aws:iam::123456789012:role/rollout"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def account() -> Iterator[Account]:
    """A small account."""
    with in_process() as made:
        yield made


def cloud_at(folder: Path, place: Place) -> Cloud:
    """The way to a place, with a clock of its own."""
    return Clouds(Context(folder, folder, VirtualClock())).at(place)


def look(cloud: Cloud, account: Account) -> Sequence[Any]:
    """A call as any other: the balancer's listeners, of which there are none."""
    return cast(
        "Sequence[Any]", cloud.read("elbv2", "describe_listeners", LoadBalancerArn=account.balancer)["Listeners"]
    )


def files(folder: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A profile `ops` with these static credentials, and none in the environment."""
    written = f"[ops]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = t\n"
    (folder / "credentials").write_text(written)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def renewed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    """So much of the hour that an assumed role lasts is over."""
    later = datetime.now(UTC) + timedelta(minutes=minutes)
    monkeypatch.setattr(botocore_credentials, "_local_now", lambda: later)
    held = cloud._session.get_credentials()  # type: ignore[union-attr]
    monkeypatch.setattr(held, "_time_fetcher", lambda: later)


def test_nothing_of_botocore_is_imported_before_a_session_is_opened() -> None:
    """A way back that only prints its help waits for a cloud library."""
    program = "import sys, providers.aws.identity\nassert not {'boto3', 'botocore'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=60)


def test_a_role_is_assumed_once_with_our_name_and_its_external_id(account: Account, tmp_path: Path) -> None:
    """The audit log names nobody, or every call assumes the role anew."""
    cloud = cloud_at(tmp_path, Place(REGION, role=ROLE, external_id="shop-7"))
    with wire(account) as line:
        for _ in range(3):
            look(cloud, account)
        (asked,) = line.asked("AssumeRole")
    assert asked.parameters["RoleArn"] == ROLE
    assert asked.parameters["RoleSessionName"] == "rollout-manager"
    assert asked.parameters["ExternalId"] == "shop-7"
    assert cloud.caller()["Arn"].endswith(":assumed-role/rollout/rollout-manager")
    assert cloud.credentials()[0] == "assume-role" and cloud.credentials()[1] is not None


def test_a_role_that_ends_in_the_middle_is_assumed_again(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rollout that lasts longer than an hour stops half-way."""
    cloud = cloud_at(tmp_path, Place(REGION, role=ROLE))
    with wire(account) as line:
        look(cloud, account)
        renewed(cloud, monkeypatch, minutes=59)
        look(cloud, account)
        assert line.count("AssumeRole") == 2


def test_a_refused_role_is_denied_and_names_it(account: Account, tmp_path: Path) -> None:
    """Nobody knows which of the roles has the wrong trust policy."""
    cloud = cloud_at(tmp_path, Place(REGION, role=ROLE))
    with wire(account) as line:
        line.deny("AssumeRole")
        with pytest.raises(Exception, match=ROLE) as caught:
            look(cloud, account)
    assert type(caught.value).__name__ == "Denied"


def test_the_regions_own_sts_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage far away keeps traffic from being put back here."""
    files(tmp_path, monkeypatch, "AKIAFIRST")
    session = open_session(Place(REGION, profile="ops"))
    assert session.create_client("sts").meta.endpoint_url == f"https://sts.{REGION}.amazonaws.com"


def test_every_client_of_a_session_is_short_and_never_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain that finds credentials hangs for minutes, and a write lands after its time-out."""
    files(tmp_path, monkeypatch, "AKIAFIRST")
    config = open_session(Place(REGION, profile="ops")).create_client("sts").meta.config
    assert (config.connect_timeout, config.read_timeout) == (2.0, 5.0)
    assert config.retries["total_max_attempts"] == 1


def test_static_credentials_do_not_end_and_say_where_they_are_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doctor cannot say whose credentials they are."""
    files(tmp_path, monkeypatch, "AKIAFIRST")
    session = open_session(Place(REGION, profile="ops"))
    assert source(session) == "shared-credentials-file" and expires_at(session) is None


def test_a_login_while_a_rollout_waits_is_noticed(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody logs in again, and the rollout waits for ever all the same."""
    files(tmp_path, monkeypatch, "AKIAFIRST")
    cloud = cloud_at(tmp_path, Place(REGION, profile="ops"))
    with wire(account) as line:
        line.expire()
        with pytest.raises(CredentialsExpired, match="log in"):
            look(cloud, account)
        files(tmp_path, monkeypatch, "AKIASECOND")
        line.login()
        look(cloud, account)
    assert cloud._session.get_credentials().access_key == "AKIASECOND"  # type: ignore[union-attr]


def test_keys_that_were_changed_in_the_files_are_noticed(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotated key means a restart of whatever serves."""
    files(tmp_path, monkeypatch, "AKIAFIRST")
    cloud = cloud_at(tmp_path, Place(REGION, profile="ops"))
    with wire(account) as line:
        line.fail("DescribeListeners", code="InvalidClientTokenId", status=403)
        with pytest.raises(CredentialsRefused):
            look(cloud, account)
        files(tmp_path, monkeypatch, "AKIASECOND")
        look(cloud, account)
    assert cloud._session.get_credentials().access_key == "AKIASECOND"  # type: ignore[union-attr]


def test_a_missing_profile_and_missing_credentials_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of Python lines instead of: there is no profile `prod`."""
    files(tmp_path, monkeypatch, "AKIAFIRST")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(CredentialsRefused, match="prod"):
        cloud_at(tmp_path, Place(REGION, profile="prod")).read("sts", "get_caller_identity")
    with pytest.raises(CredentialsRefused, match="default credentials"):
        cloud_at(tmp_path, Place(REGION)).read("sts", "get_caller_identity")
    with pytest.raises(NoCredentialsError):
        open_session(Place(REGION, role=ROLE)).get_credentials()


def test_a_busy_sts_ends_nothing_while_the_role_lasts(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal that is due early is refused for a moment, and a rollout stops though its credentials are good."""
    cloud = cloud_at(tmp_path, Place(REGION, role=ROLE))
    with wire(account) as line:
        look(cloud, account)
        renewed(cloud, monkeypatch, minutes=47)
        line.fail("AssumeRole", text="Rate exceeded")
        assert look(cloud, account) == []
        assert line.count("AssumeRole") == 2


def test_a_busy_sts_is_waited_for_where_the_role_has_ended(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollout of an hour is told that it is denied, or asks with credentials that have ended."""
    cloud = cloud_at(tmp_path, Place(REGION, role=ROLE))
    with wire(account) as line:
        look(cloud, account)
        renewed(cloud, monkeypatch, minutes=59)
        line.fail("AssumeRole", text="Rate exceeded", times=2)
        for _ in range(2):
            with pytest.raises(Throttled, match=ROLE):
                look(cloud, account)
        assert line.count("DescribeListeners") == 1, "nothing was asked with what had ended"
        look(cloud, account)
