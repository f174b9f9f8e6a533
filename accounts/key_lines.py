"""Keys that replaced each other, by public ids: what is set for one of a line is meant for who bears it now."""

from __future__ import annotations

from accounts.models import ApiKey


class KeyLines:
    """All of one organisation, read at once. A key that was never rotated is a line of its own."""

    def __init__(self, org_id: int) -> None:
        rotated = ApiKey.objects.filter(org_id=org_id, replaces__isnull=False)
        self._next: dict[str, str] = dict(rotated.values_list("replaces__public_id", "public_id"))
        self._before = {later: earlier for earlier, later in self._next.items()}

    def of(self, public_id: str) -> tuple[str, ...]:
        """The first key of the line, what came after it, and the one that counts now."""
        first = public_id
        while first in self._before:
            first = self._before[first]
        line = [first]
        while line[-1] in self._next:
            line.append(self._next[line[-1]])
        return tuple(line)

    def newest(self, public_id: str) -> str:
        return self.of(public_id)[-1]
