"""How earning begins: what is there of it already, and what a machine would bring, by arithmetic and no promise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.urls import reverse
from django.utils.translation import gettext as _

from billing.earnings import programmes
from billing.earnings.figures import Begun
from billing.earnings.splitting import Choice
from common.money import NANOS_PER_USD
from console.steps import Step, due_marked

DAYS_OF_A_MONTH = 30


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


def start_steps(begun: Begun, *, guests: str = "") -> list[Step]:
    """
    Args:
        guests: in a demo the organisation as which one can ask one's own machine.
    """
    demo = _("In this demo, switch to “%(name)s” at the top left and ask your machine in the Playground.")
    asked = _("From then on it is found among the models, wherever others choose to use machines of others.")
    return due_marked(
        [
            Step(
                _("Add a machine"),
                _("A PC with a GPU or a server that runs Ollama, vLLM, LM Studio, llama.cpp or SGLang."),
                begun.has_machine,
                _("Add a machine"),
                reverse("nodes-new"),
            ),
            Step(
                _("Give its models a price"),
                _("Per million tokens, on its page; you may change it at any time."),
                begun.is_priced,
                _("Set prices"),
                reverse("nodes"),
            ),
            Step(
                _("Offer it to others"),
                _("Machines begin private. Share one with single organisations, or with everybody."),
                begun.is_open,
                _("Change who may use it"),
                reverse("nodes"),
            ),
            Step(_("Another organisation asks it"), demo % {"name": guests} if guests else asked, begun.has_earned),
        ]
    )
