"""Whose credentials a call carries: a profile of the AWS configuration, and a role that is assumed with it.

Without either it is botocore's own chain: environment, web identity, SSO, container, instance profile. Imports nothing
of botocore before a session is opened, so that the way back can use it, too.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.session import Session

    from providers.aws.cloud import Place

CONNECT_S, READ_S = 2.0, 5.0
SESSION_NAME = "rollout-manager"
FROM_A_ROLE = "assume-role"


def open_session(place: Place) -> Session:
    """A session whose credentials are read when they are first needed, and renewed by themselves where they can be.

    Raises what botocore raises: ProfileNotFound, NoCredentialsError (a role without anybody to assume it).
    """
    source = _session(place)
    if not place.role:
        return source
    assumed = _session(place)
    assumed.register_component("credential_provider", _resolver(place, source))
    return assumed


def expires_at(session: Session) -> float | None:
    """When the credentials in use end, in seconds since 1970; None where they do not end, or that is not known."""
    ends = getattr(session.get_credentials(), "_expiry_time", None)
    return ends.timestamp() if isinstance(ends, datetime) else None


def source(session: Session) -> str:
    """Where botocore found the credentials, in its own words, such as `sso`; empty where there are none."""
    found = session.get_credentials()
    return str(found.method) if found else ""


def client_config() -> Any:
    """Short time-outs and no retries: the engine repeats what it journalled, and nothing else does."""
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": 1},
        max_pool_connections=32,
        user_agent_extra=SESSION_NAME,
    )


def _session(place: Place) -> Session:
    from botocore.session import Session

    session = Session(profile=place.profile or None)
    session.set_config_variable("region", place.region)
    session.set_config_variable("sts_regional_endpoints", "regional")  # a distant region's trouble is not ours
    session.set_default_client_config(client_config())  # also for the calls by which botocore finds credentials
    return session


def _resolver(place: Place, source: Session) -> Any:
    """Late: subclasses of botocore's classes."""
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        CredentialResolver,
        DeferredRefreshableCredentials,
    )
    from botocore.exceptions import NoCredentialsError

    def client(service: str, **credentials: str) -> Any:
        return source.create_client(
            service,
            region_name=place.region,
            endpoint_url=place.endpoint_url or None,
            config=client_config(),
            **credentials,
        )

    class Assuming(CredentialProvider):  # type: ignore[misc]
        METHOD = FROM_A_ROLE

        def load(self) -> Any:
            own = source.get_credentials()
            if own is None:
                raise NoCredentialsError
            asked = {"RoleSessionName": SESSION_NAME}
            if place.external_id:
                asked["ExternalId"] = place.external_id
            fetcher = AssumeRoleCredentialFetcher(client, own, place.role, extra_args=asked)
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, FROM_A_ROLE)

    return CredentialResolver([Assuming()])
