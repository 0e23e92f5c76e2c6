"""What botocore raises, as the kinds of error that the engine knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto

from providers.base import Conflict, Denied, Invalid, NotFound, ProviderError, Throttled, Transient

THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "PriorRequestNotComplete",
    "SlowDown",
    "EC2ThrottledException",
    "ResourceContention",
    "ScalingActivityInProgress",
}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "Client.UnauthorizedOperation",
    "AuthFailure",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "OptInRequired",
    "InvalidAccessKeyId",
}
CONFLICT = {"AlreadyExists", "AlreadyExistsFault", "ResourceInUse", "IncorrectState", "IdempotentParameterMismatch"}


class CredentialsExpired(Transient):
    """Nothing was applied; somebody may log in again while the rollout waits."""


@contextmanager
def translated(what: str, who: str) -> Iterator[None]:
    """Anything that botocore raises inside becomes a ProviderError. `what` was asked, as `who` (a profile or role)."""
    try:
        yield
    except boto.ClientError as error:
        raise _answered(error, what, who) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound) as error:
        raise Denied(f"{what}: {error} ({who})") from error
    except (boto.TokenRetrievalError, boto.SSOError, boto.CredentialRetrievalError) as error:
        raise CredentialsExpired(f"{what}: {error} ({who}); log in again, for instance: aws sso login") from error
    except (boto.ParamValidationError, boto.UnknownRegionError, boto.InvalidRegionError) as error:
        raise Invalid(f"{what}: {error}") from error
    except boto.BotoCoreError as error:  # time-outs and lost connections: a write may have been applied
        raise Transient(f"{what}: {error}") from error


def _answered(error: boto.ClientError, what: str, who: str) -> ProviderError:
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    text = f"{what}: {code}: {message}"
    if code in THROTTLED or status == 429:
        return Throttled(text)
    if code in EXPIRED:
        return CredentialsExpired(f"{text} ({who}: the credentials have expired; log in again)")
    if code in DENIED or status == 401:
        return Denied(f"{text} ({who})")
    if "NotFound" in code or code.endswith(("Unknown", ".Malformed")) or "not found" in message.lower():
        return NotFound(text)
    if code in CONFLICT or "Duplicate" in code or code.endswith("AlreadyExistsException"):
        return Conflict(text)
    if status >= 500 or code in ("InternalFailure", "InternalError", "ServiceUnavailable", "RequestTimeout"):
        return Transient(text)
    return Invalid(text)
