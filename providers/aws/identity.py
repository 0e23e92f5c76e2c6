"""Whose credentials a call carries: a profile of the AWS configuration, and a role that is assumed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.session import Session

if TYPE_CHECKING:
    from providers.aws.cloud import Place


def open_session(place: Place) -> Session:
    session = Session(profile=place.profile or None)
    return session
