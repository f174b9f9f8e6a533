"""Prompts and answers as the content log leaves them in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from django.utils import timezone

from accounts.models import Organization
from metering.content_log import place_of
from metering.contents import keyring
from metering.models import Content
from metering.transcripts import transcript_of

PROMPT = "What does <b>the invoice</b> say?"
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "It says: pay."}, "finish_reason": "stop"}]}


def keep(
    organization: Organization,
    request_id: str,
    prompt_hash: int = 7,
    began_at: datetime | None = None,
    body: dict[str, Any] | None = None,
) -> str:
    body = body or {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}
    kept = transcript_of(body, orjson.dumps(ANSWER), status=200, streamed=False, is_whole=True)
    Content.objects.create(
        org=organization,
        request_id=request_id,
        started_at=began_at or timezone.now(),
        prompt_hash=prompt_hash,
        sealed=keyring().seal(kept.packed(), place_of(organization.pk, request_id)),
        size_bytes=100,
    )
    return request_id
