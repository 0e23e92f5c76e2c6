"""What AWS answers becomes an error that the engine knows, and a message that a person can use and anybody may read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from providers.aws.errors import (
    KINDS,
    LONGEST,
    CredentialsExpired,
    CredentialsRefused,
    code_of,
    kind_of,
    safe,
    translated,
)
from providers.aws.permissions import operations
from providers.base import Conflict, Denied, Invalid, NotFound, ProviderError, Throttled, Transient

TOKEN = "IQoJb3JpZ2luX2VjEHYaDGV1LWNlbnRyYWwtMSJHMEUCIQD" + "x" * 80
SECRETS = ("AKIAIOSFODNN7EXAMPLE", TOKEN, "IyEvYmluL3NoIHBhc3N3b3Jk")


def answered(code: str, message: str = "no", status: int = 400) -> boto.ClientError:
    """AWS's answer as botocore raises it."""
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(response, "Do")


def raised(error: Exception) -> ProviderError:
    """What it becomes."""
    with pytest.raises(ProviderError) as caught, translated("ec2 do in eu-central-1", "profile ops"):
        raise error
    return caught.value


def shapes() -> Iterator[tuple[str, str]]:
    """Every error that the models of the operations that are called name: operation, code."""
    session = Session()
    for operation in operations():
        api, name = operation.split(".")
        for shape in session.get_service_model(api).operation_model(name).error_shapes:
            yield operation, shape.metadata.get("error", {}).get("code") or shape.name


def test_every_error_of_every_operation_has_a_kind_that_somebody_chose() -> None:
    """A rollout gives up on what would pass in a moment, or repeats for hours what never can."""
    assert sorted({f"{operation}: {code}" for operation, code in shapes() if code not in KINDS}) == []
    assert len({code for _, code in shapes()}) > 60


@pytest.mark.parametrize(
    "code, message, status, kind",
    [
        ("Throttling", "Rate exceeded", 400, Throttled),
        ("RequestLimitExceeded", "", 503, Throttled),
        ("ResourceContention", "", 500, Throttled),
        ("ScalingActivityInProgress", "", 400, Throttled),
        ("ExpiredToken", "", 403, CredentialsExpired),
        ("RequestExpired", "", 400, CredentialsExpired),
        ("InvalidClientTokenId", "", 403, CredentialsRefused),
        ("AuthFailure", "", 401, CredentialsRefused),
        ("UnauthorizedOperation", "", 403, Denied),
        ("AccessDenied", "You are not authorized to use launch template: lt-1", 403, Denied),
        ("ValidationError", "You are not authorized to perform this operation", 400, Denied),
        ("ValidationError", "AutoScalingGroup name not found - null", 400, NotFound),
        ("ValidationError", "Desired capacity:9 must be between the specified min size:0 and max", 400, Invalid),
        ("InvalidAMIID.NotFound", "", 400, NotFound),
        ("InvalidAMIID.Malformed", "", 400, NotFound),
        ("InvalidAMIID.Unavailable", "", 400, NotFound),
        ("InvalidLaunchTemplateId.VersionNotFound", "", 400, NotFound),
        ("InvalidLaunchTemplateName.NotFoundException", "", 400, NotFound),
        ("InvalidLaunchTemplateName.AlreadyExistsException", "", 400, Conflict),
        ("InvalidGroup.InUse", "", 400, Conflict),
        ("TargetGroupNotFound", "", 400, NotFound),
        ("AlreadyExists", "", 400, Conflict),
        ("ResourceInUse", "", 400, Conflict),
        ("IdempotentParameterMismatch", "", 400, Conflict),
        ("InsufficientInstanceCapacity", "", 500, Transient),
        ("InternalFailure", "", 500, Transient),
        ("LimitExceeded", "", 400, Invalid),
        ("VcpuLimitExceeded", "", 400, Invalid),
        ("NeverHeardOf", "", 429, Throttled),
        ("NeverHeardOf", "", 403, Denied),
        ("NeverHeardOf", "", 502, Transient),
        ("NeverHeardOf", "", 400, Invalid),
    ],
)
def test_answers_mean_what_they_say(code: str, message: str, status: int, kind: type[ProviderError]) -> None:
    """The engine repeats, waits or ends by the kind alone."""
    error = raised(answered(code, message, status))
    assert type(error) is kind
    assert code_of(error) == code


@pytest.mark.parametrize(
    "error, kind",
    [
        (boto.ReadTimeoutError(endpoint_url="https://ec2.eu-central-1.amazonaws.com/"), Transient),
        (boto.EndpointConnectionError(endpoint_url="https://ec2.eu-central-1.amazonaws.com/"), Transient),
        (boto.ConnectionClosedError(endpoint_url="https://ec2.eu-central-1.amazonaws.com/"), Transient),
        (ResponseParserError("invalid XML received: b'<!doctype html>'"), Transient),
        (boto.NoCredentialsError(), CredentialsRefused),
        (boto.ProfileNotFound(profile="ops"), CredentialsRefused),
        (boto.UnauthorizedSSOTokenError(), CredentialsExpired),
        (boto.CredentialRetrievalError(provider="sso", error_msg="no"), CredentialsExpired),
        (boto.TokenRetrievalError(provider="sso", error_msg="no"), CredentialsExpired),
        (
            RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
            CredentialsExpired,
        ),
        (boto.ParamValidationError(report="Missing required parameter in input: x"), Invalid),
        (boto.UnknownServiceError(service_name="x", known_service_names="y"), Invalid),
    ],
)
def test_what_goes_wrong_on_this_side_has_a_kind_too(error: Exception, kind: type[ProviderError]) -> None:
    """A lost login ends a rollout, or a typing error keeps it waiting."""
    assert type(raised(error)) is kind


def test_expired_credentials_can_be_waited_for_and_refused_ones_cannot() -> None:
    """A rollout ends because a person's login ended at lunch time."""
    assert issubclass(CredentialsExpired, Transient) and issubclass(CredentialsRefused, Denied)
    assert "log in" in str(raised(answered("ExpiredToken")))


def test_an_error_of_our_own_is_left_alone() -> None:
    """A defect is told as an answer of AWS's."""
    with pytest.raises(RuntimeError, match="ours"), translated("x", "y"):
        raise RuntimeError("ours")
    with pytest.raises(Conflict), translated("x", "y"):
        raise Conflict("ours")


def test_a_message_says_what_was_asked_where_and_as_whom() -> None:
    """The person at night has to guess which of nine accounts it was."""
    text = str(raised(answered("AccessDenied", "User: arn:aws:sts::1:assumed-role/x is not authorized", 403)))
    assert "ec2 do in eu-central-1" in text and "profile ops" in text and "AccessDenied" in text


@pytest.mark.parametrize(
    "message",
    [
        f"The request signature we calculated does not match. The Canonical String for this request should have been "
        f"'POST\n/\n\nhost:x\nx-amz-security-token:{TOKEN}\n'",
        f"Encoded authorization failure message: {TOKEN}",
        "The AWS Access Key Id AKIAIOSFODNN7EXAMPLE needs a subscription",
        f"Could not connect to https://sts.amazonaws.com/?X-Amz-Signature=abc&X-Amz-Security-Token={TOKEN}",
        f"Invalid token {TOKEN}",
        "Parameter validation failed:\nInvalid type for parameter LaunchTemplateData.UserData, value: "
        "IyEvYmluL3NoIHBhc3N3b3Jk, type: <class 'bytes'>, valid types: <class 'str'>",
    ],
)
def test_a_message_holds_no_secret(message: str) -> None:
    """A token stands in a journal, a chat room and a backup."""
    for error in (answered("SignatureDoesNotMatch", message, 403), boto.ParamValidationError(report=message)):
        text = str(raised(error))
        assert not [secret for secret in SECRETS if secret in text]
        assert "X-Amz-Signature" not in text


def test_what_a_person_needs_of_a_message_is_kept() -> None:
    """So careful with secrets that nobody can repair anything."""
    kept = (
        "User: arn:aws:sts::123456789012:assumed-role/rollout/rollout-manager is not authorized to perform: "
        "ec2:RunInstances on resource: arn:aws:ec2:eu-central-1:123456789012:instance/*"
    )
    assert safe(kept) == kept
    arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener-rule/app/front/50dc6c495c0c9188/f2f7dc8e/96"
    assert arn in safe(f"Listener rule '{arn}' not found")


@given(st.text(max_size=2000))
def test_any_message_fits_on_a_line(text: str) -> None:
    """A page of XML in a table."""
    made = safe(text)
    assert len(made) <= LONGEST + 1 and len(made.splitlines()) <= 1


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 599))
def test_any_answer_has_a_kind(code: str, message: str, status: int) -> None:
    """An answer that nobody thought of breaks the engine."""
    assert issubclass(kind_of(code, message, status), ProviderError)
