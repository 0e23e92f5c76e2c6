"""Cuts the part that the emergency path speaks out of botocore's models: `python -m providers.aws.quick.cut`.

botocore reads 1.5 MB and looks into some four hundred folders before its first call to a balancer. What is cut is kept
beside this file; a test compares it with what is installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

API, VERSION = "elbv2", "2015-12-01"
MODEL, ENDPOINTS = "elbv2.json", "endpoints.json"
HERE = Path(__file__).parent
OPERATIONS = (
    "AddTags",
    "DescribeListeners",
    "DescribeLoadBalancers",
    "DescribeRules",
    "DescribeTags",
    "DescribeTargetGroups",
    "DescribeTargetHealth",
    "ModifyListener",
    "ModifyRule",
    "RemoveTags",
)
SERVICES = ("elasticloadbalancing", "oidc", "portal.sso", "signin", "sts")
"""The balancers, and what botocore asks for credentials. Of all others it knows what holds for a whole partition."""
UNSPOKEN = ("documentation", "documentationUrl", "errors")
"""Errors are told apart by their codes, which are in no model."""


def cut_model(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The operations, and the shapes that they are made of."""
    operations = {name: _plain(whole["operations"][name]) for name in OPERATIONS}
    shapes: dict[str, Any] = {}
    for operation in operations.values():
        for side in ("input", "output"):
            _gather(operation[side]["shape"], whole["shapes"], shapes)
    metadata = whole["metadata"]
    return {"version": whole["version"], "metadata": metadata, "operations": operations, "shapes": shapes}


def cut_endpoints(whole: Mapping[str, Any]) -> dict[str, Any]:
    """All partitions, with only these services in them."""
    return {
        **whole,
        "partitions": [
            {**one, "services": {name: found for name, found in one["services"].items() if name in SERVICES}}
            for one in whole["partitions"]
        ],
    }


def files() -> dict[str, str]:
    """The content of each file, from the botocore that is installed."""
    from botocore.loaders import Loader

    loader = Loader()
    model = loader.load_service_model(API, "service-2", VERSION)
    made = {MODEL: cut_model(model), ENDPOINTS: cut_endpoints(loader.load_data("endpoints"))}
    return {name: json.dumps(content, separators=(",", ":")) + "\n" for name, content in made.items()}


def _gather(name: str, known: Mapping[str, Any], into: dict[str, Any]) -> None:
    if name in into:
        return
    shape = into[name] = _plain(known[name])
    for part in (
        *shape.get("members", {}).values(),
        *(shape[key] for key in ("member", "key", "value") if key in shape),
    ):
        _gather(part["shape"], known, into)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if key not in UNSPOKEN}
    return [_plain(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    for name, content in files().items():
        (HERE / name).write_text(content, "utf-8")
