"""The first call, in three languages. The tests run each of them as it is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass

PLACEHOLDER_KEY = "$OPENAI_API_KEY"
PLACEHOLDER_MODEL = "your-model"
_GREETING = "Say hello in one short sentence."


@dataclass(frozen=True, slots=True)
class Snippet:
    name: str
    label: str
    text: str


def first_call(base_url: str, key: str, model: str) -> tuple[Snippet, ...]:
    """Args: base_url: with `/v1`, without a slash at its end."""
    return (
        Snippet("curl", "cURL", _curl(base_url, key, model)),
        Snippet("python", "Python", _python(base_url, key, model)),
        Snippet("javascript", "JavaScript", _javascript(base_url, key, model)),
    )


def env_file(base_url: str, key: str) -> str:
    return f"OPENAI_BASE_URL={base_url}\nOPENAI_API_KEY={key}\n"


def _curl(base_url: str, key: str, model: str) -> str:
    name, message = json.dumps(model, ensure_ascii=False), json.dumps({"role": "user", "content": _GREETING})
    body = f'{{\n    "model": {name},\n    "messages": [{message}]\n  }}'
    shown = body.replace("'", "'\\''")
    return (
        f"curl {base_url}/chat/completions \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d '{shown}'"
    )


def _python(base_url: str, key: str, model: str) -> str:
    return f"""from openai import OpenAI

client = OpenAI(
    base_url={json.dumps(base_url)},
    api_key={json.dumps(key)},
)

stream = client.chat.completions.create(
    model={json.dumps(model)},
    messages=[{{"role": "user", "content": {json.dumps(_GREETING)}}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()"""


def _javascript(base_url: str, key: str, model: str) -> str:
    return f"""import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: {json.dumps(base_url)},
  apiKey: {json.dumps(key)},
}});

const stream = await client.chat.completions.create({{
  model: {json.dumps(model)},
  messages: [{{ role: "user", content: {json.dumps(_GREETING)} }}],
  stream: true,
}});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}
console.log();"""
