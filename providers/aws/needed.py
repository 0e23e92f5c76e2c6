"""What AWS's own library is needed for, and how its absence is told: it is an extra, for those who have AWS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from providers.contract.errors import Invalid

INSTALL = "pip install 'rollout-manager[aws]' (with pipx: pipx inject rollout-manager boto3)"


@contextmanager
def boto3_needed() -> Iterator[None]:
    """What is imported inside stands on boto3. Raises Invalid saying how to install it."""
    try:
        yield
    except ImportError as error:
        raise Invalid(f"provider aws needs boto3, which cannot be imported here ({error}): {INSTALL}") from error
