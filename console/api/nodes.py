"""`/nodes`: the organisation's own machines, and the tokens that let them in."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.audit import Actor
from accounts.roles import Permission
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.node_shapes import (
    CreatedNodeTokenShown,
    NewNodeToken,
    NodeChanges,
    NodeShown,
    NodeTokenShown,
)
from console.api.openapi import described, list_of
from console.machines import out_of_use
from nodes import enrolment, services
from nodes.commands import commands
from nodes.models import EnrolmentToken, Node
from nodes.sightings import presences_of

_MANAGE = (Permission.MANAGE_NODES,)


class _NodeView(ResourceView):
    tag = "Nodes"

    def rows(self) -> QuerySet[Node]:
        return services.nodes_of(self.organization).prefetch_related("served_models", "shares__guest")

    def node(self, node_id: str) -> Node:
        return self.find(self.rows(), public_id=node_id)

    def shown(self, node_id: str, status: int = 200) -> Response:
        """Read again: what a use case was given does not know all that it changed."""
        node = self.node(node_id)
        context = {"presences": presences_of([node_id]), "out_of_use": out_of_use([node])}
        return Response(NodeShown(node, context=context).data, status)


class NodeTokensView(_NodeView):
    needs = {"GET": _MANAGE, "POST": _MANAGE}
    proof = frozenset({"POST"})

    @described("listNodeTokens", "List enrolment tokens", **list_of(NodeTokenShown))
    def get(self, request: Request) -> Response:
        return self.answered(self.page(enrolment.tokens_of(self.organization)), NodeTokenShown, now=timezone.now())

    @described(
        "createNodeToken",
        "Create an enrolment token",
        body=NewNodeToken,
        answer=CreatedNodeTokenShown,
        status=201,
        sent={"count": 1, "ttl_s": 900},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """The answer holds the token itself, this once, and what to run on a machine of each platform."""
        wishes = self.read(NewNodeToken)
        made = enrolment.create_token(self.organization, self.actor, created_by=self.access.user, **wishes)
        context = {
            "now": timezone.now(),
            "plain": made.plain,
            "commands": commands(settings.PUBLIC_URL, made.plain),
        }
        return Response(CreatedNodeTokenShown(made.token, context=context).data, 201)


class NodeTokenView(_NodeView):
    needs = {"GET": _MANAGE, "DELETE": _MANAGE}

    @described("getNodeToken", "Show an enrolment token", answer=NodeTokenShown)
    def get(self, request: Request, token_id: str) -> Response:
        return Response(NodeTokenShown(self._token(token_id), context={"now": timezone.now()}).data)

    @described("revokeNodeToken", "Withdraw an enrolment token", status=204)
    def delete(self, request: Request, token_id: str) -> Response:
        """It lets nobody else in; machines that are in stay."""
        enrolment.revoke_token(self._token(token_id), self.actor)
        return Response(status=204)

    def _token(self, token_id: str) -> EnrolmentToken:
        return self.find(enrolment.tokens_of(self.organization), public_id=token_id)


class NodesView(_NodeView):
    needs = {"GET": (Permission.VIEW,)}

    @described("listNodes", "List machines", **list_of(NodeShown))
    def get(self, request: Request) -> Response:
        """With what is known of each at this moment."""
        page = self.page(self.rows())
        presences = presences_of([node.public_id for node in page.rows])
        return self.answered(page, NodeShown, presences=presences, out_of_use=out_of_use(page.rows))


class NodeView(_NodeView):
    needs = {"GET": (Permission.VIEW,), "PATCH": _MANAGE, "DELETE": _MANAGE}
    proof = frozenset({"DELETE"})

    @described("getNode", "Show a machine", answer=NodeShown)
    def get(self, request: Request, node_id: str) -> Response:
        return self.shown(node_id)

    @described(
        "updateNode",
        "Change a machine",
        body=NodeChanges,
        answer=NodeShown,
        sent={
            "mode": "idle",
            "calendar": [{"days": [0, 1, 2, 3, 4], "from": "20:00", "to": "07:00"}],
            "models": [{"upstream_id": "llama3.1:8b", "input_price": "0.02", "output_price": "0.04"}],
        },
    )
    def patch(self, request: Request, node_id: str) -> Response:
        """Changes what is given, all of it or nothing. A new price counts from the next request on."""
        services.update_node(self.node(node_id), self.actor, self.read(NodeChanges, partial=True))
        return self.shown(node_id)

    @described("removeNode", "Remove a machine", status=204)
    def delete(self, request: Request, node_id: str) -> Response:
        """Its key is worth nothing from now on, and its connection is closed within a second."""
        services.remove_node(self.node(node_id), self.actor)
        return Response(status=204)


class _IntakeView(_NodeView):
    needs = {"POST": _MANAGE}
    act: Callable[[Node, Actor], Node]

    def answer(self, node_id: str) -> Response:
        type(self).act(self.node(node_id), self.actor)
        return self.shown(node_id)


class NodePauseView(_IntakeView):
    act = staticmethod(services.pause_node)

    @described("pauseNode", "Pause a machine", answer=NodeShown)
    @idempotent
    def post(self, request: Request, node_id: str) -> Response:
        """It gets nothing new until it is resumed; what runs is finished."""
        return self.answer(node_id)


class NodeDrainView(_IntakeView):
    act = staticmethod(services.drain_node)

    @described("drainNode", "Drain a machine", answer=NodeShown)
    @idempotent
    def post(self, request: Request, node_id: str) -> Response:
        """It gets nothing new; its status is `draining` until nothing runs any more, then `paused`."""
        return self.answer(node_id)


class NodeResumeView(_IntakeView):
    act = staticmethod(services.resume_node)

    @described("resumeNode", "Resume a machine", answer=NodeShown)
    @idempotent
    def post(self, request: Request, node_id: str) -> Response:
        """After a pause or a drain."""
        return self.answer(node_id)
