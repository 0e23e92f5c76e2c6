"""A request on the wire as the call that it is, and answers to it: the same in process and over HTTP."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from moto.core.exceptions import ServiceException
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import AttributePicker, get_serializer_class
from moto.core.utils import get_service_model

SIGNED_AS = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}
"""APIs whose requests are signed under another name than boto3 gives them."""

Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Call:
    """`operation` as AWS names it (ModifyListener), `api` as boto3 does (elbv2)."""

    api: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)
    protocol: str = field(default="query", compare=False)
    by_hand: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.api}.{self.operation}"

    @property
    def reads(self) -> bool:
        return self.operation.startswith(("Describe", "Get", "List", "BatchGet"))


def read_call(request: Request) -> Call | None:
    """None where it is no signed call of AWS."""
    scope = request.headers.get("Authorization", "").partition("Credential=")[2].split(",")[0].split("/")
    if len(scope) < 5:
        return None
    api = SIGNED_AS.get(scope[-2], scope[-2])
    model = get_service_model(api)
    path_parameters: Mapping[str, Any] = {}
    protocol = "smithy-rpc-v2-cbor"
    if request.headers.get("X-Amz-Target"):
        operation = request.headers["X-Amz-Target"].rsplit(".", 1)[-1]
    elif request.values.get("Action"):
        operation = request.values["Action"]
    elif "/operation/" in request.path:
        operation = request.path.rsplit("/", 1)[-1]
    else:
        found, path_parameters = get_service_router(api).match(request)
        operation = found.name
    if request.headers.get("Smithy-Protocol") != "rpc-v2-cbor":
        protocol = determine_request_protocol(model, request.content_type)
    parameters = _parameters(request, model.operation_model(operation), protocol, path_parameters)
    return Call(api, operation, parameters, protocol, "by-hand" in request.headers.get("User-Agent", ""))


def _parameters(request: Request, operation: Any, protocol: str, path: Mapping[str, Any]) -> dict[str, Any]:
    if protocol not in PROTOCOL_PARSERS:
        return {}
    parsed = PROTOCOL_PARSERS[protocol](operation, map_type=dict).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": dict(path),
        }
    )
    return dict(parsed or {})


def answer_to(call: Call, content: Mapping[str, Any]) -> Answer:
    """This content as the service would send it. AssertionError where it is none that AWS could give."""
    check_answer(call.api, call.operation, content)
    return _serialized(call, dict(content))


def refusal_of(call: Call, code: str, message: str, status: int = 400) -> Answer:
    """An error as the service would send it."""
    with warnings.catch_warnings():  # moto warns of codes that are common to all services
        warnings.simplefilter("ignore")
        _, headers, body = _serialized(call, _Refusal(code, message))
    return status, headers, body


class _Refusal(ServiceException):
    """Of this module, for moto finds a service by the module of an exception."""


def _serialized(call: Call, result: Any) -> Answer:
    model = get_service_model(call.api)
    serializer = get_serializer_class(model.service_name, call.protocol)(
        operation_model=model.operation_model(call.operation), value_picker=AttributePicker()
    )
    made = serializer.serialize(result)
    body = made["body"]
    headers = {"x-amzn-RequestId": "00000000-0000-0000-0000-000000000000", **made["headers"]}
    return made["status_code"], headers, body.encode() if isinstance(body, str) else body


@cache
def _output(api: str, operation: str) -> Any:
    return botocore.session.get_session().get_service_model(api).operation_model(operation).output_shape


def check_answer(api: str, operation: str, content: Mapping[str, Any]) -> None:
    """As botocore's Stubber does: every member is known to the service's model and has its type."""
    report = ParamValidator().validate(dict(content), _output(api, operation))
    assert not report.has_errors(), f"{api}.{operation} cannot answer this: {report.generate_report()}"
