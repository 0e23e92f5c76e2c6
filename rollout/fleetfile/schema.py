"""The JSON Schema of a fleet file, made from the models, so that editors complete and check one while it is written.

Draft 7, which editors know best. It never refuses what `rollout.settings.load` accepts. It cannot say everything that
`load` says: what depends on two values at once (steps that rise, a gate that could never pass) is left to `load`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from healthchecks.registry import known_checks
from rollout.durations import ALLOWED, format_duration
from rollout.fleetfile.catalogue import Catalogue, Shipped, known_providers
from rollout.fleetfile.values import POSITIVE_SPAN_PATTERN, REFERENCE_SCHEMA, SPAN_PATTERN
from rollout.settings import Fleet

DRAFT = "http://json-schema.org/draft-07/schema#"
TITLE = "Fleet file of rollout"
OUTSIDE_PROVIDER = r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$"
OUTSIDE_CHECK = r"^[^\W\d]\w*(\.[^\W\d]\w*)+(:ask)?$"
LONGEST_DEFAULT = 12
_REF = "#/definitions/{model}"
_NESTED = ("properties", "definitions", "patternProperties")  # their values are schemas, their keys are names
_ONE = ("items", "additionalProperties", "if", "then", "else", "not", "propertyNames")
_MANY = ("anyOf", "allOf", "oneOf")

Schema = dict[str, Any]


def fleet_schema(catalogue: Catalogue | None = None) -> Schema:
    """The schema as plain JSON data; the same on every machine that has the same release."""
    catalogue, providers = catalogue or Shipped(), known_providers()
    made = Fleet.model_json_schema(by_alias=True, ref_template=_REF, schema_generator=_Generator)
    definitions: Schema = {**made.pop("$defs"), "Reference": dict(REFERENCE_SCHEMA)}
    definitions["Check"] = _check(catalogue, definitions)
    definitions.pop("CheckSpec")
    for gate in definitions["Checks"]["properties"].values():
        gate["items"] = {"$ref": "#/definitions/Check"}
    service = definitions["ServiceSettings"]
    service["properties"]["provider"] = _provider()
    options = {name: _options(catalogue.provider_options(name), f"provider.{name}", definitions) for name in providers}
    wanted = {name: made_of.pop("required", []) for name, made_of in options.items()}  # some may come from `defaults`
    service["allOf"] = [_options_where_named(name, definitions, options[name]) for name in providers]
    needed = service.pop("required")
    in_patch = definitions["PatchSettings"].pop("required")
    made["properties"]["defaults"] = {
        "allOf": [{"$ref": "#/definitions/ServiceSettings"}],
        "description": "Laid under every service: mappings are merged, lists and single values are replaced.",
    }
    made["allOf"] = [
        *(_unless_in_defaults([key], {"required": [key]}) for key in needed),
        _unless_in_defaults(["patch"], {"properties": {"patch": {"required": in_patch}}}),
        *(rule for name in providers for rule in _options_by_default(name, wanted[name])),
    ]
    whole: Schema = _each({"$schema": DRAFT, "title": TITLE, **made, "definitions": definitions}, _tidy)
    return whole


def schema_text(catalogue: Catalogue | None = None) -> str:
    """The schema as config/fleet.schema.json holds it."""
    return json.dumps(fleet_schema(catalogue), indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Without a warning for what has no JSON form, such as a default that is an object: it is left out."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        if kind != "non-serializable-default":
            super().emit_warning(kind, detail)


def _provider() -> Schema:
    outside = {"type": "string", "pattern": OUTSIDE_PROVIDER, "description": "package.module:factory from outside"}
    return {
        "description": "Who owns the hosts and the balancer.",
        "anyOf": [{"type": "string", "enum": list(known_providers())}, outside],
    }


def _options_where_named(name: str, definitions: Schema, options: Schema) -> Schema:
    """Where a shipped provider is named, `options` are its own."""
    definitions[f"provider.{name}"] = options
    return {
        "if": {"properties": {"provider": {"const": name}}, "required": ["provider"]},
        "then": {"properties": {"options": {"$ref": f"#/definitions/provider.{name}"}}},
    }


def _options_by_default(name: str, needed: list[str]) -> Iterator[Schema]:
    """The same where `defaults` name the provider; and what its options need, where `defaults` do not give it."""
    named: Schema = {"required": ["provider"], "properties": {"provider": {"const": name}}}
    unnamed: Schema = {"not": {"required": ["provider"]}}
    by_default: Schema = {"required": ["defaults"], "properties": {"defaults": named}}
    yield _each_service(by_default, unnamed, {"properties": {"options": {"$ref": f"#/definitions/provider.{name}"}}})
    for key in needed:
        has: Schema = {"required": ["options"], "properties": {"options": {"required": [key]}}}
        not_given: Schema = {"not": {"required": ["defaults"], "properties": {"defaults": has}}}
        yield _each_service(not_given, named, has)
        yield _each_service({"allOf": [not_given, by_default]}, unnamed, has)


def _each_service(when: Schema, which: Schema, then: Schema) -> Schema:
    """In a file like `when`, each service like `which` is like `then`."""
    return {"if": when, "then": {"properties": {"services": {"additionalProperties": {"if": which, "then": then}}}}}


def _check(catalogue: Catalogue, definitions: Schema) -> Schema:
    """One check of a gate: its name, or a mapping from its name to its options."""
    alone: list[str] = []
    with_options: Schema = {}
    for name in known_checks():
        options = _options(catalogue.check_options(name), f"check.{name}", definitions)
        definitions[f"check.{name}"] = options
        ref = {"$ref": f"#/definitions/check.{name}"}
        with_options[name] = ref
        if not options.get("required"):
            alone.append(name)
            with_options[name] = {"anyOf": [ref, {"type": "null"}]}
    outside = {"type": "string", "pattern": OUTSIDE_CHECK, "description": "package.module of a check from outside"}
    return {
        "description": "A check's name, or `name: {option: value}`.",
        "anyOf": [
            {"type": "string", "enum": alone},
            outside,
            {
                "type": "object",
                "properties": with_options,
                "patternProperties": {OUTSIDE_CHECK: {"type": ["object", "null"]}},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ],
    }


def _options(kind: Any, prefix: str, definitions: Schema) -> Schema:
    """The schema of an adapter's own options; what it defines goes into `definitions` under `prefix`."""
    template = f"#/definitions/{prefix}.{{model}}"
    made: Schema = TypeAdapter(kind).json_schema(ref_template=template, schema_generator=_Generator)
    for name, inner in made.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = _each(inner, _or_reference)
    made["description"] = re.sub(r"\s*Raises [^.]*\.", "", inspect.cleandoc(kind.__doc__ or ""))
    typed: Schema = _each(made, _or_reference)
    return typed


def _or_reference(schema: Schema) -> Schema:
    """In options, a reference to a secret may stand wherever text may, and what is one is never a mapping."""
    if isinstance(schema.get("additionalProperties"), dict):
        return {**schema, "not": {"$ref": "#/definitions/Reference"}}
    if schema.get("type") != "string" or "enum" in schema or "const" in schema:
        return schema
    said: Schema = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    text = {key: value for key, value in schema.items() if key not in said}
    return {**said, "anyOf": [text, {"$ref": "#/definitions/Reference"}]}


def _unless_in_defaults(keys: list[str], of_service: Schema) -> Schema:
    """What holds of each service where `defaults` do not give it the keys."""
    return {
        "if": {"not": {"required": ["defaults"], "properties": {"defaults": {"required": keys}}}},
        "then": {"properties": {"services": {"additionalProperties": of_service}}},
    }


def _each(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """The schema with `change` made in it and, before, in every schema that is inside of it."""
    if not isinstance(schema, dict):
        return schema
    whole = dict(schema)
    for key in _NESTED:
        if key in whole:
            whole[key] = {name: _each(inner, change) for name, inner in whole[key].items()}
    for key in _ONE:
        if key in whole:
            whole[key] = _each(whole[key], change)
    for key in _MANY:
        if key in whole:
            whole[key] = [_each(inner, change) for inner in whole[key]]
    return change(whole)


def _tidy(schema: Schema) -> Schema:
    """As files are written: lengths of time as text, no titles that repeat names, nothing beside a $ref."""
    tidy = dict(schema)
    if tidy.get("title") != TITLE:
        tidy.pop("title", None)
    if isinstance(tidy.get("description"), str):
        tidy["description"] = tidy["description"].replace("`", "")
    default = tidy.get("default")
    if default is None or isinstance(default, dict) or _is_no_text(default):
        tidy.pop("default", None)
    elif isinstance(default, float) and _is_span(tidy):
        tidy["default"] = format_duration(default)
    if tidy.get("pattern") in (SPAN_PATTERN, POSITIVE_SPAN_PATTERN):
        tidy["description"] = " ".join(filter(None, (tidy.get("description"), f"Allowed: {ALLOWED}.")))
    if "$ref" in tidy and len(tidy) > 1:
        tidy["allOf"] = [{"$ref": tidy.pop("$ref")}]
    return tidy


def _is_span(schema: Schema) -> bool:
    kinds = [schema, *schema.get("anyOf", ())]
    return any(kind.get("pattern") in (SPAN_PATTERN, POSITIVE_SPAN_PATTERN) for kind in kinds)


def _is_no_text(default: Any) -> bool:
    """A list that is too long, or not of plain values, to be of use to a reader."""
    return isinstance(default, list) and (len(default) > LONGEST_DEFAULT or any(isinstance(e, dict) for e in default))
