"""Every address of the management API with its methods, read from the URLconf."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from accounts.roles import Permission
from console.api import urls
from console.api.frame import NothingHere, ResourceView


@dataclass(frozen=True, slots=True)
class Address:
    """`pattern` as in the URLconf, `keys/<slug:key_id>`."""

    pattern: str
    view: type[ResourceView]

    def __str__(self) -> str:
        return self.pattern

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"<\w+:(\w+)>", self.pattern)

    @property
    def needs(self) -> dict[str, tuple[Permission, ...]]:
        return dict(self.view.needs)

    def path(self, **values: str) -> str:
        return re.sub(r"<\w+:(\w+)>", lambda found: values[found[1]], self.pattern)


def addresses() -> Iterator[Address]:
    for entry in urls.urlpatterns:
        view = getattr(entry.callback, "cls", None)
        if view is not None and view is not NothingHere:
            yield Address(str(entry.pattern), view)


ADDRESSES = tuple(addresses())
CALLS = tuple((address, method) for address in ADDRESSES for method in address.needs)


def name_of(call: tuple[Address, str]) -> str:
    return f"{call[1]} {call[0]}"
