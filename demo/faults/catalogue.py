"""The fault menu.

A spec is what a model name or a rule says: `<slug>`, `<slug>|<slug>`, either with `@<share>`:
`500`, `stall@0.3`, `500|empty|truncated-json@0.3` (each in turn).
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class Kind(StrEnum):
    """What a caller behind the gateway may expect when one upstream behaves so."""

    FINE = "fine"  # the right answer, in an odd shape or late
    EARLY = "early"  # no usable content at all
    MIDWAY = "midway"  # a stream breaks after content was sent; whole answers never become usable
    HUGE = "huge"  # endless, or more than may be held in memory
    USAGE = "usage"  # the right text with figures that cannot be true


MENU: dict[str, Kind] = {
    "ok": Kind.FINE,
    "slow-headers": Kind.FINE,
    "late-first-byte": Kind.FINE,
    "crlf-mix": Kind.FINE,
    "sse-odd": Kind.FINE,
    "u2028": Kind.FINE,
    "no-done": Kind.FINE,
    "unsolicited": Kind.FINE,
    "reset-between-requests": Kind.FINE,
    "hang": Kind.EARLY,
    "hang-after-headers": Kind.EARLY,
    "reset": Kind.EARLY,
    "400": Kind.EARLY,
    "401": Kind.EARLY,
    "403": Kind.EARLY,
    "404": Kind.EARLY,
    "408": Kind.EARLY,
    "422": Kind.EARLY,
    "429": Kind.EARLY,
    "429-retry-after-huge": Kind.EARLY,
    "500": Kind.EARLY,
    "502": Kind.EARLY,
    "503": Kind.EARLY,
    "503-retry-after": Kind.EARLY,
    "504": Kind.EARLY,
    "529": Kind.EARLY,
    "redirect-metadata": Kind.EARLY,
    "200-html": Kind.EARLY,
    "200-error": Kind.EARLY,
    "200-error-json": Kind.EARLY,
    "empty": Kind.EARLY,
    "empty-done": Kind.EARLY,
    "truncated-json": Kind.EARLY,
    "wrong-types": Kind.EARLY,
    "invalid-utf8": Kind.EARLY,
    "wrong-length": Kind.MIDWAY,
    "wrong-length-short": Kind.MIDWAY,
    "error-event-midway": Kind.MIDWAY,
    "reset-midstream": Kind.MIDWAY,
    "cut-midstream": Kind.MIDWAY,
    "stall": Kind.MIDWAY,
    "endless-comments": Kind.HUGE,
    "endless-tokens": Kind.HUGE,
    "event-10mib": Kind.HUGE,
    "gzip-bomb": Kind.HUGE,
    "bad-usage-negative": Kind.USAGE,
    "bad-usage-nan": Kind.USAGE,
    "bad-usage-1e18": Kind.USAGE,
    "bad-usage-zero": Kind.USAGE,
    "bad-usage-cached": Kind.USAGE,
    "bad-usage-words": Kind.USAGE,
    "bad-usage-missing": Kind.USAGE,
}


@dataclass(frozen=True, slots=True)
class Spec:
    """Which faults, in turn, on which share of the requests."""

    slugs: tuple[str, ...]
    share: Fraction = Fraction(1)

    def at(self, nth: int) -> str:
        """The fault of the nth request (from 0): spread evenly, so that a test can predict it.

        Of the first n requests exactly floor(n * share) fail.
        """
        failed_before = nth * self.share // 1
        fails = (nth + 1) * self.share // 1 > failed_before
        return self.slugs[failed_before % len(self.slugs)] if fails else "ok"


OK = Spec(("ok",))


def parse_spec(text: str) -> Spec:
    """Read `500`, `stall@0.3` or `500|empty@0.3`.

    Raises:
        ValueError: a slug is not on the menu, or the share is not within 0 to 1.
    """
    names, _, share_text = text.partition("@")
    slugs = tuple(names.split("|"))
    unknown = [slug for slug in slugs if slug not in MENU]
    if unknown:
        raise ValueError(f"no fault is named {', '.join(unknown)}; there are {', '.join(MENU)}")
    return Spec(slugs, _share(share_text or "1"))


def _share(text: str) -> Fraction:
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"the share {text} is not a number") from error
    if not 0 <= share <= 1:
        raise ValueError(f"the share {text} is not within 0 to 1")
    return share


def find_spec(text: str) -> Spec | None:
    try:
        return parse_spec(text)
    except ValueError:
        return None
