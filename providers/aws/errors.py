"""What botocore raises, as the kinds of error that the engine knows.

Codes are looked up in one table. EC2 documents its codes on a page and not in its model, and has families of them, so
the end of a code decides there. A message of ours says what was asked, where and as whom, and never repeats a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from providers.base import Conflict, Denied, Invalid, NotFound, ProviderError, Throttled, Transient

LONGEST = 400


class CredentialsExpired(Transient):
    """Nothing was applied; somebody may log in again while the rollout waits."""


class CredentialsRefused(Denied):
    """There are none, or AWS does not know them: they may have been changed in the files meanwhile."""


THROTTLED = """
    BandwidthLimitExceeded EC2ThrottledException PriorRequestNotComplete PriorRequestNotCompleteException
    RequestLimitExceeded RequestThrottled RequestThrottledException ResourceContention ScalingActivityInProgress
    SlowDown Throttled ThrottledException Throttling ThrottlingException TooManyRequestsException TooManyUpdates
    TransactionInProgressException
"""
EXPIRED = "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired UnauthorizedSSOTokenError"
REFUSED = """
    AuthFailure IncompleteSignature InvalidAccessKeyId InvalidClientTokenId InvalidSignatureException
    MissingAuthenticationToken SignatureDoesNotMatch UnrecognizedClientException
"""
DENIED = """
    AccessDenied AccessDeniedException AWSServiceAccessNotEnabledException Blocked Client.UnauthorizedOperation
    DependencyAccessDeniedException KmsAccessDeniedException NotAuthorized OptInRequired PendingVerification
    RegionDisabledException UnauthorizedOperation
"""
NOT_FOUND = """
    AllocationIdNotFound AssociationDoesNotExist AssociationNotFound CaCertificatesBundleNotFound
    CertificateNotFound DoesNotExistException InvalidCommandId InvalidInstanceId InvocationDoesNotExist
    KmsKeyNotFoundException ListenerNotFound LoadBalancerNotFound NoSuchEntity NoSuchResourceException
    NotFoundException ParameterNotFound ParameterVersionNotFound ResourceNotFound ResourceNotFoundException
    RuleNotFound SubnetNotFound TargetGroupNotFound TrustStoreNotFound
"""
CONFLICT = """
    AlreadyExists AlreadyExistsException ConcurrentModification ConcurrentModificationException ConflictException
    DuplicateListener DuplicateTargetGroupName IdempotentParameterMismatch IncorrectInstanceState IncorrectState
    InstanceRefreshInProgress InvalidState OperationInProgress PriorityInUse ResourceInUse ResourceInUseException
"""
TRANSIENT = """
    DependencyTimeoutException HealthUnavailable IdempotentCallInProgress InsufficientInstanceCapacity InternalError
    InternalFailure InternalServerError InternalServerException InternalServiceError KeyUnavailableException
    KMSInternalException PolicyEvaluation RequestTimeout RequestTimeoutException RequestTimeTooSkewed ServerInternal
    ServiceException ServiceFailure ServiceLinkedRoleFailure ServiceUnavailable ServiceUnavailableException
    TrustStoreNotReady Unavailable
"""
INVALID = """
    ALPNPolicyNotFound AvailabilityZoneNotSupported CapacityDecreaseRequestLimitExceeded CapacityReservationPending
    CapacityUnitsLimitExceeded DisabledException DryRunOperation DuplicateInstanceId DuplicateTagKeys
    FeatureNotAvailableException IllegalArgumentException IncompatibleProtocols InstanceLimitExceeded
    InsufficientCapacity InvalidAggregatorException InvalidArnException InvalidConfigurationRequest InvalidDocument
    InvalidDocumentVersion InvalidFilter InvalidFilterKey InvalidFilterOption InvalidFilterValue InvalidFormat
    InvalidGrantIdException InvalidGrantTokenException InvalidInput InvalidInstanceInformationFilterValue
    InvalidInstancePropertyFilterValue InvalidInventoryGroupException InvalidKeyId InvalidKeyUsageException
    InvalidLoadBalancerAction InvalidMarkerException InvalidNextToken InvalidNotificationConfig InvalidOutputFolder
    InvalidPaginationTokenException InvalidParameterCombination InvalidParameterInput InvalidParameters
    InvalidParameterValue InvalidPluginName InvalidResourceId InvalidResourceType InvalidResultAttributeException
    InvalidRole InvalidScheme InvalidSecurityGroup InvalidSubnet InvalidTarget InvalidTypeNameException
    KMSInvalidSignatureException KMSInvalidStateException LimitExceeded LimitExceededException
    MalformedPolicyDocument MaxDocumentSizeExceeded MissingParameter OperationNotPermitted PackedPolicyTooLarge
    ParameterPatternMismatchException QuotaExceededException ServiceQuotaExceededException SSLPolicyNotFound
    TargetGroupAssociationLimit TargetNotConnected TooManyActions TooManyCertificates TooManyListeners
    TooManyRegistrationsForTargetId TooManyRules TooManyTags TooManyTagsError TooManyTargetGroups TooManyTargets
    TooManyUniqueTargetGroupsPerLoadBalancer UnsupportedFeatureRequiredException UnsupportedOperatingSystem
    UnsupportedOperation UnsupportedOperationException UnsupportedPlatformType UnsupportedProtocol ValidationError
    ValidationException VcpuLimitExceeded
"""
_TABLE = (
    (Throttled, THROTTLED),
    (CredentialsExpired, EXPIRED),
    (CredentialsRefused, REFUSED),
    (Denied, DENIED),
    (NotFound, NOT_FOUND),
    (Conflict, CONFLICT),
    (Transient, TRANSIENT),
    (Invalid, INVALID),
)
KINDS: Mapping[str, type[ProviderError]] = {code: kind for kind, codes in _TABLE for code in codes.split()}
"""What each code means to a rollout. Quotas are Invalid: asking again does not help, a person has to raise them."""

FAMILIES: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (re.compile(r"\.NotFound(Exception)?$|\.VersionNotFound$|Unknown$|\.Malformed$|\.Unavailable$"), NotFound),
    (re.compile(r"\.(Duplicate|AlreadyExists(Exception)?|InUse|InUseException)$|AlreadyExists(Exception)?$"), Conflict),
)
"""EC2's codes, such as InvalidAMIID.NotFound and InvalidLaunchTemplateName.AlreadyExistsException."""


def kind_of(code: str, message: str = "", status: int = 0) -> type[ProviderError]:
    """What an answer means. Auto Scaling has one code for nearly everything: there the message decides."""
    if code in ("ValidationError", "ValidationException"):
        if "not authorized" in message.lower():
            return Denied
        if "not found" in message.lower() or "does not exist" in message.lower():
            return NotFound
    if code in KINDS:
        return KINDS[code]
    for pattern, kind in FAMILIES:
        if pattern.search(code):
            return kind
    if status == 429:
        return Throttled
    if status in (401, 403):
        return Denied
    return Transient if status >= 500 else Invalid


def code_of(error: BaseException) -> str:
    """AWS's own code behind an error of ours, empty where AWS did not answer."""
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, boto.ClientError) else ""


_NO_WAY_IN: tuple[type[Exception], ...] = (
    *(boto.NoCredentialsError, boto.PartialCredentialsError, boto.UnknownCredentialError),
    *(boto.ProfileNotFound, boto.ConfigParseError, boto.InvalidConfigError, boto.RefreshWithMFAUnsupportedError),
)
_LOG_IN: tuple[type[Exception], ...] = (
    *(boto.TokenRetrievalError, boto.SSOError, boto.CredentialRetrievalError),
    *([boto.LoginError] if hasattr(boto, "LoginError") else []),  # newer ones have it
)
_NEVER: tuple[type[Exception], ...] = (
    *(boto.ParamValidationError, boto.UnknownRegionError, boto.InvalidRegionError, boto.NoRegionError),
    *(boto.DataNotFoundError, boto.OperationNotPageableError, boto.UnknownEndpointError, boto.ConfigNotFound),
)


@contextmanager
def translated(what: str, who: str) -> Iterator[None]:
    """Anything that botocore raises inside becomes a ProviderError. `what` was asked, as `who` (a profile or role)."""
    asked = f"{what}, as {who}"
    try:
        yield
    except boto.ClientError as error:
        raise _answered(error, asked) from error
    except _NO_WAY_IN as error:
        raise CredentialsRefused(f"{asked}: {safe(error)}") from error
    except _LOG_IN as error:
        raise CredentialsExpired(f"{asked}: {safe(error)}; log in again, for instance: aws sso login") from error
    except _NEVER as error:
        raise Invalid(f"{asked}: {safe(error)}") from error
    except ResponseParserError as error:  # a page of a proxy or a balancer on the way, which is in no answer's format
        raise Transient(f"{asked}: what came back is no answer of AWS: {safe(error)}") from error
    except boto.BotoCoreError as error:  # time-outs and lost connections: a write may have been applied
        raise Transient(f"{asked}: {safe(error)}") from error
    except RuntimeError as error:
        if "still expired" not in str(error):
            raise
        raise CredentialsExpired(f"{asked}: {safe(error)} Log in again.") from error


def _answered(error: boto.ClientError, asked: str) -> ProviderError:
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    kind = kind_of(code, message, status)
    text = f"{asked}: {code}: {safe(message)}"
    if kind is CredentialsExpired:
        return kind(f"{text}; the credentials have expired, or this machine's clock is wrong: log in again")
    return kind(text)


_SECRETS = (
    (re.compile(r"(?is)the canonical string for this request.*"), "(what was signed is left out)"),
    (re.compile(r"(?i)encoded authorization failure message: \S+"), "(AWS's encoded reason is left out)"),
    (re.compile(r"(?s), value: .*?(?=, type: |, valid |\n(?:Invalid|Unknown|Missing) |$)"), ""),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), "(a key)"),
    (re.compile(r"(https?://[^\s\"'?]*)\?[^\s\"']*"), r"\1?…"),
    (re.compile(r"(https?://)[^\s/\"'@]*@"), r"\1"),
    (re.compile(r"\b[A-Za-z0-9+/=]{60,}(?![\w/:])"), "…"),
)


def safe(told: object) -> str:
    """A message on one line, of bounded length, without keys, tokens, signed URLs and the values of parameters."""
    text = str(told)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
