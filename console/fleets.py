"""Many machines as a company looks at them: grouped by tag or by the token that let them in, with sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from console.machines import ATTENTION, Machine
from nodes.models import EnrolmentToken

BY_TAG, BY_TOKEN = "tag", "token"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some machines and their sums. `query` finds them in the list, "" where no filter does."""

    name: str
    query: str
    machines: tuple[Machine, ...]

    @property
    def connected(self) -> int:
        return sum(each.is_connected for each in self.machines)

    @property
    def routable(self) -> int:
        return sum(each.is_routable for each in self.machines)

    @property
    def gpus(self) -> int:
        return sum(len(each.gpus) for each in self.machines)

    @property
    def vram_bytes(self) -> int:
        return sum(each.vram_bytes for each in self.machines)

    @property
    def in_flight(self) -> int:
        return sum(each.in_flight for each in self.machines)

    @property
    def slots(self) -> int:
        return sum(each.node.max_concurrent for each in self.machines if each.is_routable)

    @property
    def requests_today(self) -> int:
        return sum(each.requests_today or 0 for each in self.machines)

    @property
    def needing_attention(self) -> list[Machine]:
        return [each for each in self.machines if each.status in (ATTENTION, "offline")]


def fleets_of(machines: Iterable[Machine], by: str) -> list[Fleet]:
    """A machine with several tags is in several fleets; those that bear none come last."""
    machines = list(machines)
    groups: dict[str, list[Machine]] = {}
    for each in machines:
        for key in _KEYS[by](each) or [""]:
            groups.setdefault(key, []).append(each)
    names = _token_names(machines) if by == BY_TOKEN else {}
    ordered = sorted(groups, key=lambda key: (not key, names.get(key, key)))
    return [_fleet(key, names.get(key, key), groups[key], by) for key in ordered]


def whole(machines: Iterable[Machine]) -> Fleet:
    return Fleet(_("All machines"), "", tuple(machines))


def _fleet(key: str, name: str, machines: list[Machine], by: str) -> Fleet:
    if not key:
        return Fleet(_("Without a tag") if by == BY_TAG else _("Token no longer known"), "", tuple(machines))
    return Fleet(name, urlencode({by: key}), tuple(machines))


def _tags(machine: Machine) -> list[str]:
    return list(machine.node.tags)


def _token(machine: Machine) -> list[str]:
    token = machine.node.enrolled_with
    return [token.public_id] if token else []


def _token_names(machines: Iterable[Machine]) -> dict[str, str]:
    tokens = {each.node.enrolled_with for each in machines}
    return {token.public_id: name_of(token) for token in tokens if token is not None}


def name_of(token: EnrolmentToken) -> str:
    """By when it was made and for how many: nobody gives tokens a name."""
    made = f"{token.created_at:%Y-%m-%d %H:%M}"
    return _("Token of %(made)s, for %(count)d") % {"made": made, "count": token.count}


_KEYS: dict[str, Callable[[Machine], list[str]]] = {BY_TAG: _tags, BY_TOKEN: _token}
