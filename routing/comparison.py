"""One prompt asked of several models or routes at once, and what each answer took: `POST /v1/compare`.

Each is a request of its own, with its own id, limits, budget, plan, failover and charge, as if its caller had sent
them one by one. Nothing of a comparison is kept but those requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from time import monotonic
from typing import Any

import orjson

from accounts.authentication import Caller
from common.errors import InvalidRequest, ShareAIError
from common.ids import new_request_id
from providers.schema import CHAT, Call, parse
from routing.asked import Serves
from routing.flights import LEFT, Flight, Flights, nobody_there, refusal_of_ended
from routing.rendering import error_reply, from_header
from routing.replies import Reply

FEWEST, MOST = 2, 4


def calls_of(body: Mapping[str, Any], body_bytes: int, **about: Any) -> list[Call]:
    """One for each of `models`.

    Args: about: of the request, as `parse` takes it.

    Raises: InvalidRequest: with `param` naming the field.
    """
    names = body.get("models")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("'models' must be a list of names of models or routes.", param="models")
    if not FEWEST <= len(names) <= MOST or len(set(names)) < len(names):
        raise InvalidRequest(f"'models' must name from {FEWEST} to {MOST} that differ.", param="models")
    for name in ("model", "stream"):
        if body.get(name):
            raise InvalidRequest(f"'{name}' has no place in a comparison.", param=name)
    shared = {name: value for name, value in body.items() if name not in ("model", "models", "stream")}
    return [
        parse(CHAT, {**shared, "model": name}, request_id=new_request_id(), body_bytes=body_bytes, **about)
        for name in names
    ]


async def compare(
    calls: Sequence[Call], caller: Caller, parent: Flight, flights: Flights, serves: Serves
) -> dict[str, Any]:
    """What each said and took, in the order asked. One that fails has its error in its place.

    They end when `parent` ends, for whichever reason.
    """
    begun: list[Flight] = []
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_one(call, caller, flights, serves, begun)) for call in calls]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for flight in begun:
            flight.end(parent.ended_by or LEFT)
        raise
    told = [task.result() for task in tasks]
    served = [one for one in told if one["error"] is None]
    priced = [one for one in served if one["cost_usd"] is not None]
    return {
        "object": "comparison",
        "data": told,
        "cheapest": min(priced, key=lambda one: Decimal(one["cost_usd"]))["model"] if priced else None,
        "fastest": min(served, key=lambda one: one["duration_ms"])["model"] if served else None,
    }


async def _one(call: Call, caller: Caller, flights: Flights, serves: Serves, begun: list[Flight]) -> dict[str, Any]:
    flight = flights.enter(nobody_there)
    begun.append(flight)
    try:
        reply = await serves.serve(call, caller, flight)
    except asyncio.CancelledError:
        reply = error_reply(refusal_of_ended(flight), call.request_id)
    except ShareAIError as error:
        reply = error_reply(error, call.request_id)
    finally:
        flights.leave(flight)
    reply.close()
    assert isinstance(reply, Reply)  # nothing was asked for as a stream
    return _told(call, reply, monotonic() - flight.started)


def _told(call: Call, reply: Reply, took_s: float) -> dict[str, Any]:
    headers = {name.decode(): value.decode("latin-1") for name, value in reply.headers}
    said = orjson.loads(reply.body)
    is_served = reply.status == 200
    return {
        "model": call.model,
        "request_id": call.request_id,
        "status": reply.status,
        "target": from_header(headers["x-shareai-target"]) if "x-shareai-target" in headers else None,
        "attempts": int(headers.get("x-shareai-attempts", 0)),
        "cache": headers.get("x-shareai-cache"),
        "first_byte_ms": int(headers["x-shareai-ttft-ms"]) if "x-shareai-ttft-ms" in headers else None,
        "duration_ms": round(took_s * 1000, 1),
        "cost_usd": headers.get("x-shareai-cost"),
        "response": said if is_served else None,
        "error": None if is_served else said["error"],
    }
