"""The pure parts of the demo: values that fit a schema, tokens, fault specs."""

import subprocess
import sys

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.answers.schemas import example
from demo.answers.tokens import pieces
from demo.faults import MENU, parse_spec
from demo.faults.scripts import registered

TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name", "children"],
}
LINKED = {
    "$defs": {
        "link": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]}},
            "required": ["next"],
        }
    },
    "$ref": "#/$defs/link",
}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string", "minLength": 12, "maxLength": 14},
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 10, "maximum": 12, "multipleOf": 5},
        {"type": "integer", "exclusiveMinimum": -4, "exclusiveMaximum": -2},
        {"type": "number", "minimum": 0, "maximum": 0.75, "multipleOf": 0.25},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 3},
        {"type": "array", "items": {"type": "boolean"}, "maxItems": 0},
        {"type": "array", "prefixItems": [{"type": "null"}, {"const": 4}], "items": False},
        {"type": ["string", "null"]},
        {"enum": [None, 1]},
        {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        {
            "allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"$ref": "#/$defs/b"}],
            "$defs": {"b": {"type": "object", "properties": {"b": {"const": 2}}, "required": ["b"]}},
        },
        TREE,
        LINKED,
    ],
)
def test_an_example_fits_its_schema(schema: dict[str, object]) -> None:
    jsonschema.Draft202012Validator(schema).validate(example(schema))


@settings(max_examples=50)
@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@settings(max_examples=50)
@given(st.integers(0, 100), st.integers(1, 400))
def test_the_share_of_a_fault_is_exact(percent: int, requests: int) -> None:
    spec = parse_spec(f"stall@{percent / 100}")
    failed = sum(spec.at(nth) == "stall" for nth in range(requests))
    assert failed == requests * percent // 100


def test_faults_take_turns() -> None:
    spec = parse_spec("500|empty|stall@0.5")
    assert [spec.at(nth) for nth in range(1, 9, 2)] == ["500", "empty", "stall", "500"]


@pytest.mark.parametrize("text", ["", "stal", "500@2", "500@-0.1", "500@x", "500@1/0", "500|", "500@0.5@0.5"])
def test_a_spec_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fault|share"):
        parse_spec(text)


def test_every_fault_has_a_script_and_every_script_a_name() -> None:
    assert registered() == set(MENU)


def test_the_demo_stands_alone() -> None:
    code = "import sys, demo.simulated, demo.llama; print({'django', 'providers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
