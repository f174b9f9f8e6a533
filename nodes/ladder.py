"""How far a machine has come, and why it gets no work. Pure: facts in, rungs and reasons with their fixes out.

    found → authenticated → version fine → local server found → models listed → test prompt answered → routable

A rung is "done", "failed" or "waiting"; after the first that is not done, all others wait. The wizard shows this
while a machine comes in, and its page for as long as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from nodes.fleet import Presence
from nodes.models import Node
from nodes.versions import LEAST_AGENT, is_supported

DONE, FAILED, WAITING = "done", "failed", "waiting"
RUNGS = ("found", "authenticated", "version", "local_server", "models", "trial", "routable")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    name: str
    advertised: bool
    present: bool
    trial_ok: bool | None = None
    trial_error: str = ""
    in_use: bool = True
    """False while a person holds it out of use, or its failures do."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`local_server_ok` is None before the machine said anything about it."""

    version: str = LEAST_AGENT
    revoked: bool = False
    paused: bool = False
    draining: bool = False
    was_connected: bool = False
    presence: Presence | None = None
    local_server_ok: bool | None = None
    local_server_error: str = ""
    local_server_trouble: str = ""
    local_server_url: str = ""
    models: tuple[ModelFacts, ...] = field(default_factory=tuple)

    @property
    def offered(self) -> list[ModelFacts]:
        return [model for model in self.models if model.present and model.advertised]


@dataclass(frozen=True, slots=True)
class Rung:
    """`fix` says what to do, "" where nothing is to be done."""

    code: str
    state: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a machine gets no work: a word for programs, a sentence for people, and what to do."""

    code: str
    message: str
    fix: str


def facts_of(node: Node, presence: Presence | None, out_of_use: Collection[int] = ()) -> Facts:
    """Reads the node's models.

    Args:
        presence: what Redis or the fleet knows of it now.
        out_of_use: ids of `NodeModel`s whose breakers are open, or held open.
    """
    server = node.local_server or {}
    return Facts(
        version=node.version,
        revoked=node.revoked_at is not None,
        paused=node.paused,
        draining=node.draining_since is not None,
        was_connected=node.first_seen_at is not None,
        presence=presence,
        local_server_ok=server.get("ok"),
        local_server_error=server.get("error") or "",
        local_server_trouble=server.get("trouble") or "",
        local_server_url=server.get("base_url") or "",
        models=tuple(
            ModelFacts(
                row.model_id, row.advertised, row.present, row.trial_ok, row.trial_error, row.pk not in out_of_use
            )
            for row in node.served_models.all()
        ),
    )


def ladder(facts: Facts | None) -> list[Rung]:
    """Args: facts: None while no machine has shown the token yet."""
    if facts is None:
        fix = _("Run the command on the machine. It finds this console by itself; the token is good once.")
        return [Rung(RUNGS[0], WAITING, fix), *(Rung(code, WAITING) for code in RUNGS[1:])]
    rungs, stopped = [Rung(RUNGS[0], DONE)], False
    for code in RUNGS[1:]:
        rung = Rung(code, WAITING) if stopped else _STEPS[code](facts)
        stopped = stopped or rung.state != DONE
        rungs.append(rung)
    return rungs


def why_not_routable(facts: Facts) -> list[Reason]:
    """Empty when requests may go to it now. The gravest first."""
    found = [reason for check in _CHECKS if (reason := check(facts)) is not None]
    return found[:1] if found and found[0].code in ("revoked", "offline") else found


def _authenticated(facts: Facts) -> Rung:
    if facts.presence is not None:
        return Rung("authenticated", DONE)
    if facts.revoked or facts.was_connected:
        reason = _revoked(facts) or _offline(facts)
        return Rung("authenticated", FAILED, reason.fix if reason else "")
    return Rung("authenticated", WAITING, _("The machine is enrolled and connects now; this takes a few seconds."))


def _version(facts: Facts) -> Rung:
    if is_supported(facts.version):
        return Rung("version", DONE)
    message = _("The agent %(version)s is too old. Run “shareai-node upgrade” on the machine.")
    return Rung("version", FAILED, message % {"version": facts.version})


def _local_server(facts: Facts) -> Rung:
    if facts.local_server_ok is None:
        return Rung("local_server", WAITING, _("The agent looks for Ollama, LM Studio, vLLM, llama.cpp and SGLang."))
    reason = _no_local_server(facts)
    return Rung("local_server", FAILED, reason.fix) if reason else Rung("local_server", DONE)


def _models(facts: Facts) -> Rung:
    reason = _no_models(facts) or _none_offered(facts)
    return Rung("models", FAILED, reason.fix) if reason else Rung("models", DONE)


def _trial(facts: Facts) -> Rung:
    if any(model.trial_ok for model in facts.offered):
        return Rung("trial", DONE)
    reason = _trial_failed(facts)
    if reason is not None:
        return Rung("trial", FAILED, reason.fix)
    return Rung("trial", WAITING, _("A short test prompt is on its way; loading a large model can take a minute."))


def _routable(facts: Facts) -> Rung:
    reasons = why_not_routable(facts)
    return Rung("routable", FAILED, reasons[0].fix) if reasons else Rung("routable", DONE)


_STEPS: dict[str, Callable[[Facts], Rung]] = {
    "authenticated": _authenticated,
    "version": _version,
    "local_server": _local_server,
    "models": _models,
    "trial": _trial,
    "routable": _routable,
}


def _revoked(facts: Facts) -> Reason | None:
    if not facts.revoked:
        return None
    return Reason("revoked", _("The machine is revoked."), _("Enrol it anew to use it again."))


def _offline(facts: Facts) -> Reason | None:
    if facts.presence is not None:
        return None
    fix = _("See that the machine is on and online, then run “shareai-node doctor” there.")
    return Reason("offline", _("The machine is not connected."), fix)


def _paused(facts: Facts) -> Reason | None:
    if not facts.paused:
        return None
    if facts.draining:
        return Reason("draining", _("The machine is being drained."), _("Resume it to send it work again."))
    return Reason("paused", _("The machine is paused."), _("Resume it to send it work again."))


def _no_local_server(facts: Facts) -> Reason | None:
    """What is wrong with the model server; nothing, where only its models are: `_no_models` and `_none_offered`."""
    if facts.local_server_ok is not False or facts.local_server_trouble == "not_ticked":
        return None
    if facts.local_server_url and facts.local_server_trouble in _TROUBLES:
        at = {"url": facts.local_server_url}
        told_so, to_do = (str(text) % at for text in _TROUBLES[facts.local_server_trouble])
        return Reason(f"local_server_{facts.local_server_trouble}", told_so, to_do)
    if facts.local_server_url:  # something is there; the agent's own sentence says what to do
        return Reason("no_local_server", _("The model server cannot be used."), facts.local_server_error)
    # Nothing listens anywhere; the agent's own sentence would say the same once more, in English.
    way_out = _(
        "Start Ollama, LM Studio, vLLM, llama.cpp or SGLang on the machine, "
        "or run “shareai-node server add URL” there."
    )
    return Reason("no_local_server", _("The agent finds no model server."), way_out)


_TROUBLES = {
    "wants_key": (
        gettext_lazy("The model server at %(url)s wants a key."),
        gettext_lazy("Give it to the agent: shareai-node server add %(url)s --key-file FILE"),
    ),
    "refuses_key": (
        gettext_lazy("The model server at %(url)s refuses the key that the agent has."),
        gettext_lazy("Give it the right one: shareai-node server add %(url)s --key-file FILE"),
    ),
    "slow": (
        gettext_lazy("The model server at %(url)s does not answer in time."),
        gettext_lazy("See on the machine whether it is busy or stuck."),
    ),
    "no_model_server": (
        gettext_lazy("What listens at %(url)s is no OpenAI-compatible model server."),
        gettext_lazy("Check the address: shareai-node server add URL"),
    ),
    "silent": (
        gettext_lazy("Nothing answers at %(url)s."),
        gettext_lazy("Start the model server on the machine, or correct its address: shareai-node server add URL"),
    ),
    "no_models": (
        gettext_lazy("The model server at %(url)s has no model."),
        gettext_lazy("Load a model into the model server, for example with “ollama pull llama3.2”."),
    ),
}
"""By the agent's word for it."""


def _no_models(facts: Facts) -> Reason | None:
    if any(model.present for model in facts.models) or _no_local_server(facts) is not None:
        return None  # nobody knows what a server has that cannot be asked
    fix = _("Load a model into the model server, for example with “ollama pull llama3.2”.")
    return Reason("no_models", _("The model server has no model."), fix)


def _none_offered(facts: Facts) -> Reason | None:
    if facts.offered or not any(model.present for model in facts.models):
        return None
    return Reason("none_offered", _("None of its models is offered."), _("Tick the models that callers may use."))


def _trial_failed(facts: Facts) -> Reason | None:
    offered = facts.offered
    if not offered or not all(model.trial_ok is False for model in offered):
        return None
    told = next((model.trial_error for model in offered if model.trial_error), "")
    message = _("No model answered the test prompt: %(error)s.") if told else _("No model answered the test prompt.")
    fix = _("Ask the model on the machine itself; when it answers there, run “shareai-node doctor”.")
    return Reason("trial_failed", message % {"error": told.rstrip(".")} if told else message, fix)


def _out_of_use(facts: Facts) -> Reason | None:
    offered = facts.offered
    if not offered or any(model.in_use for model in offered):
        return None
    fix = _("Under “Health” on its page, put one back in use, or see why it failed.")
    return Reason("out_of_use", _("All of its models are out of use."), fix)


def _not_accepting(facts: Facts) -> Reason | None:
    presence = facts.presence
    if presence is None or presence.accepting:
        return None
    if presence.reason == "no_local_server" and facts.local_server_ok is False:
        return None  # told more closely already
    message, fix = _stated(presence.reason)
    return Reason(presence.reason or "not_accepting", message, fix)


def _stated(reason: str | None) -> tuple[str, str]:
    wait = _("It comes back by itself. Choose “always” as its mode to let it serve meanwhile.")
    known = {
        "user_active": (_("Somebody is using the machine."), wait),
        "gpu_busy": (_("Something else keeps its GPU busy."), wait),
        "on_battery": (_("It runs on battery."), _("Plug it in.")),
        "calendar": (_("Its calendar has no hours now."), _("Change its weekly calendar, or wait.")),
        "paused": (_("It was paused on the machine itself."), _("Run “shareai-node resume” there.")),
        "draining": (_("It is finishing what it has."), _("Run “shareai-node resume” there.")),
        "no_local_server": (_("The agent finds no model server."), _("Start the model server on the machine.")),
    }
    other = (_("It takes no work at the moment."), _("Run “shareai-node doctor” on the machine."))
    return known.get(reason or "", other)


_CHECKS: Sequence[Callable[[Facts], Reason | None]] = (
    _revoked,
    _offline,
    _paused,
    _no_local_server,
    _no_models,
    _none_offered,
    _trial_failed,
    _out_of_use,
    _not_accepting,
)
