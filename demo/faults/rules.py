"""Which request meets which fault."""

from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from demo.faults.catalogue import OK, Spec, find_spec, parse_spec


@dataclass(slots=True)
class FaultRules:
    """Rules set at run time, by model pattern; the newest that fits wins, then the model's own name.

    Each rule and each model name counts its own requests, from 0 when the rule is set.

    Attributes:
        prefix: what a model name must start with to name a fault.
    """

    prefix: str = ""
    _rules: dict[str, Spec] = field(default_factory=dict)
    _seen: Counter[str] = field(default_factory=Counter)

    def put(self, spec: str, model: str = "*") -> None:
        """Set the rule of a model pattern.

        Raises:
            ValueError: the spec names no known fault.
        """
        parsed = parse_spec(spec)
        self.clear(model)
        self._rules[model] = parsed

    def clear(self, model: str = "*") -> None:
        self._rules.pop(model, None)
        self._seen.pop(f"rule {model}", None)

    def clear_all(self) -> None:
        self._rules.clear()
        self._seen.clear()

    def knows(self, model: str) -> bool:
        """Whether the model's name says a fault."""
        return self._named(model) is not None

    def choose(self, model: str) -> str:
        """The fault of this request; counts it."""
        for pattern in reversed(self._rules):
            if fnmatchcase(model, pattern):
                return self._next(f"rule {pattern}", self._rules[pattern])
        return self._next(f"model {model}", self._named(model) or OK)

    def as_dict(self) -> dict[str, dict[str, object]]:
        return {
            model: {"fault": "|".join(spec.slugs), "share": float(spec.share)} for model, spec in self._rules.items()
        }

    def _named(self, model: str) -> Spec | None:
        return find_spec(model.removeprefix(self.prefix)) if model.startswith(self.prefix) else None

    def _next(self, counter: str, spec: Spec) -> str:
        nth = self._seen[counter]
        self._seen[counter] += 1
        return spec.at(nth)
