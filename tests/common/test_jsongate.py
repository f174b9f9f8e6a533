import contextlib
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common import jsongate
from common.errors import InvalidJson

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(':"\\{}[],0129'), max_size=12)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT


def nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    """Has a name: Hypothesis parses the source of a lambda to tell of it, for which the stack may be too deep."""
    return st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)


VALUES = st.recursive(SCALARS, nested)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=5)
SPACE = st.text(st.sampled_from(" \t\r\n"), max_size=2)


@st.composite
def written_strings(draw: st.DrawFn) -> str:
    """A string in quotes, each character as itself or escaped."""

    def written(char: str) -> str:
        if char in '"\\' or char < " " or draw(st.booleans()):
            units = char.encode("utf-16-be")
            return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))
        return char

    return '"' + "".join(written(char) for char in draw(TEXT)) + '"'


FEW_KEYS = st.sampled_from(['"a"', '"\\u0061"', '"b:"', '"b\\u003a"', '"b\\u003A"', '":"', '""']) | written_strings()


def written_objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(SPACE, FEW_KEYS, SPACE, st.just(":"), SPACE, values, SPACE).map("".join)
    return st.lists(member, max_size=4).map(lambda members: "{" + ",".join(members) + "}")


def written_lists(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(SPACE, values, SPACE).map("".join), max_size=4).map(
        lambda items: "[" + ",".join(items) + "]"
    )


def written_nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    return written_objects(inner) | written_lists(inner)


WRITTEN = st.recursive(SCALARS.map(json.dumps) | written_strings(), written_nested)


class DuplicateKey(Exception):
    pass


def reference(text: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs):
            raise DuplicateKey
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique)


@given(OBJECTS, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n", "\t:")]))
def test_valid_documents_are_read_as_the_standard_library_reads_them(value, ascii_only, separators):
    body = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
    assert jsongate.loads(body) == json.loads(body) == value


@given(written_objects(WRITTEN))
@example('{"a":1,"a":"\\u003a"}')
@example('{"a":":","a":1,"b":"\\u003a"}')
@example('{"a":1,"b":{"a":1,"\\u0061":":"},"c":"\\u003A\\u003A"}')
def test_duplicate_keys_are_refused_exactly_when_there_are_any(text: str):
    try:
        expected = reference(text)
    except DuplicateKey:
        with pytest.raises(InvalidJson, match="appears twice"):
            jsongate.loads(text.encode())
    else:
        assert jsongate.loads(text.encode()) == expected


HOSTILE = {
    "duplicate key": b'{"a":1,"a":1}',
    "duplicate key, one escaped": b'{"a":1,"\\u0061":2}',
    "duplicate key, balanced by an escaped colon": b'{"a":1,"a":"\\u003a"}',
    "duplicate key around strings with colons": b'{"a":":::","b":0,"a":":"}',
    "duplicate key among equal values": b'{"a":{},"a":{}}',
    "NaN": b"NaN",
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "too deep, lists": b"[" * 65 + b"]" * 65,
    "too deep, objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "absurdly deep": b"[" * 100_000 + b"]" * 100_000,
    "invalid UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "UTF-8 of a surrogate": b'"\xed\xa0\x80"',
    "lone high surrogate": b'"\\ud800"',
    "lone low surrogate": b'"\\udc00"',
    "high surrogate before something else": b'"\\ud800\\u0041"',
    "5,000 digits": b"9" * 5000,
    "5,000 decimals": b"0." + b"1" * 5000,
    "5,000 digits of exponent": b"1e-" + b"1" * 5000,
    "300 digits": b"9" * 300,
    "beyond 64 bits": b"18446744073709551616",
    "beyond 64 bits, negative": b"-9223372036854775809",
    "overflow": b"1e400",
    "leading zero": b"01",
    "leading plus": b"+1",
    "leading point": b".5",
    "hexadecimal": b"0x10",
    "single quotes": b"'a'",
    "trailing comma in a list": b"[1,]",
    "trailing comma in an object": b'{"a":1,}',
    "control character": b'"\x01"',
    "line break in a string": b'"a\nb"',
    "comment": b"/* a */ 1",
    "unknown escape": b'"\\x41"',
    "nothing": b"",
    "unclosed": b'{"a":[1',
    "second value": b"1 1",
}


@st.composite
def nested(draw: st.DrawFn, inner: bytes) -> bytes:
    """`inner` somewhere inside of an object, among valid neighbours, at most ten levels down."""
    for wrap in draw(st.lists(st.sampled_from("[{"), max_size=9)):
        before, after = (json.dumps(draw(SCALARS)).encode() for _ in range(2))
        if wrap == "[":
            inner = b"[" + before + b"," + inner + b", " + after + b"]"
        else:
            inner = b'{"x":' + before + b',"y": ' + inner + b',"z":' + after + b"}"
    return b'{"model":"m","deep":' + inner + b"}"


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("around", [b'{"model":"m","x":%b}', b'{"x":{"y":[1, %b, 2]},"z":0}'])
def test_a_hostile_value_is_refused(kind: str, around: bytes):
    with pytest.raises(InvalidJson):
        jsongate.loads(around % HOSTILE[kind])


@settings(max_examples=300)
@given(nested=st.sampled_from([*HOSTILE.values()]).flatmap(nested))
def test_hostile_values_are_refused_wherever_they_are(nested: bytes):
    with pytest.raises(InvalidJson):
        jsongate.loads(nested)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0.30000000000000004", 0.30000000000000004),
        ("1e300", 1e300),
        ("1.5E-7", 1.5e-7),
        ("0." + "1" * 60, float("0." + "1" * 60)),
    ],
)
def test_numbers_at_the_border_pass(number: str, value: float):
    assert jsongate.loads(b'{ "n": ' + number.encode() + b"}") == {"n": value}


def test_long_digits_inside_of_a_string_pass():
    assert jsongate.loads(b'{"id" : "' + b"7" * 5000 + b'"}') == {"id": "7" * 5000}


@pytest.mark.parametrize("depth", [2, 3, 63, 64])
def test_nesting_up_to_the_limit_passes(depth: int):
    jsongate.loads(b'{"a":' * depth + b"1" + b"}" * depth)
    jsongate.loads(b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}")


def test_many_shallow_lists_are_not_deep():
    assert len(jsongate.loads(b'{"a":[' + b"[[]]," * 500 + b"[]]}")["a"]) == 501


def test_the_depth_can_be_set():
    assert jsongate.loads(b'{"a":{}}', max_depth=2) == {"a": {}}
    with pytest.raises(InvalidJson, match="deeper than 1 level"):
        jsongate.loads(b'{"a":{}}', max_depth=1)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "not a list"),
        (b'"x"', "not a string"),
        (b"1", "not a number"),
        (b"1.5", "not a number"),
        (b"true", "not a boolean"),
        (b"null", "not null"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "not valid UTF-8"),
        (b'{\n"a" 1}', "line 2 column 5"),
        (b"{} {}", "line 1 column 4"),
        (b'{"a":1, "a":2}', 'The key "a" appears twice in one object'),
        (b'{"a":123456789012345678901}', "does not fit into 64 bits"),
        (b'{"a":0.' + b"3" * 80 + b"}", "more than 64 characters"),
    ],
)
def test_the_sentence_says_what_is_wrong_and_where(body: bytes, said: str):
    with pytest.raises(InvalidJson, match=said) as refusal:
        jsongate.loads(body)
    assert refusal.value.status == 400


@given(st.binary(max_size=64))
def test_no_bytes_raise_anything_else(body: bytes):
    with contextlib.suppress(InvalidJson):
        assert type(jsongate.loads(body)) is dict
