"""The AWS provider in the contract suite, on a server: what is sent, read and cut as sockets have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.aws.server import server
from tests.providers.harness import Harness
from tests.providers.harness_aws import AwsHarness


@contextmanager
def open_harness(tmp_path: Path) -> Iterator[Harness]:
    """A server for each: that takes 20 ms, and nothing of another test is in it."""
    with server() as served:
        yield AwsHarness(served.account(), tmp_path)
