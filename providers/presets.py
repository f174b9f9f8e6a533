"""Kinds of connections, as data: where a vendor listens, how it wants its key, where a person gets one.

All of them speak OpenAI's dialect, so a new vendor is one more row here and no code. `{name}` in a base URL
stands for something the person fills in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

CUSTOM = "custom"
BEARER = "authorization"
"""The header whose value is `Bearer <key>`; under any other header's name the key stands alone."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")

Text = str | Promise


class KeyNeed(StrEnum):
    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Preset:
    """One kind of connection.

    `auth_header` carries the key. `list_headers` go with `GET /models` only, where `{key}` becomes the key.
    `prices` is the vendor's id in the price catalogue, empty when nothing is known there. `api_version` is sent
    as the query parameter `api-version` when not empty. `model_prefix` is what the vendor puts before each
    model's name; public names go without it. `local` marks servers on the operator's own network, which
    EGRESS_ALLOW has to name.
    """

    id: str
    name: str
    base_url: str
    docs_url: str
    prices: str = ""
    notes: Text = ""
    key: KeyNeed = KeyNeed.REQUIRED
    auth_header: str = BEARER
    api_version: str = ""
    list_headers: tuple[tuple[str, str], ...] = ()
    model_prefix: str = ""
    local: bool = False
    adapter: str = "openai"
    limit_name: str = ""
    """The only name by which its models, or its newer ones, know the most tokens of an answer."""
    dropped_params: frozenset[str] = frozenset()
    """Which of OpenAI's parameters it refuses, or ignores, as its documentation says."""

    @property
    def placeholders(self) -> tuple[str, ...]:
        """What has to be filled in before `base_url` is one; empty for most vendors."""
        return tuple(_PLACEHOLDER.findall(self.base_url))

    @property
    def fixed_base_url(self) -> str | None:
        return None if not self.base_url or self.placeholders else self.base_url


def key_headers(auth_header: str, key: str) -> tuple[tuple[str, str], ...]:
    """The header that carries a key, ready to send."""
    return ((auth_header, f"Bearer {key}" if auth_header == BEARER else key),)


# Sources: documentation as stored in November 2026: the vendors' own for Together, Azure and Anthropic, listings of
# others for the rest. None was called from here.
_ROWS = (
    Preset(
        id="openai",
        name="OpenAI",
        base_url="https://api.openai.com/v1",
        docs_url="https://platform.openai.com/api-keys",
        prices="openai",
        # Source: https://platform.openai.com/docs/api-reference/chat/create, "not compatible with o-series models"
        limit_name="max_completion_tokens",
    ),
    Preset(
        id="anthropic",
        name="Anthropic",
        base_url="https://api.anthropic.com/v1",
        docs_url="https://platform.claude.com/settings/keys",
        prices="anthropic",
        notes=_("Anthropic's OpenAI-compatible endpoint: no audio, and JSON schemas are not strict."),
        # The list of models is Anthropic's own API, which knows neither Bearer keys nor a default version.
        list_headers=(("x-api-key", "{key}"), ("anthropic-version", "2023-06-01")),
        # Source: https://docs.anthropic.com/en/api/openai-sdk, "Ignored"
        dropped_params=frozenset(
            {
                *("audio", "frequency_penalty", "logit_bias", "logprobs", "metadata", "modalities", "prediction"),
                *("presence_penalty", "reasoning_effort", "seed", "service_tier", "store", "top_logprobs", "user"),
            }
        ),
    ),
    Preset(
        id="gemini",
        name="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        docs_url="https://aistudio.google.com/apikey",
        prices="google",
        notes=_("Gemini's OpenAI-compatible endpoint."),
        model_prefix="models/",
    ),
    Preset(
        id="mistral",
        name="Mistral",
        base_url="https://api.mistral.ai/v1",
        docs_url="https://console.mistral.ai/api-keys",
        prices="mistral",
        # What it does not know it refuses with 422 (`extra_forbidden`).
        # Sources: https://docs.mistral.ai/api, https://github.com/mistralai/platform-docs-public/issues/7
        limit_name="max_tokens",
        dropped_params=frozenset(
            {"logit_bias", "logprobs", "metadata", "service_tier", "store", "top_logprobs", "user"}
        ),
    ),
    Preset(
        id="groq",
        name="Groq",
        base_url="https://api.groq.com/openai/v1",
        docs_url="https://console.groq.com/keys",
        prices="groq",
        # Source: https://console.groq.com/docs/openai, "not supported and will result in a 400 error"
        dropped_params=frozenset({"logit_bias", "logprobs", "top_logprobs"}),
    ),
    Preset(
        id="together",
        name="Together AI",
        base_url="https://api.together.ai/v1",
        docs_url="https://api.together.ai/settings/api-keys",
        prices="together",
    ),
    Preset(
        id="deepseek",
        name="DeepSeek",
        base_url="https://api.deepseek.com",
        docs_url="https://platform.deepseek.com/api_keys",
        prices="deepseek",
    ),
    Preset(
        id="xai",
        name="xAI",
        base_url="https://api.x.ai/v1",
        docs_url="https://console.x.ai",
        prices="x-ai",
    ),
    Preset(
        id="fireworks",
        name="Fireworks AI",
        base_url="https://api.fireworks.ai/inference/v1",
        docs_url="https://app.fireworks.ai/settings/users/api-keys",
        prices="fireworks",
        model_prefix="accounts/fireworks/models/",
    ),
    Preset(
        id="openrouter",
        name="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        docs_url="https://openrouter.ai/settings/keys",
        prices="openrouter",
        notes=_("Prices and answers come from whichever vendor OpenRouter chooses."),
    ),
    Preset(
        id="azure",
        name="Azure OpenAI",
        base_url="https://{resource}.openai.azure.com/openai/v1",
        docs_url="https://learn.microsoft.com/azure/ai-foundry/openai/how-to/create-resource",
        prices="azure",
        notes=_(
            "Model names upstream are the names of your deployments. The v1 endpoint needs no API version; set one "
            "(such as “preview”) only for features that ask for it."
        ),
        auth_header="api-key",
    ),
    Preset(
        id="ollama",
        name="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        docs_url="https://docs.ollama.com/api/openai-compatibility",
        key=KeyNeed.OPTIONAL,
        local=True,
    ),
    Preset(
        id="lmstudio",
        name="LM Studio",
        base_url="http://127.0.0.1:1234/v1",
        docs_url="https://lmstudio.ai/docs/developer/openai-compat",
        key=KeyNeed.OPTIONAL,
        local=True,
    ),
    Preset(
        id="vllm",
        name="vLLM",
        base_url="http://127.0.0.1:8000/v1",
        docs_url="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        notes=_("The key is the one given to “vllm serve --api-key”, if any."),
        key=KeyNeed.OPTIONAL,
        local=True,
    ),
    Preset(
        id=CUSTOM,
        name="OpenAI-compatible",
        base_url="",
        docs_url="",
        notes=_(
            "Any server that answers /chat/completions as OpenAI does. Give the URL up to and without that path."
        ),
        key=KeyNeed.OPTIONAL,
    ),
)

PRESETS: dict[str, Preset] = {preset.id: preset for preset in _ROWS}
