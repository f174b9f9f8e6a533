"""An agent framework as it comes from its package index: nothing is told it but the base URL and the key.

The one here is the lightest of those that were tried; `docs/developer-guide.md` tells of all. Its examples are run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.embeddings import Embedder
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from providers.endpoints import KINDS

MODEL, EMBED = "sim-chat", "sim-embed"
GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "developer-guide.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)
OTHER_KINDS = set(KINDS) - {"chat", "embedding"}
APIS = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def served(tenant, upstreams):
    for upstream in (upstreams.a, upstreams.b):
        others = [{"id": f"sim-{kind}", "upstream_id": MODEL, "kind": kind} for kind in OTHER_KINDS]
        tenant.connect(upstream.base_url, [MODEL, {"id": EMBED, "kind": "embedding"}, *others])
    upstreams.b.fail("500")
    return upstreams


@pytest.fixture
async def provider(gateway, tenant, served):
    async with AsyncOpenAI(base_url=gateway.base_url, api_key=tenant.api_key, max_retries=0) as client:
        yield OpenAIProvider(openai_client=client)


@pytest.fixture(params=APIS)
def model(request, provider):
    return APIS[request.param](MODEL, provider=provider)


async def test_an_agent_answers_and_counts(model):
    ran = await Agent(model, instructions="Be brief.").run("Hello")
    assert "Hello" in ran.output
    assert ran.usage.input_tokens > 0 < ran.usage.output_tokens


async def test_an_agent_streams(model):
    async with Agent(model).run_stream("Hello") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 2
    assert "Hello" in "".join(pieces)
    assert stream.usage.output_tokens > 0


async def test_an_agent_calls_its_tools_and_goes_on(model, upstreams):
    agent, asked_for = Agent(model), []

    @agent.tool_plain
    def temperature(place: str) -> str:
        asked_for.append(place)
        return "24 °C"

    ran = await agent.run("How warm is it?")
    again = await agent.run("And now?", message_history=ran.all_messages())
    assert len(asked_for) == 2
    assert ran.output
    assert again.output
    roles = [message["role"] for message in upstreams.a.log.last.body["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user", "assistant", "tool"]


@pytest.mark.parametrize("wanted", [City, NativeOutput(City)], ids=["as a tool", "as a schema"])
async def test_an_agent_answers_in_a_structure(model, wanted):
    assert isinstance((await Agent(model, output_type=wanted).run("Which city?")).output, City)


async def test_an_outage_of_one_provider_does_not_reach_an_agent(model, served):
    served.b.heal()
    served.a.fail("500")
    assert "from B" in (await Agent(model).run("Hello")).output


async def test_an_agent_reads_why_it_is_refused(provider):
    with pytest.raises(ModelHTTPError) as refused:
        await Agent(OpenAIChatModel("no-such-model", provider=provider)).run("Hello")
    assert (refused.value.status_code, refused.value.body["code"]) == (404, "model_not_found")


async def test_texts_are_embedded(provider):
    embedded = await Embedder(OpenAIEmbeddingModel(EMBED, provider=provider)).embed_documents(["one", "two"])
    assert len(embedded.embeddings) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_guide_runs_as_it_stands(gateway, tenant, served, example):
    told = os.environ | {"OPENAI_BASE_URL": gateway.base_url, "OPENAI_API_KEY": tenant.api_key}
    script = re.sub(r"your-(\w+)-model", r"sim-\1", example.replace("your-model", MODEL))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=told)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
