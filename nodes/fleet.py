"""Who is connected and how busy, in the memory of one process. `nodes.presence` fills it; the planner reads it.

Nothing here is asked of Redis when a request comes, and nothing that a node claims decides more than whether work is
sent to it: what it may serve, for whom and at which price are the owner's rows, in the snapshot.
"""

from __future__ import annotations

import msgspec

from nodes.heartbeat import USUAL, Heartbeat
from providers.targets import GUEST, Target

MOST_WAITING_PER_SLOT = 8
"""So many of the owner's own requests may stand before a node for each that it serves at a time."""


class Presence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One node, as the process that holds its socket last said.

    Attributes:
        node: its public id.
        connected: False says that it went; nothing else counts then.
        generation: of the connection; what an older one says is not listened to.
        relay: where the holding process takes requests for it.
        accepting, reason: as the node says; the reason is a machine word such as "user_active".
        in_flight: requests that the console has open on it, `guests_in_flight` of them not of its owner.
        queue: requests that wait at its model server, as far as that tells.
    """

    node: str
    connected: bool = True
    generation: int = 0
    relay: str = ""
    accepting: bool = True
    reason: str | None = None
    in_flight: int = 0
    guests_in_flight: int = 0
    queue: int = 0


class Load(msgspec.Struct, frozen=True):
    """How busy a node is now: requests it has, those that wait, and how many it serves at a time."""

    in_flight: int
    queue: int
    slots: int

    @property
    def busy(self) -> float:
        """Work per slot: 1.0 is a node that has as much as it serves at a time."""
        return (self.in_flight + self.queue) / max(self.slots, 1)

    @property
    def waiting(self) -> int:
        """Requests beyond those that are being served, wherever they wait."""
        return self.queue + max(self.in_flight - self.slots, 0)


class Fleet:
    """What this process knows of every node. Times are monotonic seconds."""

    def __init__(self, heartbeat: Heartbeat = USUAL) -> None:
        self.heartbeat = heartbeat
        self._known: dict[str, tuple[Presence, float]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def note(self, presence: Presence, now: float, lives_s: float = 0) -> bool:
        """Takes what was said, unless a newer connection has spoken. Returns whether it did.

        Args: lives_s: for how long it holds; 0 is until the node counts as gone.
        """
        known = self._known.get(presence.node)
        if known is not None and presence.generation < known[0].generation:
            return False
        self._known[presence.node] = (presence, now + (lives_s or self.heartbeat.dead_after_s))
        return True

    def replace(self, presences: dict[str, tuple[Presence, float]], now: float) -> None:
        """All that Redis knows, each with the seconds it has left. Whoever is not among them is gone."""
        for node in self._known.keys() - presences.keys():
            del self._known[node]
        for presence, lives_s in presences.values():
            self.note(presence, now, lives_s)

    def find(self, node: str, now: float) -> Presence | None:
        """None for a node that is not connected, or was last heard of too long ago."""
        known = self._known.get(node)
        if known is None or known[1] < now or not known[0].connected:
            return None
        return known[0]

    def load(self, target: Target, in_flight_here: int, now: float) -> Load:
        """`in_flight_here` is what this process itself sent and has no answer to, which is fresher than any word."""
        presence = self.find(target.node, now)
        told, queue = (presence.in_flight, presence.queue) if presence else (0, 0)
        return Load(max(told, in_flight_here), queue, target.slots)

    def refusal(self, target: Target, in_flight_here: int, now: float) -> str | None:
        """Why this node's target gets no work now, or None. The words are keys of `routing.filters.REASONS`.

        The owner's jobs go first: others' are let in only where a slot is free and nothing waits.
        """
        if target.unroutable:
            return target.unroutable
        presence = self.find(target.node, now)
        if presence is None:
            return "node_offline"
        if not presence.accepting:
            return f"node_{presence.reason}" if presence.reason in STATED_REASONS else "node_not_accepting"
        load = self.load(target, in_flight_here, now)
        if target.place == GUEST:
            return "owner_first" if load.queue or load.in_flight >= load.slots else None
        return "node_full" if load.in_flight >= load.slots * (1 + MOST_WAITING_PER_SLOT) else None


STATED_REASONS = frozenset(
    {"user_active", "gpu_busy", "on_battery", "calendar", "paused", "draining", "no_local_server"}
)
"""Words of a node that are known here; any other counts as "not accepting"."""
