"""How routing is said to people: why a target is out, whose machine it is, the strategies."""

from __future__ import annotations

from collections.abc import Collection

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from providers.targets import CLOUD, GUEST, OWN
from routing import rules

REASONS: dict[str, Promise] = {
    "wrong_kind": _("Serves another kind of request"),
    "no_key": _("Has no usable API key"),
    "not_wanted": _("Excluded by the request's own preferences"),
    "may_collect": _("May keep what it is asked, which the request denies"),
    "other_quantization": _("Not known to be of a quantization that the request takes"),
    "too_expensive": _("Costs more than the request allows"),
    "price_unknown": _("Its price is not known, and the request sets a limit"),
    "lacks_capability": _("Lacks a capability that the request needs"),
    "lacks_parameter": _("Cannot take a parameter that the request requires"),
    "context_too_short": _("Its context is shorter than the prompt"),
    "not_local": _("Not one of your own machines"),
    "not_private": _("Outside your own infrastructure"),
    "cooling_down": _("Asked to be left alone for a while"),
    "breaker_open": _("Failed too often lately"),
    "probe_failed": _("Does not answer when it is probed"),
    "held_open": _("Taken out of use by hand"),
    "weight_zero": _("Has weight 0"),
    "other_cause": _("Comes after other failures only"),
    "balance_short": _("Costs more than what is left of the balance"),
    "budget_reached": _("Not covered by what is left of a budget"),
    "drill": _("Counts as down for an outage drill"),
    "node_offline": _("Not connected"),
    "node_paused": _("Paused"),
    "node_draining": _("Being drained"),
    "node_not_accepting": _("Takes no work at the moment"),
    "node_user_active": _("In use by somebody who sits at it"),
    "node_gpu_busy": _("Its GPU is busy"),
    "node_on_battery": _("Runs on battery"),
    "node_calendar": _("Does not serve at this hour"),
    "node_no_local_server": _("No model server is running on it"),
    "node_full": _("Has as many requests as it can hold"),
    "owner_first": _("Busy with its owner's requests"),
    "model_gone": _("Does not have the model any more"),
    "trial_failed": _("Did not answer its test prompt"),
}

PLACES: dict[str, Promise] = {
    CLOUD: _("cloud"),
    OWN: _("own machine"),
    GUEST: _("machine of others"),
}

STRATEGIES: dict[str, Promise] = {
    "priority": _("in this order"),
    "cheapest": _("the cheapest"),
    "fastest": _("the fastest"),
    "weighted": _("shared by weight"),
    "least_busy": _("the least busy"),
    "round_robin": _("in turn"),
    "sticky": _("the same for each user"),
    "throughput": _("the most tokens per second"),
}


CAUSES: dict[str, Promise] = {
    "connection": _("a broken connection"),
    "timeout": _("a timeout"),
    "server_error": _("a server error"),
    "rate_limit": _("a rate limit (429)"),
    "refused_key": _("a refused key"),
    "missing_model": _("a missing model"),
    "bad_answer": _("an unusable answer"),
    "unavailable": _("nobody being available"),
}

DATA_CLASSES: dict[str, Promise] = {
    "public": _("public"),
    "internal": _("internal"),
    "confidential": _("confidential"),
    "restricted": _("restricted"),
}


def reason(code: str) -> str:
    return str(REASONS.get(code, code.replace("_", " ")))


def place(code: str) -> str:
    return str(PLACES.get(code, code))


def strategy(code: str | None) -> str:
    return str(STRATEGIES.get(code or "", code or ""))


def cause(code: str) -> str:
    return str(CAUSES.get(code, code))


def causes(failures: Collection[str]) -> str:
    """The words for kinds of failures, as rules have them."""
    covered = [name for name, kinds in rules.CAUSES.items() if kinds and kinds <= set(failures)]
    return str(_(" or ")).join(map(cause, covered))


def data_class(code: str) -> str:
    return str(DATA_CLASSES.get(code, code))
