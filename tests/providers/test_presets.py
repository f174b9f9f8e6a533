"""The vendors' table holds together, and with what reads it."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

from providers.adapters import ADAPTERS
from providers.drafts import clean_base_url, clean_options
from providers.presets import PRESETS, KeyNeed, Preset, key_headers

EACH = pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.id)


def test_the_usual_vendors_and_any_url_are_there():
    assert {
        "openai", "anthropic", "gemini", "mistral", "groq", "together", "deepseek", "xai", "fireworks", "openrouter",
        "azure", "ollama", "lmstudio", "vllm", "custom",
    } == PRESETS.keys()  # fmt: skip


@EACH
def test_its_base_url_is_already_in_the_form_that_is_stored(preset: Preset):
    if preset.fixed_base_url:
        assert clean_base_url(preset, None) == preset.base_url


@EACH
def test_vendors_are_reached_by_tls_and_name_a_page_for_keys(preset: Preset):
    if preset.key is KeyNeed.REQUIRED:
        assert preset.base_url.startswith("https://")
        assert preset.docs_url.startswith("https://")


@EACH
def test_its_dialect_exists(preset: Preset):
    assert preset.adapter in ADAPTERS


@EACH
def test_its_header_for_keys_would_be_accepted_from_a_person(preset: Preset):
    assert clean_options({"auth_header": preset.auth_header}) == {"auth_header": preset.auth_header}


def test_the_price_catalogue_knows_every_vendor_that_is_named():
    code = "from genai_prices.data import providers; import json; print(json.dumps([p.id for p in providers]))"
    known = orjson.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert {preset.prices for preset in PRESETS.values() if preset.prices} <= set(known)


def test_azure_wants_the_resource_filled_in_and_the_key_alone():
    azure = PRESETS["azure"]
    assert azure.placeholders == ("resource",)
    assert azure.fixed_base_url is None
    assert key_headers(azure.auth_header, "k") == (("api-key", "k"),)


def test_everybody_else_wants_a_bearer():
    assert key_headers(PRESETS["openai"].auth_header, "k") == (("authorization", "Bearer k"),)
