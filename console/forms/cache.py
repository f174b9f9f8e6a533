"""A cache policy as a person describes it: for what, how long, for each key apart or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey
from console.forms.base import ConsoleForm
from console.visit import Visit
from routing.cache_rules import KEY, MODEL, ORGANIZATION, ROUTE
from routing.cache_services import LEAST_THRESHOLD, USUAL_THRESHOLD
from routing.embedding_models import embedding_models
from routing.models import CachePolicy, Route

TTL_CHOICES = (
    ("60", _("1 minute")),
    ("600", _("10 minutes")),
    ("3600", _("1 hour")),
    ("86400", _("1 day")),
    ("604800", _("7 days")),
    ("2592000", _("30 days")),
    ("0", _("Never: nothing is kept")),
)


class CachePolicyForm(ConsoleForm):
    renames = {"scope": "covers", "subject": "covers", "semantic": "semantic_model"}

    covers = forms.ChoiceField(
        label=_("For"), help_text=_("The narrowest policy counts: key, then route, then model, then organisation.")
    )
    ttl_s = forms.TypedChoiceField(label=_("Keep answers for"), choices=TTL_CHOICES, initial="3600", coerce=int)
    per_key = forms.BooleanField(
        label=_("Each key apart"),
        required=False,
        help_text=_("An answer is then given again to the key alone that it was made for."),
        widget=forms.CheckboxInput(attrs={"class": "checkbox"}),
    )

    semantic_model = forms.ChoiceField(
        label=_("Also for what means the same, by the embeddings of"),
        required=False,
        help_text=_(
            "Of a route alone. An embedding model of yours compares the last message; all before it, "
            "the system prompt, tools and parameters must be equal. Each comparison is a request with its own cost."
        ),
    )
    threshold = forms.FloatField(
        label=_("From a similarity of"),
        required=False,
        min_value=LEAST_THRESHOLD,
        max_value=1,
        initial=USUAL_THRESHOLD,
        help_text=_("Lower answers more from memory, and more often wrongly."),
    )

    def __init__(self, *args: Any, visit: Visit, models: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        routes = list(Route.objects.of(visit.organization).order_by("name"))
        self.offer("covers", _choices(visit, models, [route.name for route in routes]))
        self.offer("semantic_model", _embedding_choices(visit, routes))

    def wanted(self) -> dict[str, Any]:
        """The arguments of `routing.cache_services.put_policy`."""
        scope, _colon, subject = self.cleaned_data["covers"].partition(":")
        return {
            "scope": scope,
            "subject": subject,
            "ttl_s": self.cleaned_data["ttl_s"],
            "per_key": self.cleaned_data["per_key"],
            "semantic": self.semantic(),
        }

    def semantic(self) -> dict[str, Any] | None:
        said = self.cleaned_data
        if not said.get("semantic_model"):
            return None
        return {"model": said["semantic_model"], "threshold": said["threshold"] or USUAL_THRESHOLD}


class KnownCachePolicyForm(CachePolicyForm):
    """Of a policy that exists: what it is for stays."""

    def __init__(self, *args: Any, policy: CachePolicy, **kwargs: Any) -> None:
        initial: dict[str, Any] = {
            "covers": f"{policy.scope}:{policy.subject}",
            "ttl_s": policy.ttl_s,
            "per_key": policy.per_key,
        }
        if policy.semantic:
            initial |= {"semantic_model": policy.semantic["model"], "threshold": policy.semantic["threshold"]}
        super().__init__(*args, initial=initial, models=(), **kwargs)
        del self.fields["covers"]
        if policy.scope != ROUTE:
            del self.fields["semantic_model"], self.fields["threshold"]
        elif policy.semantic:
            self._keep_offering(policy.semantic["model"])
        if str(policy.ttl_s) not in dict(TTL_CHOICES):
            exact = _("%(seconds)s seconds") % {"seconds": policy.ttl_s}
            self.offer("ttl_s", [(str(policy.ttl_s), exact), *TTL_CHOICES])
        self._policy = policy

    def _keep_offering(self, model: str) -> None:
        """What was chosen stays a choice when nobody serves it any more, and says so."""
        offered = self.choices_of("semantic_model")
        if model not in offered:
            gone = (model, _("%(name)s (not served now)") % {"name": model})
            self.offer("semantic_model", [*offered.items(), gone])

    def wanted(self) -> dict[str, Any]:
        said = self.cleaned_data
        return {
            "scope": self._policy.scope,
            "subject": self._policy.subject,
            "ttl_s": said["ttl_s"],
            "per_key": said["per_key"],
            "semantic": self.semantic(),
        }


def _embedding_choices(visit: Visit, routes: Sequence[Route]) -> list[tuple[str, Any]]:
    names = embedding_models(visit.organization, routes)
    off = _("Off: the very same request alone") if names else _("Off: no embedding model is served here")
    return [("", off), *((name, name) for name in names)]


def _choices(visit: Visit, models: Sequence[str], routes: Sequence[str]) -> list[tuple[str, Any]]:
    keys = ApiKey.objects.of(visit.organization).filter(is_ephemeral=False, revoked_at=None, replaced_by=None)
    groups = [
        (_("Route"), [(f"{ROUTE}:{name}", name) for name in routes]),
        (_("Model"), [(f"{MODEL}:{name}", name) for name in models if name not in set(routes)]),
        (_("Key"), [(f"{KEY}:{key.public_id}", key.name) for key in keys.order_by("name")]),
    ]
    offered: list[tuple[str, Any]] = [(f"{ORGANIZATION}:", _("The whole organisation"))]
    return offered + [(str(label), names) for label, names in groups if names]
