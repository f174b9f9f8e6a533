"""The stream of a page: it tells a change to whom it concerns, and ends for who is no member."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session
from django.test import AsyncClient, Client
from django.urls import reverse

from accounts import members
from accounts.models import ApiKey, Membership, User
from console import live
from tests.console.pages import machines
from tests.console.pages.conftest import answered, record

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(live, "TICK_S", 0.01)


def stream_of(user, organization, *topics):
    client = Client()
    client.force_login(user)
    return live._events(user, organization, list(topics), client.session.session_key)


astream_of = sync_to_async(stream_of)


async def next_event(stream) -> str:
    """The next part that is no comment."""
    async for part in stream:
        if part.startswith(b"event:"):
            return part.decode().split("\n")[0].removeprefix("event: ")
    return "the end"


async def test_a_request_is_told(quick, alice, acme, key):
    stream = await astream_of(alice, acme, "usage")
    assert b"here" in await anext(stream)
    await sync_to_async(record)(acme, key, 1, attempts=[answered("aurora/demo-chat")])
    assert await next_event(stream) == "usage"
    await stream.aclose()


async def test_a_change_of_configuration_is_told(quick, alice, acme, connection):
    from accounts.audit import Actor
    from providers.services import disable_connection

    stream = await astream_of(alice, acme, "configuration")
    await anext(stream)
    await sync_to_async(disable_connection)(connection, Actor.of_user(alice))
    assert await next_event(stream) == "configuration"
    await stream.aclose()


async def test_another_organisation_s_request_is_not_told(quick, alice, acme, mallory, rival, key):
    stream = await astream_of(mallory, rival, "usage", "keys")
    await anext(stream)
    await sync_to_async(record)(acme, key, 1)
    await sync_to_async(ApiKey.objects.create)(org=rival, public_id="000000000001", secret_hash=b"x", name="own")
    assert await next_event(stream) == "keys"
    await stream.aclose()


async def test_a_machine_that_comes_and_one_that_works_are_told(quick, alice, acme, as_alice):
    node = await sync_to_async(machines.new_node)(acme, as_alice)
    stream = await astream_of(alice, acme, "nodes")
    await anext(stream)
    await sync_to_async(machines.connect)(node)
    assert await next_event(stream) == "nodes"
    await sync_to_async(machines.list_models)(node)
    assert await next_event(stream) == "nodes"
    await stream.aclose()
    load = await astream_of(alice, acme, "load")
    await anext(load)
    await sync_to_async(machines.tell)(node, in_flight=3)
    assert await next_event(load) == "load"
    await load.aclose()
    await sync_to_async(machines.leave)(node)


async def test_anothers_machine_is_not_told(quick, acme, as_alice, mallory, rival, as_mallory):
    node = await sync_to_async(machines.new_node)(acme, as_alice)
    stream = await astream_of(mallory, rival, "nodes")
    await anext(stream)
    await sync_to_async(machines.connect)(node)
    own = await sync_to_async(machines.new_node)(rival, as_mallory, "Own")
    assert await next_event(stream) == "nodes"
    before = await sync_to_async(live.TOPICS["nodes"])(rival)
    await sync_to_async(machines.tell)(node, accepting=False, reason="user_active")
    assert await sync_to_async(live.TOPICS["nodes"])(rival) == before
    assert own.public_id in str(before)
    await stream.aclose()
    await sync_to_async(machines.leave)(node)


async def test_it_ends_for_who_was_removed(quick, alice, acme, bob, as_alice):
    stream = await astream_of(bob, acme, "usage")
    await anext(stream)
    membership = await Membership.objects.select_related("org", "user").aget(user=bob)
    await sync_to_async(members.remove_member)(membership, as_alice)
    assert await next_event(stream) == "the end"


async def test_it_ends_with_the_session(quick, alice, acme):
    stream = await astream_of(alice, acme, "usage")
    await anext(stream)
    await Session.objects.all().adelete()  # as when it is ended from another browser
    assert await next_event(stream) == "the end"


async def test_it_ends_with_a_new_password(quick, alice, acme):
    stream = await astream_of(alice, acme, "usage")
    await anext(stream)
    await User.objects.filter(pk=alice.pk).aupdate(password=make_password("another horse"))
    assert await next_event(stream) == "the end"


async def test_a_topic_is_looked_at_once_however_often_it_is_named(monkeypatch, alice, acme):
    looked = []
    monkeypatch.setitem(live.TOPICS, "usage", looked.append)
    client = AsyncClient()
    await client.aforce_login(alice)
    response = await client.get(reverse("live") + "?topics=" + "usage," * 1000)
    parts = aiter(response.streaming_content)
    assert b"here" in await anext(parts)
    assert looked == [acme]
    await parts.aclose()


async def test_one_person_has_so_many_at_a_time(monkeypatch, alice, acme):
    monkeypatch.setattr(live, "MOST_OF_ONE", 2)
    client = AsyncClient()
    await client.aforce_login(alice)
    streams = [aiter((await client.get(reverse("live") + "?topics=usage")).streaming_content) for _ in range(2)]
    for stream in streams:
        assert b"here" in await anext(stream)
    assert (await client.get(reverse("live") + "?topics=usage")).status_code == 204
    for stream in streams:
        await stream.aclose()
    async with asyncio.timeout(10):
        while live._open:
            await asyncio.sleep(0.01)
    assert (await client.get(reverse("live") + "?topics=usage")).status_code == 200


async def test_a_visitor_and_an_unknown_topic_are_sent_away(alice, acme):
    client = AsyncClient()
    assert (await client.get(reverse("live") + "?topics=usage")).status_code == 204
    await client.aforce_login(alice)
    assert (await client.get(reverse("live") + "?topics=weather")).status_code == 204
