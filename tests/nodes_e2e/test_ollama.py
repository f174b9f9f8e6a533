"""The demo's machine where an Ollama runs already: it offers that one's models, and starts no server of its own."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import pytest

from console.embedded import machine
from nodes.enrolment import create_token
from nodes.models import NodeModel
from tests.agent.conftest import clean_environment
from tests.fakes.ollama import CONTEXT_TOKENS, USAGE, WORDS, ollama
from tests.nodes_e2e.conftest import ASK, until_served

MODEL = "llama3.2:3b"
PINNED = f"node/demo-machine/{MODEL}"


@pytest.fixture
def server(monkeypatch):
    with ollama(MODEL, "nomic-embed-text:latest") as made:
        monkeypatch.setenv("OLLAMA_HOST", made.address)
        yield made


def test_it_is_found_and_nothing_else_is_started(server, tmp_path):
    with ExitStack() as stack:
        assert machine.served(stack, tmp_path) == f"http://{server.address}"
    assert server.asked == ["/api/tags"]


def test_one_without_a_model_is_none(server, monkeypatch):
    server.models.clear()
    assert machine.ollama_models() == []


@pytest.mark.parametrize(
    ("said", "port"),
    [("", 11434), ("0.0.0.0", 11434), (":1234", 1234), ("http://127.0.0.1:1234", 1234), ("localhost:many", 11434)],
)
def test_it_listens_where_its_own_variable_says(monkeypatch, said, port):
    monkeypatch.setenv("OLLAMA_HOST", said)
    assert machine.ollama_port() == port


@pytest.fixture
def demo_machine(server, console, tenant, tmp_path):
    """The agent by the demo's own command; that the demo runs it is seen where the demo is run."""
    home = machine.home_of(tmp_path)
    home.mkdir()
    (home / machine.ENROLMENT).write_text(create_token(tenant.org, tenant.actor).plain)
    with ExitStack() as stack:
        words = machine.command(home, console.url, machine.served(stack, tmp_path))
        agent = subprocess.Popen(words, stdin=subprocess.DEVNULL, env=clean_environment())
        yield agent
        agent.terminate()
        agent.wait(10)


def test_its_models_are_answered_for_through_the_tunnel(demo_machine, tenant, http, client):
    until_served(http, PINNED)
    answer = client.chat.completions.create(model=PINNED, **ASK)
    assert answer.choices[0].message.content == "".join(WORDS)
    assert answer.usage.completion_tokens == USAGE["completion_tokens"]
    chunks = client.chat.completions.create(model=PINNED, stream=True, **ASK)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "".join(WORDS)
    row = NodeModel.objects.of(tenant.org).get(upstream_id=MODEL)
    assert (row.runtime, row.context_tokens) == ("ollama", CONTEXT_TOKENS)
