"""What is refused before Django sees a request."""

from __future__ import annotations

import pytest

from console.bodies import BoundedBodies, Message

FORM = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")


async def sent(path: str = "/keys", query: bytes = b"", *pieces: bytes, header: tuple[bytes, bytes] = FORM) -> int:
    """The status of the answer: 200 where the request came through whole."""
    scope = {"type": "http", "path": path, "query_string": query, "headers": [header]}
    told: list[Message] = []
    left = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    left.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None:
        told.append(message)

    async def django(scope, receive, send) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200})

    await BoundedBodies(django, 10_000, 5)(scope, receive, send)
    return told[0]["status"]


@pytest.mark.parametrize("path", ["/routes/show/\0", "/api/v1/keys/\0"])
async def test_a_nul_in_the_address(path):
    assert await sent(path) == 400


async def test_a_nul_in_the_query():
    assert await sent("/keys", b"q=a%00b") == 400
    assert await sent("/keys", b"q=a%0a00") == 200


@pytest.mark.parametrize("pieces", [(b"name=%00",), (b"name=%", b"00&x=1"), (b"name=%0", b"0"), (b"a=%", b"0", b"0")])
async def test_a_nul_in_a_form_however_it_is_cut(pieces):
    assert await sent("/keys", b"", *pieces) == 400


async def test_other_bodies_are_their_readers_to_judge():
    assert (
        await sent("/api/v1/keys", b"", b'{"name": "100%00"}', header=(b"content-type", b"application/json")) == 200
    )
    assert await sent("/keys", b"", b"name=%0a", b"00") == 200
