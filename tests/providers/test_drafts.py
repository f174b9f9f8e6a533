"""What people type into a connection: brought into one form, or refused with the field's name."""

from __future__ import annotations

from decimal import Decimal

import pytest

from providers import drafts
from providers.errors import InvalidConnection, UnknownPreset
from providers.presets import PRESETS

CUSTOM, AZURE = PRESETS["custom"], PRESETS["azure"]


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("https://llm.example.com/v1", "https://llm.example.com/v1"),
        ("  https://llm.example.com/v1/  ", "https://llm.example.com/v1"),
        ("https://llm.example.com/v1/chat/completions", "https://llm.example.com/v1"),
        ("https://llm.example.com/v1/models/", "https://llm.example.com/v1"),
        ("HTTPS://LLM.Example.COM:443/v1", "https://llm.example.com/v1"),
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("http://[::1]:11434/v1", "http://[::1]:11434/v1"),
        ("https://llm.example.com/a/b/openai/v1", "https://llm.example.com/a/b/openai/v1"),
    ],
)
def test_a_base_url_is_stored_in_one_form(typed: str, stored: str):
    assert drafts.clean_base_url(CUSTOM, typed) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "llm.example.com/v1",
        "ftp://llm.example.com",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@llm.example.com/v1",
        "https://llm.example.com/v1?key=1",
        "https://llm.example.com/v1#x",
        "https://llm.example.com:99999/v1",
        "https://llm.exa mple.com/v1",
        "https://llm.example.com\\@evil.example/v1",
        "https://[::1/v1",
        "https://llm.example.com/" + "x" * 300,
    ],
)
def test_what_is_no_base_url_is_refused_by_name(typed: str):
    with pytest.raises(InvalidConnection) as refusal:
        drafts.clean_base_url(CUSTOM, typed)
    assert refusal.value.param == "base_url"
    assert "secret" not in refusal.value.message


def test_a_template_must_be_filled_in():
    with pytest.raises(InvalidConnection, match="braces"):
        drafts.clean_base_url(AZURE, AZURE.base_url)
    filled = "https://acme.openai.azure.com/openai/v1"
    assert drafts.clean_base_url(AZURE, filled) == filled


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example/v1", "https://a.example"),
        ("https://A.example:443", "https://a.example"),
        ("http://a.example:80/x", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://[2001:DB8::1]:8443/v1", "https://[2001:db8::1]:8443"),
    ],
)
def test_an_origin_has_one_spelling(url: str, origin: str):
    assert drafts.origin_of(url) == origin


@pytest.mark.parametrize(
    ("typed", "price"),
    [
        ("0.15", Decimal("0.15")),
        ("0", Decimal(0)),
        (" 1e-3 ", Decimal("0.001")),
        (2.5, Decimal("2.5")),
        ("0.000001", Decimal("0.000001")),
        (None, None),
        ("", None),
    ],
)
def test_prices_are_exact(typed: object, price: Decimal | None):
    assert drafts.clean_price(typed, "input_price") == price


@pytest.mark.parametrize("typed", ["-1", "NaN", "Infinity", "free", "0.0000001", "1e-999999", "1e999999", "1000001"])
def test_what_is_no_price_is_refused(typed: str):
    with pytest.raises(InvalidConnection) as refusal:
        drafts.clean_price(typed, "models.0.input_price")
    assert refusal.value.param == "models.0.input_price"


@pytest.mark.parametrize("typed", ["0", "-1", "1.5", "many", "9" * 5000, True])
def test_what_is_no_count_is_refused(typed: object):
    with pytest.raises(InvalidConnection):
        drafts.clean_count(typed, "priority", 1000)


@pytest.mark.parametrize("typed", ["", " ", "/gpt", "two words", "a\nb", "x" * 201, None, 7, "node/box/llama"])
def test_what_is_no_model_name_is_refused(typed: object):
    with pytest.raises(InvalidConnection) as refusal:
        drafts.clean_models([{"id": "fine"}, {"id": typed}])
    assert refusal.value.param == "models.1.id"


def test_models_keep_what_was_given():
    [model] = drafts.clean_models(
        [{"id": "vendor/model:free", "upstream_id": "m", "weight": "0", "capabilities": ["tools"]}]
    )
    assert (model.model_id, model.upstream_id, model.kind) == ("vendor/model:free", "m", "chat")
    assert (model.weight, model.capabilities) == (0, ("tools",))


def test_a_model_is_listed_once():
    with pytest.raises(InvalidConnection, match="twice"):
        drafts.clean_models([{"id": "same"}, {"id": "same"}])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"auth_header": "Host"}, "options.auth_header"),
        ({"auth_header": "x-key\r\nevil: 1"}, "options.auth_header"),
        ({"api_version": "1&key=2"}, "options.api_version"),
        ({"proxy": "http://evil"}, "options.proxy"),
    ],
)
def test_options_cannot_bend_the_request(options: dict[str, str], field: str):
    with pytest.raises(InvalidConnection) as refusal:
        drafts.clean_options(options)
    assert refusal.value.param == field


@pytest.mark.parametrize("key", ["has space", "line\r\nbreak", "snowman ☃", "x" * 5000])
def test_a_key_fits_into_a_header(key: str):
    with pytest.raises(InvalidConnection) as refusal:
        drafts.clean_keys([key])
    assert refusal.value.param == "api_keys"
    assert key not in refusal.value.message


def test_keys_are_trimmed_and_counted_once():
    assert drafts.clean_keys([" one ", "one", "", "two"]) == ["one", "two"]


def test_an_unknown_kind_of_connection_is_named():
    with pytest.raises(UnknownPreset, match="acme-cloud"):
        drafts.preset_named("acme-cloud")


def test_names_of_parameters_are_brought_into_one_form():
    given = {"dropped_params": " seed, logit_bias\nseed,"}
    assert drafts.clean_options(given) == {"dropped_params": "logit_bias seed"}


@pytest.mark.parametrize(
    "names", ["Seed", "a-b", "max_tokens", "seed stream", ",", " ".join(f"p{n}" for n in range(51))]
)
def test_names_of_parameters_that_are_none_or_cannot_be_left_out(names: str):
    with pytest.raises(InvalidConnection) as refusal:
        drafts.clean_options({"dropped_params": names})
    assert refusal.value.param == "options.dropped_params"


@pytest.mark.parametrize(("name", "word"), [("data_collection", "deny"), ("quantization", "fp8")])
def test_what_a_provider_is_like(name: str, word: str):
    assert drafts.clean_options({name: word}) == {name: word}
    assert drafts.clean_options({name: ""}) == {}
    with pytest.raises(InvalidConnection) as refusal:
        drafts.clean_options({name: "whatever"})
    assert refusal.value.param == f"options.{name}"
    assert word in refusal.value.message
