"""The emergency path's own start: the part of botocore's models that it speaks, and nothing that it does not need."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import loaders
from botocore.session import Session

from providers.aws.quick import cut
from providers.aws.quick.loading import QuickLoader, quickened
from tests.aws.account import CREDENTIALS

REGIONS = (
    "eu-central-1",
    "us-east-1",
    "us-gov-west-1",
    "cn-north-1",
    "us-iso-east-1",
    "eusc-de-east-1",
    "eu-nowhere-9",
)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Made-up credentials, and nothing of the machine's."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    yield


def test_what_is_cut_is_what_is_installed() -> None:
    """The emergency path speaks last year's API, or lacks a field that its answer has now."""
    for name, content in cut.files().items():
        kept, fresh = json.loads((cut.HERE / name).read_text("utf-8")), json.loads(content)
        assert kept == fresh, "run: python -m providers.aws.quick.cut"


def test_what_is_cut_is_small() -> None:
    """Each rollback at night reads a megabyte before its first call."""
    assert sum((cut.HERE / name).stat().st_size for name in (cut.MODEL, cut.ENDPOINTS)) < 64_000


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("variant", ["", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_every_call_goes_where_botocore_sends_it(region: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In China, GovCloud or a region that opened yesterday the way back calls a host that does not exist."""
    if variant:
        monkeypatch.setenv(variant, "true")
    for service in ("elbv2", "sts"):
        there = []
        for session in (Session(), quickened(Session())):
            try:
                client = session.create_client(service, region_name=region)
                there.append(
                    (client.meta.endpoint_url, client.meta.region_name, client._client_config.signature_version)
                )
            except Exception as error:  # botocore's own, the same from both
                there.append((type(error).__name__, str(error), ""))
        assert there[0] == there[1]


def test_endpoints_of_the_users_own_are_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where AWS is reached by a private endpoint, the way back alone goes over the internet, which is closed."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "https://vpce-1.example")
    assert (
        quickened(Session()).create_client("elbv2", region_name="eu-central-1").meta.endpoint_url
        == "https://vpce-1.example"
    )


def test_models_of_the_users_own_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever keeps models of his own for a platform like AWS's is served another API."""
    monkeypatch.setattr(loaders.Loader, "CUSTOMER_DATA_PATH", str(tmp_path / "none"))
    assert isinstance(quickened(Session()).get_component("data_loader"), QuickLoader)
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    assert not isinstance(quickened(Session()).get_component("data_loader"), QuickLoader)
    monkeypatch.delenv("AWS_DATA_PATH")
    (tmp_path / "none").mkdir()
    assert not isinstance(quickened(Session()).get_component("data_loader"), QuickLoader)


def test_other_apis_are_botocores_own() -> None:
    """A look for a host's service knows no hosts."""
    loader: Any = QuickLoader()
    assert "DescribeInstances" in loader.load_service_model("ec2", "service-2")["operations"]
    assert set(loader.load_service_model("elbv2", "service-2")["operations"]) == set(cut.OPERATIONS)
    assert "DescribeTargetGroups" in loader.load_service_model("elbv2", "paginators-1")["pagination"]


@pytest.mark.parametrize("heavy", ["boto3", "botocore", "urllib3", "shlex", "tempfile", "providers.aws.options"])
def test_it_starts_without(heavy: str) -> None:
    """The first line at night waits for what only some nights need."""
    program = f"import sys, providers.aws.rollback; print({heavy!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "False\n", done


def test_a_call_needs_no_boto3() -> None:
    """Half of the time before the first call goes into a library that is not used."""
    program = (
        "import sys; from providers.aws.quick.calls import Place, open_client; "
        "open_client(Place('eu-central-1')); print('boto3' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "False\n", done
