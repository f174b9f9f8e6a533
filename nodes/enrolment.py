"""How a machine gets in: a person makes a token, the agent shows it together with a key of its own.

    token made → POST /nodes/v1/enroll: token, public key, proof of the private one → a node

Only the hash of a token is stored. Taking one place of a token is one statement that cannot take more than there
are, so two machines that show a single-use token at once become one node and one refusal. The same machine asking
again with the same key gets the same node: an answer lost on the way is no loss.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.models import Organization, User
from common.ids import new_id
from common.signatures import PUBLIC_KEY_BYTES
from nodes import changes, proofs, tokens
from nodes.errors import (
    ClockSkew,
    InvalidNode,
    ProofInvalid,
    TokenExpired,
    TokenUnknown,
    TokenUsed,
    VersionUnsupported,
)
from nodes.models import EnrolmentToken, Node
from nodes.services import free_slug
from nodes.versions import LEAST_AGENT, is_supported
from nodes.wishes import LONGEST_NAME

SINGLE_TTL_S, SHORTEST_TTL_S, LONGEST_TTL_S = 900, 60, 30 * 24 * 3600
MOST_MACHINES = 1000
MOST_SKEW_S = 300.0
ENROLMENT = Actor.system("enrolment")


@dataclass(frozen=True, slots=True)
class PlainToken:
    """A new token with its text, which exists nowhere else and is to be shown once."""

    token: EnrolmentToken
    plain: str

    def __repr__(self) -> str:
        return f"PlainToken({self.token.public_id})"


class Application(msgspec.Struct, frozen=True):
    """What an agent posts. Sizes are bounded: nobody has proved anything yet."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    public_key: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    proof: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    hostname: Annotated[str, msgspec.Meta(max_length=255)]
    os: Literal["linux", "macos", "windows"]
    arch: Annotated[str, msgspec.Meta(max_length=40)]
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    sent_at: datetime
    os_version: Annotated[str, msgspec.Meta(max_length=80)] = ""
    name: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)] | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """`is_new` is False where the same machine asked again. `origin` is the console's, as the machine knows it."""

    node: Node
    origin: str
    is_new: bool


def create_token(
    org: Organization, actor: Actor, *, count: int = 1, ttl_s: int = SINGLE_TTL_S, created_by: User | None = None
) -> PlainToken:
    """A token that lets `count` machines in within `ttl_s` seconds.

    Raises:
        InvalidNode, NotPermitted, OrganizationGone.
    """
    if not 1 <= count <= MOST_MACHINES:
        raise InvalidNode("count", _("Between 1 and %(most)d machines.") % {"most": MOST_MACHINES})
    if not SHORTEST_TTL_S <= ttl_s <= LONGEST_TTL_S:
        message = _("Between %(least)d and %(most)d seconds.")
        raise InvalidNode("ttl_s", message % {"least": SHORTEST_TTL_S, "most": LONGEST_TTL_S})
    plain, now = tokens.mint(), timezone.now()
    with changes.changing(org, actor) as held:
        token = EnrolmentToken.objects.create(
            org=held,
            public_id=new_id("ntok"),
            token_hash=tokens.digest(plain),
            count=count,
            created_by=created_by,
            created_at=now,
            expires_at=now + timedelta(seconds=ttl_s),
        )
        after = {"machines": count, "expires_at": token.expires_at.isoformat()}
        _record_token(token, actor, "node_token.created", after)
    return PlainToken(token, plain)


def revoke_token(token: EnrolmentToken, actor: Actor) -> EnrolmentToken:
    """Lets nobody else in; who is in stays in. Once more changes nothing."""
    with changes.changing(token.org, actor) as held:
        row = EnrolmentToken.objects.get_of(held, pk=token.pk)
        if row.revoked_at is None:
            row.revoked_at = timezone.now()
            row.save(update_fields=["revoked_at"])
            _record_token(row, actor, "node_token.revoked", None)
    return row


def tokens_of(org: Organization) -> QuerySet[EnrolmentToken]:
    found: QuerySet[EnrolmentToken] = EnrolmentToken.objects.of(org)
    return found.select_related("org", "created_by")


def enrol(application: Application, origins: Collection[str], ip: str | None = None) -> Enrolled:
    """
    Args:
        origins: under which this console may be known; the proof names one of them.

    Raises:
        TokenUnknown, TokenUsed, TokenExpired, ProofInvalid, ClockSkew, VersionUnsupported.
    """
    now = timezone.now()
    token = _token_of(application.token)
    public_key = proofs.decoded(application.public_key)
    origin = _proven_origin(application, public_key, origins)
    if not is_supported(application.version):
        raise VersionUnsupported(LEAST_AGENT)
    _refuse_skew(application.sent_at, now)
    with changes.changing(token.org, ENROLMENT) as held:
        known = Node.objects.of(held).filter(enrolled_with=token, public_key=public_key, revoked_at=None).first()
        if known is None:
            _take_place(token, now)
            node = _insert(held, token, public_key, application, origin)
            _record_node(node, token, ip)
        elif token.expires_at <= now:
            raise TokenExpired
        else:
            node = _known_by(known, origin)
    return Enrolled(node, origin, known is None)


def _token_of(text: str) -> EnrolmentToken:
    if not tokens.looks_like_one(text):
        raise TokenUnknown
    found = EnrolmentToken.objects.filter(token_hash=tokens.digest(text), revoked_at=None, org__deleted_at=None)
    token = found.select_related("org").first()
    if token is None:
        raise TokenUnknown
    return token


def _proven_origin(application: Application, public_key: bytes, origins: Collection[str]) -> str:
    signature = proofs.decoded(application.proof)
    if len(public_key) == PUBLIC_KEY_BYTES:
        for origin in origins:
            if proofs.proves_enrolment(public_key, signature, application.token, origin):
                return origin
    here = " or ".join(sorted(origins))
    raise ProofInvalid(f"{ProofInvalid.MESSAGE} Enrol with this console's own address: {here}.")


def _refuse_skew(sent_at: datetime, now: datetime) -> None:
    if sent_at.tzinfo is None:
        raise ClockSkew(0.0)
    ahead_s = (sent_at - now).total_seconds()
    if abs(ahead_s) > MOST_SKEW_S:
        raise ClockSkew(ahead_s)


def _take_place(token: EnrolmentToken, now: datetime) -> None:
    """Raises: TokenUsed, TokenExpired, TokenUnknown: withdrawn a moment ago."""
    rows = EnrolmentToken.objects.filter(pk=token.pk)
    if rows.filter(used__lt=F("count"), expires_at__gt=now, revoked_at=None).update(used=F("used") + 1):
        return
    token.refresh_from_db()
    refusals = {"used": TokenUsed, "expired": TokenExpired}
    raise refusals.get(token.status(now), TokenUnknown)


def _known_by(node: Node, origin: str) -> Node:
    """It asked again, maybe by another name of this console, which it will sign from now on."""
    if node.origin != origin:
        node.origin = origin
        node.save(update_fields=["origin"])
    return node


def _insert(
    org: Organization, token: EnrolmentToken, public_key: bytes, application: Application, origin: str
) -> Node:
    name = _name_of(application)
    return Node.objects.create(
        org=org,
        public_id=new_id("node"),
        slug=free_slug(org, name),
        name=name,
        public_key=public_key,
        enrolled_with=token,
        origin=origin,
        hostname=_visible(application.hostname),
        os=application.os,
        os_version=_visible(application.os_version),
        arch=_visible(application.arch),
        version=_visible(application.version),
        time_zone=org.time_zone,
    )


def _name_of(application: Application) -> str:
    """As the machine asks; else its host's name, without the domain."""
    return _visible(application.name or application.hostname.partition(".")[0])[:LONGEST_NAME] or "node"


def _visible(text: str) -> str:
    """What a machine says of itself ends up on pages: one line, nothing that does not show."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


def _record_node(node: Node, token: EnrolmentToken, ip: str | None) -> None:
    actor = Actor(ENROLMENT.type, ENROLMENT.id, ENROLMENT.label, ip)
    told = {"name": node.name, "slug": node.slug, "os": node.os, "enrolled_with": token.public_id}
    changes.record(node, actor, "node.enrolled", after=told)


def _record_token(token: EnrolmentToken, actor: Actor, action: str, after: dict[str, object] | None) -> None:
    audit.record(token.org, actor, action, "node_token", token.public_id, after=after)
