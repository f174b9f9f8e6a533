"""A machine that says it used more than it gave: doubted where others are its guests, and where the owner is not."""

from __future__ import annotations

import pytest
from openai import OpenAI

from nodes.models import NodeDoubt
from nodes.recount import MORE_THAN_BYTES, PROMPT_INFLATED
from nodes.services import update_node
from tests.fakes.ollama import ollama
from tests.nodes_e2e.conftest import ASK, browser_of, until_served
from tests.nodes_e2e.machines import until
from tests.stack import make_tenant

MODEL = "boastful:1b"
LIE = {"prompt_tokens": 9000, "completion_tokens": 5000, "total_tokens": 14000}


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_guest_is_told_is_recounted(console, tenant, http, make_machine, stream):
    guest = make_tenant("Guest")
    with ollama(MODEL) as server:
        server.usage = LIE
        box = make_machine(f"http://{server.address}")
        wishes = {"visibility": "shared", "shared_with": [guest.org.slug]}
        update_node(box.row, tenant.actor, wishes)
        until_served(http, f"node/box/{MODEL}")
        assert not NodeDoubt.objects.of(tenant.org)  # of its owner's requests nothing is doubted
        name = f"node/{tenant.org.slug}.box/{MODEL}"
        with browser_of(console, guest) as theirs:
            until_served(theirs, name) if not stream else None
        with OpenAI(base_url=console.base_url, api_key=guest.api_key, max_retries=2, timeout=30) as client:
            answer = client.chat.completions.create(model=name, stream=stream, **ASK)
            assert not stream or list(answer)

        def kinds() -> set[str]:
            return set(NodeDoubt.objects.of(tenant.org).filter(node=box.row).values_list("kind", flat=True))

        until(lambda: kinds() >= {MORE_THAN_BYTES, PROMPT_INFLATED}, what=lambda: str(kinds()))
        assert not NodeDoubt.objects.of(guest.org)
