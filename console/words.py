"""Codes of the rooms below, as people say them. A code without words is shown as it is."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from common import rates
from console import account_words, payment_words
from metering.usage import HEDGE_LOST
from providers.failures import Kind

OUTCOMES: dict[str, Promise] = {
    Kind.REFUSED_EGRESS: _("the address may not be dialled"),
    Kind.DNS: _("its name could not be resolved"),
    Kind.CONNECT: _("could not connect"),
    Kind.TLS: _("the TLS handshake failed"),
    Kind.RESET: _("the connection was lost"),
    Kind.FIRST_BYTE_TIMEOUT: _("no first byte in time"),
    Kind.IDLE_TIMEOUT: _("fell silent in the middle"),
    Kind.DEADLINE: _("the deadline passed"),
    Kind.SERVER_ERROR: _("server error"),
    Kind.RATE_LIMITED: _("rate limited"),
    Kind.UNAUTHORIZED: _("refused its key"),
    Kind.NOT_FOUND: _("does not have the model"),
    Kind.REJECTED: _("rejected the request itself"),
    Kind.REDIRECT: _("wanted to redirect"),
    Kind.MALFORMED: _("malformed answer"),
    Kind.ERROR_IN_BODY: _("an error inside a 200"),
    Kind.EMPTY: _("empty answer"),
    Kind.TOO_LARGE: _("answer too large"),
    Kind.INTERRUPTED: _("broke off in the middle"),
    Kind.BUSY: _("the machine takes no more requests now"),
    Kind.WAITED: _("waited too long for the machine"),
    HEDGE_LOST: _("let go: another one began first"),
}

HEALTH_REASONS: dict[str, Promise] = {
    "person": _("set by hand"),
    "probe": _("answered a probe"),
    "answered": _("answered a request"),
    "traffic": _("answers requests"),
    "time_is_up": _("the time was up"),
    "refused": _("nothing listens there"),
    "timeout": _("no answer in time"),
    "unreachable": _("cannot be reached"),
    "dns": _("its name could not be resolved"),
    "tls": _("the TLS handshake failed"),
    "broken": _("broke off the connection"),
    "egress_refused": _("the address may not be dialled"),
    "html": _("a web page answered"),
    "redirect": _("wanted to redirect"),
    "not_the_api": _("not an answer of this API"),
    "not_found": _("not found"),
    "no_models": _("lists no models"),
    "empty": _("empty answer"),
    "too_large": _("answer too large"),
    "rejected": _("rejected the request itself"),
    "limited": _("rate limited"),
    "key_refused": _("refused its key"),
    "key_missing": _("asks for a key"),
}

CONDITIONS: dict[str, Promise] = {
    "closed": _("In use"),
    "open": _("Failing: others go first"),
    "half_open": _("Being tried again"),
    "probe_failed": _("Does not answer"),
    "held_open": _("Out of use by hand"),
    "up": _("Answers"),
    "down": _("Does not answer"),
    "unknown": _("Not known"),
}

DOUBT_ADVICE: dict[str, Promise] = {
    "more_than_bytes": _("Update the model server: what it reports as usage cannot be."),
    "inflated": _("Update the model server: it may count other texts as part of the answer."),
    "prompt_inflated": _("Look at the model's chat template: it may add long texts to every question."),
    "too_fast": _("Make sure that a model answers here, and no cache or program in its place."),
    "wrong_answer": _("Ask the model yourself: very small or damaged models give such answers."),
    "no_answer": _("Look at the model server's log of that time, and ask the model yourself."),
}
"""What the owner of a machine may look at; what was doubted is said by `console.earning_words`."""

BILLING_REASONS: dict[str, Promise] = {
    "completed": _("charged: completed"),
    "partial": _("charged: what was delivered"),
    "cancelled_delivered": _("charged: tokens delivered before it was cancelled"),
    "interrupted_delivered": _("charged: tokens delivered before it broke off"),
    "no_charge_error": _("not charged"),
    "cached": _("answered from the cache"),
}

ACTIONS: dict[str, Promise] = (
    payment_words.ACTIONS
    | account_words.ACTIONS
    | {
        "api_key.created": _("created the API key"),
        "api_key.updated": _("changed the API key"),
        "api_key.revoked": _("revoked the API key"),
        "api_key.rotated": _("rotated the API key"),
        "cache.purged": _("purged the cache of"),
        "cache_policy.created": _("created the cache policy for"),
        "cache_policy.updated": _("changed the cache policy for"),
        "cache_policy.deleted": _("deleted the cache policy for"),
        "canary.started": _("put a canary on trial for"),
        "canary.changed": _("changed the canary of"),
        "canary.promoted": _("promoted the canary of"),
        "canary.rolled_back": _("rolled back the canary of"),
        "configuration.exported": _("exported the configuration of"),
        "configuration.imported": _("imported a configuration into"),
        "content.exported": _("exported prompts and answers:"),
        "content.purged": _("purged the prompts and answers of"),
        "content.read": _("read the prompt and the answer of"),
        "connection.created": _("added the provider"),
        "connection.updated": _("changed the provider"),
        "connection.deleted": _("deleted the provider"),
        "connection.enabled": _("enabled the provider"),
        "connection.disabled": _("disabled the provider"),
        "connection.fault_played": _("let the simulated provider fail"),
        "connection.key_added": _("added a key to the provider"),
        "connection.key_removed": _("removed a key from the provider"),
        "connection.key_parked": _("parked a key of the provider"),
        "connection.key_unparked": _("took a key of the provider back into use"),
        "connection.models_set": _("chose the models of the provider"),
        "model.updated": _("changed a model of the provider"),
        "earnings.programme_chosen": _("chose the programme for the earnings of"),
        "earnings.recognition_set": _("changed who sees the machines' standing of"),
        "earnings.case_opened": _("opened a case about doubted earnings:"),
        "earnings.case_answered": _("answered the doubts of"),
        "earnings.case_dismissed": _("found nothing wrong in"),
        "earnings.case_upheld": _("took back doubted earnings of"),
        "earnings.case_corrected": _("put right, at another price, what was taken back by"),
        "invitation.sent": _("invited"),
        "invitation.sent_again": _("invited again"),
        "invitation.revoked": _("withdrew the invitation of"),
        "member.joined": _("joined:"),
        "member.left": _("left:"),
        "member.removed": _("removed the member"),
        "member.role_changed": _("changed the role of"),
        "smoke.begun": _("began a smoke test"),
        "smoke.ended": _("ended a smoke test"),
        "limits.updated": _("changed the limits of"),
        "organization.created": _("founded the organisation"),
        "organization.updated": _("changed the settings of"),
        "organization.deleted": _("deleted the organisation"),
        "node.doubted": _("doubted what was said by the machine"),
        "node.drained": _("drained the machine"),
        "node.enrolled": _("a machine was enrolled:"),
        "node.models_found": _("found models on the machine"),
        "node.paused": _("paused the machine"),
        "node.removed": _("removed the machine"),
        "node.resumed": _("resumed the machine"),
        "node.revoked": _("revoked the machine"),
        "node.updated": _("changed the machine"),
        "node_token.created": _("made an enrolment token"),
        "node_token.revoked": _("withdrew an enrolment token"),
        "route.created": _("created the route"),
        "route.updated": _("changed the route"),
        "route.deleted": _("deleted the route"),
        "target.held_open": _("took the target out of use:"),
        "target.reset": _("reset the health of the target"),
        "simulation.started": _("started a simulation of"),
        "simulation.cancelled": _("cancelled a simulation of"),
        "drill.started": _("started an outage drill of"),
        "drill.ended": _("ended the outage drill of"),
        "route.drafted": _("drafted the route"),
        "route.draft_discarded": _("discarded the draft of the route"),
        "usage_export.created": _("exported requests:"),
        "usage_export.retried": _("tried again to export requests:"),
        "usage_export.deleted": _("deleted an export of requests:"),
        "budget.nearly_reached": _("told that a budget is nearly used up, of"),
        "budget.reached": _("told that a budget is used up, of"),
    }
)


OBJECT_TYPES: dict[str, Promise] = (
    payment_words.OBJECT_TYPES
    | account_words.OBJECT_TYPES
    | {
        "api_key": _("API key"),
        "cache": _("Cache"),
        "cache_policy": _("Cache policy"),
        "canary": _("Canary"),
        "connection": _("Provider"),
        "earnings": _("Earnings"),
        "earnings_case": _("Doubts"),
        "invitation": _("Invitation"),
        "member": _("Member"),
        "node": _("Machine"),
        "node_token": _("Enrolment token"),
        "organization": _("Organisation"),
        "route": _("Route"),
        "target": _("Target"),
        "drill": _("Outage drill"),
        "key": _("API key"),
        "model": _("Model"),
        "organisation": _("Organisation"),
        "request": _("Request"),
        "smoke_run": _("Smoke test"),
        "usage_export": _("Export"),
    }
)


SCOPES: dict[str, Promise] = {
    "organisation": _("The whole organisation"),
    "member": _("Member"),
    "key": _("API key"),
    "route": _("Route"),
    "model": _("Model"),
    "node": _("Machine"),
}

WINDOWS: dict[str, Promise] = {
    "daily": _("a day"),
    "weekly": _("a week"),
    "monthly": _("a month"),
    "lifetime": _("in all"),
}

WHEN_REACHED: dict[str, Promise] = {
    "block": _("refuse"),
    "own_nodes": _("own machines only"),
    "warn": _("go on and warn"),
}

MACHINE_STATUSES: dict[str, Promise] = {
    "online": _("Online"),
    "busy": _("Not serving now"),
    "attention": _("Needs attention"),
    "draining": _("Draining"),
    "paused": _("Paused"),
    "offline": _("Offline"),
    "waiting": _("Not connected yet"),
    "revoked": _("Revoked"),
}

BUSY_WITH: dict[str, Promise] = {
    "user_active": _("In use by its owner"),
    "gpu_busy": _("GPU busy"),
    "on_battery": _("On battery"),
    "calendar": _("Outside its hours"),
    "paused": _("Paused on the machine"),
    "draining": _("Draining"),
    "no_local_server": _("No model server"),
}

RUNGS: dict[str, Promise] = {
    "found": _("Machine found"),
    "authenticated": _("Authenticated"),
    "version": _("Version fine"),
    "local_server": _("Local server found"),
    "models": _("Models listed"),
    "trial": _("Test prompt answered"),
    "routable": _("Routable"),
}

SYSTEMS: dict[str, str] = {"linux": "Linux", "macos": "macOS", "windows": "Windows"}

RUNTIMES: dict[str, str] = {
    "ollama": "Ollama",
    "lmstudio": "LM Studio",
    "vllm": "vLLM",
    "llamacpp": "llama.cpp",
    "sglang": "SGLang",
    "openai": "OpenAI API",
}

MODES: dict[str, Promise] = {
    "always": _("Always on"),
    "idle": _("Idle time"),
    "manual": _("Manual"),
}

VISIBILITIES: dict[str, Promise] = {
    "private": _("Private"),
    "shared": _("Shared"),
    "community": _("Community"),
}

TOKEN_KINDS: dict[str, Promise] = {
    rates.INPUT: _("Input"),
    rates.CACHED: _("Input, cached"),
    rates.CACHE_WRITE: _("Input, written to the cache"),
    rates.AUDIO_INPUT: _("Input, audio"),
    rates.OUTPUT: _("Output"),
    rates.REASONING: _("Output, reasoning"),
    rates.AUDIO_OUTPUT: _("Output, audio"),
}


def outcome(code: str) -> str:
    return str(OUTCOMES.get(code, code.replace("_", " ")))


def health_reason(code: str) -> str:
    return str(HEALTH_REASONS.get(code) or outcome(code))


def condition(code: str) -> str:
    return str(CONDITIONS.get(code, code))


def doubt_advice(code: str) -> str:
    return str(DOUBT_ADVICE.get(code, ""))


def billing_reason(code: str) -> str:
    return str(BILLING_REASONS.get(code, code.replace("_", " ")))


def token_kind(code: str) -> str:
    return str(TOKEN_KINDS.get(code, code))


def action(code: str) -> str:
    return str(ACTIONS.get(code, code))


def object_type(code: str) -> str:
    return str(OBJECT_TYPES.get(code, code))


def machine_status(code: str) -> str:
    return str(MACHINE_STATUSES.get(code, code))


def busy_with(code: str) -> str:
    return str(BUSY_WITH.get(code, MACHINE_STATUSES["busy"]))


def rung(code: str) -> str:
    return str(RUNGS.get(code, code))


def system(code: str) -> str:
    return SYSTEMS.get(code, code)


def runtime(code: str) -> str:
    return RUNTIMES.get(code, code)


def mode(code: str) -> str:
    return str(MODES.get(code, code))


def visibility(code: str) -> str:
    return str(VISIBILITIES.get(code, code))


SPEAKERS: dict[str, Promise] = {
    "system": _("System"),
    "developer": _("Developer"),
    "user": _("User"),
    "assistant": _("Assistant"),
    "tool": _("Tool"),
    "error": _("Error"),
    "": _("Text"),
}


def speaker(code: str) -> str:
    return str(SPEAKERS.get(code, code))


def scope(code: str) -> str:
    return str(SCOPES.get(code, code))


def window(code: str) -> str:
    return str(WINDOWS.get(code, code))


RATES: dict[str, Promise] = {
    "rpm": _("requests/min"),
    "rpd": _("requests/day"),
    "tpm": _("tokens/min"),
    "tpd": _("tokens/day"),
    "concurrency": _("at a time"),
}


def rate(code: str) -> str:
    """What a number of a limit counts, after the number."""
    return str(RATES[code])


def when_reached(code: str) -> str:
    return str(WHEN_REACHED.get(code, code))
