"""A value that fits a JSON schema, the same one each time.

Covers what the structured-output dialects of the usual vendors allow; `pattern` and `not` are not solved.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any

_DEEPEST = 5  # a schema that contains itself is cut here
_WORD = "simulated"
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example(schema: Mapping[str, Any] | bool, root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """Make a value that validates against the schema.

    Args:
        schema: a JSON schema, draft 2020-12.
        root: the document `$ref` points into; the schema itself when left out.
        depth: how deep in the value we are.
    """
    if isinstance(schema, bool) or not schema:
        return _WORD
    root = schema if root is None else root
    if "$ref" in schema:
        return example(_follow(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("allOf"):
        return example(_merged(schema, root), root, depth)
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return example(_pick(schema[union], depth), root, depth)
    return _of_type(_type_of(schema, depth), schema, root, depth)


def _follow(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for raw in schema["allOf"]:
        part = _follow(raw["$ref"], root) if "$ref" in raw else raw
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", []), *part.get("required", [])]
        merged = {**merged, **part}
        if properties:
            merged |= {"properties": properties, "required": required}
    return merged


def _pick(options: list[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
    """The first way, or past the deepest level one that ends there."""
    if depth < _DEEPEST:
        return options[0]
    return next((way for way in options if "$ref" not in way and way.get("type") != "object"), options[0])


def _type_of(schema: Mapping[str, Any], depth: int) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        return "null" if depth >= _DEEPEST and "null" in named else str(named[0])
    if named:
        return str(named)
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _of_type(kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    if kind == "object":
        return _object(schema, root, depth)
    if kind == "array":
        return _array(schema, root, depth)
    if kind in ("integer", "number"):
        return _number(kind, schema)
    return {"boolean": True, "null": None}.get(kind) if kind in ("boolean", "null") else _string(schema)


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    wanted = properties if depth < _DEEPEST else {name: properties.get(name, {}) for name in required}
    return {name: example(inner, root, depth + 1) for name, inner in wanted.items()}


def _array(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> list[Any]:
    prefix = [example(inner, root, depth + 1) for inner in schema.get("prefixItems", [])]
    least = schema.get("minItems", 0)
    usual = 0 if depth >= _DEEPEST else min(1, schema.get("maxItems", 1))
    missing = max(least, usual) - len(prefix)
    return prefix + [example(schema.get("items", {}), root, depth + 1) for _ in range(missing)]


def _number(kind: str, schema: Mapping[str, Any]) -> int | float:
    """The smallest allowed multiple not under 1, else the greatest one."""
    unit = Fraction(str(schema.get("multipleOf", 1)))
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    steps = 1
    if low is not None:
        steps = max(steps, ceil(Fraction(str(low)) / unit))
    if above is not None:
        steps = max(steps, floor(Fraction(str(above)) / unit) + 1)
    if high is not None:
        steps = min(steps, floor(Fraction(str(high)) / unit))
    if below is not None:
        steps = min(steps, ceil(Fraction(str(below)) / unit) - 1)
    value = steps * unit
    return int(value) if kind == "integer" or value.denominator == 1 else float(value)


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), _WORD)
    text = text.ljust(schema.get("minLength", 0), "-")
    return text[: schema.get("maxLength", len(text))]
