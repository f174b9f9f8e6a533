"""What people read about earnings: programmes, doubts, states, badges, and why a machine earns nothing."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.earnings.models import EXCHANGE, MISSION, MIXED, REWARDS, Programme

PROGRAMMES: dict[str, Promise] = {
    REWARDS: _("Rewards"),
    EXCHANGE: _("Exchange"),
    MISSION: _("Mission"),
    MIXED: _("Mixed"),
}
PROGRAMME_TEXTS: dict[str, Promise] = {
    REWARDS: _("Your share waits in escrow, for 14 days mostly, and is then yours to be paid out."),
    EXCHANGE: _("Your share becomes tokens at once, which your own organisation spends on requests."),
    MISSION: _("You give a tenth of your share or more to causes that you choose. The rest is treated as Rewards."),
}
PART_TEXTS: dict[str, Promise] = {
    REWARDS: _("What the others leave. It waits in escrow, for 14 days mostly, and is then yours to be paid out."),
    EXCHANGE: _("Becomes tokens at once, which your own organisation spends on requests."),
    MISSION: _("Goes to causes that you choose: a tenth of your share or more, or 0 for nothing."),
}
DOUBTS: dict[str, Promise] = {
    "more_than_bytes": _("It counted more output tokens than the answer had bytes, which no vocabulary explains."),
    "inflated": _("It counted more than three times the output tokens that were counted here."),
    "prompt_inflated": _("It counted more input tokens than the prompt can have had."),
    "too_fast": _("It claimed more tokens a second than any known hardware makes in one stream."),
    "wrong_answer": _("It gave wrong answers to simple questions with a known answer, which are asked now and then."),
    "no_answer": _("It gave no answer to a test question. This alone takes nothing back."),
}
CASE_STATES: dict[str, Promise] = {
    "open": _("Waits for your answer"),
    "answered": _("Answered, being decided"),
    "upheld": _("Taken back"),
    "dismissed": _("Nothing was wrong"),
}
CASE_TONES = {"open": "warn", "answered": "info", "upheld": "bad", "dismissed": "ok"}
NOT_EARNING: dict[str, Promise] = {
    "private": _("It is private: only your own organisation uses it, which earns nothing."),
    "paused": _("It is paused."),
    "nothing_offered": _("None of its models is offered to others."),
    "no_price": _("Its models have no price, so others use them for free."),
}
BADGES: dict[str, tuple[str, Promise, Promise]] = {
    "first_answer": ("sprout", _("First answer"), _("Answered a request of another organisation.")),
    "million_tokens": ("medal", _("A million tokens"), _("Served a million tokens to others.")),
    "hundred_million_tokens": ("trophy", _("100 million tokens"), _("Served a hundred million tokens to others.")),
    "thirty_days": ("calendar-clock", _("Thirty days"), _("Served others on thirty days.")),
    "trusted": ("badge-check", _("Trusted"), _("Enough requests, and hardly a doubt in 30 days.")),
    "giver": ("heart-handshake", _("Giver"), _("Gives a part of its earnings to causes.")),
}


def programme_text(programme: Programme) -> str:
    """What it does with the share; of a mix, how much for each."""
    if programme.kind != MIXED:
        return str(PROGRAMME_TEXTS[programme.kind])
    parts = (
        (gettext("%(percent)d %% as rewards"), programme.rewarded_percent),
        (gettext("%(percent)d %% as tokens at once"), programme.exchanged_percent),
        (gettext("%(percent)d %% to causes"), programme.donated_percent),
    )
    return " · ".join(text % {"percent": percent} for text, percent in parts if percent)
