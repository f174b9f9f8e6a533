"""The views of `/v1`. They decide nothing: authenticate, parse, hand over, give the reply back."""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import Any, ClassVar

import msgspec
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.views import APIView

from accounts.authentication import INFERENCE, Caller
from common.errors import InvalidRequest, NotFound, ShareAIError
from common.jsongate import loads
from providers.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, IMAGES, MODERATIONS, RERANK
from providers.schema import parse
from routing.asgi import GatewayRequest
from routing.authentication import caller_of
from routing.catalogue import key_of, model_of, models_of, near_of
from routing.comparison import calls_of, compare
from routing.counting import whole_prompt_tokens
from routing.explanation import explain, imagined
from routing.flights import Headers
from routing.gateway import check_models
from routing.messages import asking as messages_asking
from routing.messages import replying as messages_replying
from routing.plan_refusals import not_found, unknown_model
from routing.rendering import error_reply, json_reply
from routing.repeats import MOST_BODY_BYTES
from routing.replies import Reply, StreamReply
from routing.responses.asking import chat_of
from routing.responses.replying import reply_of
from routing.wiring import plane

LARGE_BODY_BYTES = 1 << 20
IDEMPOTENCY_KEY = b"idempotency-key"
_MEANINGFUL = frozenset((IDEMPOTENCY_KEY, b"cache-control", b"x-shareai-metadata"))
"""Headers with which a request may be answered otherwise than without them."""


class GatewayView(APIView):
    """DRF's life of a request without its negotiation and parsers, asynchronous, answering with a Reply.

    Subclasses set `scope` and write `get` or `post`, called with the authenticated `Caller`.
    """

    scope: ClassVar[str] = INFERENCE
    http_method_names = ["get", "head", "post"]
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    async def dispatch(self, request: GatewayRequest, *args: Any, **kwargs: Any) -> Reply | StreamReply:  # type: ignore[override]
        self.gateway_request, self.args, self.kwargs = request, args, kwargs
        try:
            handler = self._handler(request)
            caller = await caller_of(request, plane().snapshots)
            self.check_caller(request, caller)
            return await handler(request, caller, *args, **kwargs)
        except (ShareAIError, APIException) as error:
            return self.handle_exception(error)

    def _handler(self, request: GatewayRequest) -> Any:
        name = (request.method or "").lower()
        handler = getattr(self, name, None) if name in self.http_method_names else None
        if handler is None:
            taken = " or ".join(method for method in self.allowed_methods if method not in ("HEAD", "OPTIONS"))
            raise MethodNotAllowed(request.method or "", f"{request.method} is not taken here, but {taken} is.")
        return handler

    def check_caller(self, request: GatewayRequest, caller: Caller) -> None:
        caller.require_scope(self.scope)
        request.flight.key_id = caller.key_public_id
        plane().last_used.note(caller.key_id)

    def handle_exception(self, exc: Exception) -> Reply:  # type: ignore[override]
        headers: Headers = []
        if isinstance(exc, MethodNotAllowed):
            headers = [(b"allow", ", ".join(self.allowed_methods).encode())]
        if isinstance(exc, APIException):
            exc = ShareAIError(
                str(exc.detail), code=str(exc.default_code), type="invalid_request_error", status=exc.status_code
            )
        assert isinstance(exc, ShareAIError)
        return error_reply(exc, self.gateway_request.request_id, headers)


async def _loaded(payload: bytes) -> dict[str, Any]:
    """Large bodies are parsed in a thread: a megabyte takes milliseconds, which others would wait."""
    if len(payload) <= LARGE_BODY_BYTES:
        return loads(payload)
    return await asyncio.get_running_loop().run_in_executor(None, loads, payload)


class CallView(GatewayView):
    """An endpoint that is served by an upstream."""

    endpoint: ClassVar[str] = ""

    async def post(self, request: GatewayRequest, caller: Caller) -> Reply | StreamReply:
        payload = request.payload
        if len(payload) > MOST_BODY_BYTES:
            return await self.served(request, caller, await _loaded(payload))
        if _MEANINGFUL.isdisjoint(request.by_name):
            reply = plane().repeats.reply(self.endpoint, request, caller)
            if reply is not None:
                return reply
        return await self.served(request, caller, loads(payload), payload)

    async def served(
        self, request: GatewayRequest, caller: Caller, body: dict[str, Any], known_by: bytes = b""
    ) -> Reply | StreamReply:
        call = parse(
            self.endpoint,
            body,
            request_id=request.request_id,
            body_bytes=len(request.payload),
            sdk_retry=request.sdk_retry,
            user_agent=request.user_agent,
            wants_trace=request.header("x-shareai-metadata") == "enabled",
            cache_control=request.header("cache-control") or "",
            headers=request.scope["headers"],
            payload=known_by,
            trace=request.trace,
        )
        key = request.by_name.get(IDEMPOTENCY_KEY)
        here = plane()
        if key is None:
            serves = here.transcripts if caller.logs_content else here.gateway
            return await serves.serve(call, caller, request.flight)
        return await here.errands.serve(key, call, caller, request.flight)


class ChatCompletionsView(CallView):
    endpoint = CHAT


class CompletionsView(CallView):
    endpoint = COMPLETIONS


class EmbeddingsView(CallView):
    endpoint = EMBEDDINGS


class ModerationsView(CallView):
    endpoint = MODERATIONS


class RerankView(CallView):
    endpoint = RERANK


class ImagesView(CallView):
    endpoint = IMAGES


class ResponsesView(CallView):
    """OpenAI's newer API: asked as a chat, and told back in its own words."""

    endpoint = CHAT

    async def post(self, request: GatewayRequest, caller: Caller) -> Reply | StreamReply:
        wish = await _loaded(request.payload)
        reply = await self.served(request, caller, chat_of(wish))
        return reply_of(reply, wish, int(time()))


class ResponseView(GatewayView):
    """None is kept, so none is found; whoever asks hears why."""

    http_method_names = ["get", "head", "delete"]

    async def get(self, request: GatewayRequest, caller: Caller, response: str) -> Reply:
        raise NotFound("Responses are not stored here: what was answered is told once, to the one who asked.")

    delete = get


class MessagesView(CallView):
    """Anthropic's API: asked as a chat, and told back in its own words, refusals too."""

    endpoint = CHAT

    async def post(self, request: GatewayRequest, caller: Caller) -> Reply | StreamReply:
        wish = await _loaded(request.payload)
        reply = await self.served(request, caller, messages_asking.chat_of(wish))
        return messages_replying.reply_of(reply, wish.get("model"))

    def handle_exception(self, exc: Exception) -> Reply:  # type: ignore[override]
        return messages_replying.refusal_of(super().handle_exception(exc))


class MessageTokensView(MessagesView):
    """How long a prompt is, by the gateway's own count: which model will read it, and how, only its target knows."""

    async def post(self, request: GatewayRequest, caller: Caller) -> Reply:
        body = messages_asking.counted_chat_of(await _loaded(request.payload))
        call = parse(CHAT, body, request_id=request.request_id, body_bytes=len(request.payload))
        check_models(call, caller)
        snapshot = plane().snapshots.get(caller.org_id)
        if not any(model_of(snapshot, caller, name) for name in call.models):
            raise not_found(call, snapshot)
        tokens = await asyncio.get_running_loop().run_in_executor(None, whole_prompt_tokens, call)
        return json_reply(200, {"input_tokens": tokens}, request.request_id)


class CompareView(GatewayView):
    """One prompt, two to four models, side by side."""

    async def post(self, request: GatewayRequest, caller: Caller) -> Reply:
        if IDEMPOTENCY_KEY in request.by_name:
            raise InvalidRequest("A comparison takes no Idempotency-Key: it is several requests.")
        calls = calls_of(
            await _loaded(request.payload),
            len(request.payload),
            user_agent=request.user_agent,
            wants_trace=request.header("x-shareai-metadata") == "enabled",
            cache_control=request.header("cache-control") or "",
            headers=request.scope["headers"],
            trace=request.trace,
        )
        here = plane()
        serves = here.transcripts if caller.logs_content else here.gateway
        told = await compare(calls, caller, request.flight, here.flights, serves)
        return json_reply(200, {"id": request.request_id, **told}, request.request_id)


class ExplainView(GatewayView):
    """What a body like that of an endpoint would lead to. Nothing is sent to any target."""

    async def post(self, request: GatewayRequest, caller: Caller) -> Reply:
        call = imagined(
            await _loaded(request.payload), len(request.payload), request.request_id, request.scope["headers"]
        )
        check_models(call, caller)
        here = plane()
        snapshot = here.snapshots.get(caller.org_id)
        told = explain(here.planner, here.health, call, snapshot, monotonic(), caller.key_public_id)
        explanation = {"object": "route.explanation", **msgspec.to_builtins(told)}
        return json_reply(200, explanation, request.request_id)


class ModelsView(GatewayView):
    async def get(self, request: GatewayRequest, caller: Caller) -> Reply:
        snapshot = plane().snapshots.get(caller.org_id)
        return json_reply(200, {"object": "list", "data": models_of(snapshot, caller)}, request.request_id)


class ModelView(GatewayView):
    async def get(self, request: GatewayRequest, caller: Caller, model: str) -> Reply:
        snapshot = plane().snapshots.get(caller.org_id)
        found = model_of(snapshot, caller, model)
        if found is None:
            raise unknown_model(model, near_of(snapshot, caller, model))
        return json_reply(200, found, request.request_id)


class KeyView(GatewayView):
    async def get(self, request: GatewayRequest, caller: Caller) -> Reply:
        snapshots = plane().snapshots
        record = snapshots.find_key(caller.key_public_id)
        assert record is not None  # authenticated a moment ago, nothing was awaited since
        return json_reply(200, key_of(record, snapshots.get(caller.org_id)), request.request_id)
