"""The whole path with nothing simulated: SDK, console of two processes, tunnel, agent, llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import pytest
from openai import OpenAI

from demo.llama import MODEL_ID
from nodes.models import NodeModel
from tests.figures import timed
from tests.nodes_e2e.conftest import ASK, until_served
from tests.nodes_e2e.machines import until

ROUNDS = 8
"""New connections, so that the process without the machine's socket answers some of them."""


@pytest.fixture
def model(make_machine, llama, http) -> str:
    name = f"node/box/{MODEL_ID}"
    with timed(
        "a token is made, until the enrolled machine has answered from both processes, before a llama.cpp server"
    ):
        make_machine(llama)
        until_served(http, name)
    return name


def clients(console, tenant) -> Iterator[OpenAI]:
    for _ in repeat(None, ROUNDS):
        with OpenAI(base_url=console.base_url, api_key=tenant.api_key, max_retries=0, timeout=60) as client:
            yield client


def test_it_answers_whole_from_both_processes(console, tenant, model):
    for client in clients(console, tenant):
        answer = client.chat.completions.create(model=model, max_tokens=6, **ASK)
        assert answer.choices[0].message.content
        assert 0 < answer.usage.completion_tokens <= 6


def test_it_streams_from_both_processes(console, tenant, model):
    for client in clients(console, tenant):
        wish = {"model": model, "max_tokens": 6, "stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**ASK, **wish))
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text
        assert 0 < chunks[-1].usage.completion_tokens <= 6


def test_it_is_a_plain_model_too_and_its_trial_was_answered(client, tenant, model):
    assert {MODEL_ID, model} & {listed.id for listed in client.models.list()}
    assert client.chat.completions.create(model=MODEL_ID, max_tokens=2, **ASK).choices
    until(lambda: NodeModel.objects.of(tenant.org).filter(upstream_id=MODEL_ID, trial_ok=True).exists())


def test_completions_pass_too(client, model):
    assert client.completions.create(model=model, prompt="Once", max_tokens=3).choices[0].text
