"""The templates of routes: made with one click on their page, published with another, and then taken by requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic

import pytest
from django.test import Client
from django.urls import reverse

from routing.models import RouteDraft
from tests.routing.test_nodes_through_the_gateway import MANY, all_say, ask, box, client_of, serving

__all__ = ["box"]

DEAR, CHEAP = "upstream-a/sim-chat", "upstream-b/sim-chat"
IN_A_ROW = 8
"""So many, each on a connection of its own, reach both processes."""


@pytest.fixture
def clouds(box, upstreams):
    """Two, besides the machine, which C answers for."""
    for upstream, price in ((upstreams.a, "3"), (upstreams.b, "1")):
        box.tenant.connect(upstream.base_url, [{"id": "sim-chat", "input_price": price, "output_price": price}])
    yield upstreams
    upstreams.c.manners.first_token_s = 0


def click(box, slug: str) -> str:
    """Returns: the name of the route."""
    page = Client()
    page.force_login(box.tenant.owner, backend="django.contrib.auth.backends.ModelBackend")
    page.post(reverse("routes-template", args=[slug]))
    draft = RouteDraft.objects.of(box.tenant.org).get()
    assert page.post(reverse("routes-publish", args=[draft.name])).status_code == 302
    return draft.name


async def made(box, client, slug: str) -> str:
    name = await asyncio.to_thread(click, box, slug)
    await all_say(client, name, lambda answer: answer.status_code == 200)
    return name


async def answered_by(client, name: str, times: int = MANY) -> Counter[str]:
    answers = await asyncio.gather(*[ask(client, name) for _ in range(times)])
    assert {answer.headers.get("x-shareai-route") for answer in answers} == {name}, [a.text for a in answers]
    return Counter(answer.headers["x-shareai-target"] for answer in answers)


async def answers_at_rest(client, name: str, target: str) -> None:
    """Until this target answers one after another. After many at once, a process takes the machine for busy until it
    hears that they are over, which comes a moment later.
    """
    until, in_a_row = monotonic() + 15, 0
    while in_a_row < IN_A_ROW:
        assert monotonic() < until
        in_a_row = in_a_row + 1 if set(await answered_by(client, name, 1)) == {target} else 0


async def test_the_cheapest_answers_and_the_machine_when_providers_fail(box, clouds):
    async with client_of(box) as client, serving(box, client, clouds.c.base_url):
        name = await made(box, client, "cheapest-then-my-node")
        assert set(await answered_by(client, name)) == {CHEAP}
        clouds.b.fail("500")
        assert set(await answered_by(client, name, 4)) == {DEAR}
        clouds.a.fail("500")
        assert set(await answered_by(client, name)) == {box.name}


async def test_the_machine_answers_and_providers_help_out_when_it_is_busy(box, clouds):
    async with client_of(box) as client, serving(box, client, clouds.c.base_url):
        name = await made(box, client, "my-nodes-first")
        await answers_at_rest(client, name, box.name)
        clouds.c.manners.first_token_s = 1
        answered = await answered_by(client, name)
        assert 1 <= answered[box.name] < MANY
        assert sum(answered.values()) == MANY


async def test_nobody_but_the_machine_answers_in_private(box, clouds):
    async with client_of(box) as client:
        async with serving(box, client, clouds.c.base_url):
            name = await made(box, client, "private-only")
            assert set(await answered_by(client, name)) == {box.name}
        await all_say(client, name, lambda answer: answer.status_code == 503)
    assert not clouds.a.log.posts
    assert not clouds.b.log.posts
