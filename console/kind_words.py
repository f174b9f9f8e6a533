"""What kinds of models there are, in words."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from providers.endpoints import KINDS

_WORDS = {
    "chat": _("Chat"),
    "embedding": _("Embeddings"),
    "moderation": _("Moderation"),
    "rerank": _("Reranking"),
    "image": _("Pictures"),
}

CHOICES = tuple((kind, _WORDS[kind]) for kind in KINDS)


def kind(code: str) -> str:
    return str(_WORDS.get(code, code))
