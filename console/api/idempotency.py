"""`Idempotency-Key` on POST: the same request sent twice acts once and is answered alike.

The answer is kept in the transaction of the act itself, so there is never one without the other, whatever is killed
in between. While that transaction runs it holds an advisory lock; a second request that comes meanwhile is told so.
What was refused did nothing and is not kept. The key belongs to who sent it: a colleague's or another key's request
with the same idempotency key is another request, and never sees the first one's secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import cache, wraps
from typing import Any, cast

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import InvalidField
from accounts.models import Organization
from common.errors import IdempotencyInProgress, IdempotencyKeyReused
from common.secrets import KeyRing, SecretsError
from console.api.access import Access
from console.api.models import KeptAnswer
from routing.errands import LONGEST_KEY

KEPT_FOR = timedelta(days=1)
REPLAYED = "Idempotent-Replayed"
_EXPIRED_AT_ONCE = 100

Handler = Callable[..., Response]


def idempotent(handler: Handler) -> Handler:
    """Of a `post` method. Its response must have `data` that JSON holds."""

    @wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return handler(view, request, *args, **kwargs)
        access = cast(Access, request.auth)
        scope = _scope(access, request, key)
        with transaction.atomic():
            _lock(access.organization, scope)
            expire_answers(_EXPIRED_AT_ONCE)
            kept = KeptAnswer.objects.of(access.organization).filter(scope=scope).first()
            if kept is not None:
                return _replayed(kept, request)
            response = handler(view, request, *args, **kwargs)
            _keep(access.organization, scope, request, response)
        return response

    post.is_idempotent = True  # type: ignore[attr-defined]
    return post


def expire_answers(most: int) -> int:
    """Deletes up to `most` answers of any organisation whose day is over; those being deleted elsewhere are left."""
    old = KeptAnswer.objects.filter(created_at__lte=timezone.now() - KEPT_FOR).order_by("created_at")
    with transaction.atomic():
        ids = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:most])
        return KeptAnswer.objects.filter(pk__in=ids).delete()[0]


def _scope(access: Access, request: Request, key: str) -> bytes:
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise InvalidField.one("Idempotency-Key", f"Use 1 to {LONGEST_KEY} printable ASCII characters.")
    named = "\n".join((access.actor.type, access.actor.id, str(request.method), request.path, key))
    return hashlib.sha256(named.encode()).digest()


def _lock(organization: Organization, scope: bytes) -> None:
    """Until the transaction ends. Raises: IdempotencyInProgress."""
    digest = hashlib.sha256(organization.public_id.encode() + scope).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], signed=True)])
        if not cursor.fetchone()[0]:
            raise IdempotencyInProgress(retry_after_s=1)


def _fingerprint(request: Request) -> str:
    said = orjson.dumps([request.get_full_path(), request.data], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(said).hexdigest()


def _keep(organization: Organization, scope: bytes, request: Request, response: Response) -> None:
    answer = {"request": _fingerprint(request), "status": response.status_code, "data": response.data}
    sealed = _ring().seal(orjson.dumps(answer, default=str), _aad(organization.pk, scope))
    KeptAnswer.objects.create(org=organization, scope=scope, sealed=sealed)


def _replayed(kept: KeptAnswer, request: Request) -> Response:
    try:
        answer = orjson.loads(_ring().open(bytes(kept.sealed), _aad(kept.org_id, bytes(kept.scope))))
    except SecretsError as error:
        message = "This idempotency key was used, but its answer can no longer be opened."
        raise IdempotencyKeyReused(message) from error
    if answer["request"] != _fingerprint(request):
        raise IdempotencyKeyReused
    return Response(answer["data"], answer["status"], headers={REPLAYED: "true"})


@cache
def _ring() -> KeyRing:
    return KeyRing.parse(settings.KEYRING)


def _aad(org_id: int, scope: bytes) -> str:
    return f"console_api_keptanswer|{scope.hex()}|{org_id}|"
