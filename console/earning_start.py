"""How earning begins: what is there of it already, and what a machine would bring, by arithmetic and no promise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from billing.earnings import programmes
from billing.earnings.figures import Begun
from billing.earnings.splitting import Choice
from common.money import NANOS_PER_USD

DAYS_OF_A_MONTH = 30


@dataclass(frozen=True, slots=True)
class StartStep:
    title: str
    text: str
    done: bool
    action: str = ""
    url: str = ""
    now: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """A month of one machine. Nano-USD; `tokens` are those that it writes."""

    tokens: int
    paid: int
    fee: int
    share: int


def estimated(choice: Choice, tokens_per_s: Decimal, hours: Decimal, usd_per_million: Decimal) -> Estimate:
    """Of output alone: what is read for a request comes on top of it."""
    tokens = int(tokens_per_s * 3600 * hours * DAYS_OF_A_MONTH)
    paid = int(tokens * usd_per_million * NANOS_PER_USD / 1_000_000)
    shown = programmes.preview(choice, paid)
    return Estimate(tokens, paid, shown.fee, paid - shown.fee)


def start_steps(begun: Begun, *, guests: str = "") -> list[StartStep]:
    """
    Args:
        guests: in a demo the organisation as which one can ask one's own machine.
    """
    demo = _("In this demo, switch to “%(name)s” at the top left and ask your machine in the Playground.")
    asked = _("From then on it is found among the models, wherever others choose to use machines of others.")
    steps: list[dict[str, Any]] = [
        {
            "title": _("Add a machine"),
            "text": _("A PC with a GPU or a server that runs Ollama, vLLM, LM Studio, llama.cpp or SGLang."),
            "done": begun.has_machine,
            "action": _("Add a machine"),
            "url": reverse("nodes-new"),
        },
        {
            "title": _("Give its models a price"),
            "text": _("Per million tokens, on its page; you may change it at any time."),
            "done": begun.is_priced,
            "action": _("Set prices"),
            "url": reverse("nodes"),
        },
        {
            "title": _("Offer it to others"),
            "text": _("Machines begin private. Share one with single organisations, or with everybody."),
            "done": begun.is_open,
            "action": _("Change who may use it"),
            "url": reverse("nodes"),
        },
        {
            "title": _("Another organisation asks it"),
            "text": demo % {"name": guests} if guests else asked,
            "done": begun.has_earned,
        },
    ]
    due = next((index for index, step in enumerate(steps) if not step["done"]), None)
    return [StartStep(**step, now=index == due) for index, step in enumerate(steps)]
