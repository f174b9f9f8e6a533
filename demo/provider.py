"""A simulated provider's state: what it serves, how fast, and which faults are on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.answers import Refused, Reply, Voice, answer, model_of, unknown_model
from demo.faults import MENU, FaultRules

FAULT_PREFIX = "fault-"
_SPEED_BOUNDS = {"first_token_s": (0.0, 600.0), "tokens_per_second": (0.1, 1e6)}


@dataclass(slots=True)
class Provider:
    """One simulated provider; the figures may be changed while it runs.

    Attributes:
        first_token_s: time to the first token.
        tokens_per_second: how fast the rest follows.
    """

    name: str
    keys: frozenset[str]
    models: Sequence[str]
    first_token_s: float = 0.05
    tokens_per_second: float = 200.0
    rules: FaultRules = field(default_factory=lambda: FaultRules(prefix=FAULT_PREFIX))
    answered: int = 0

    @property
    def voice(self) -> Voice:
        return Voice(self.name)

    @property
    def token_interval_s(self) -> float:
        return 1 / self.tokens_per_second

    def reply(self, path: str, body: Mapping[str, Any]) -> tuple[Reply, str]:
        """Answer a request, and say with which fault.

        Raises:
            Refused: the model is not served here, or the request is wrong.
        """
        model = model_of(body)
        if model not in self.models and not self.rules.knows(model):
            raise unknown_model(model)
        reply = answer(path, body, self.voice)
        self.answered += 1
        return reply, self.rules.choose(model)

    def state(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "simulated": True,
            "models": list(self.models),
            "first_token_s": self.first_token_s,
            "tokens_per_second": self.tokens_per_second,
            "answered": self.answered,
            "rules": self.rules.as_dict(),
            "faults": list(MENU),
        }

    def change(self, wish: Mapping[str, Any]) -> None:
        """Set or clear a fault, or the speed.

        Raises:
            Refused: a value is wrong; nothing is changed then.
        """
        speeds = {name: wish[name] for name in _SPEED_BOUNDS if name in wish}
        for name, value in speeds.items():
            least, most = _SPEED_BOUNDS[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise Refused(f"'{name}' must be a number from {least:g} to {most:g}.", param=name)
        if "fault" in wish:
            self._change_fault(wish["fault"], str(wish.get("model", "*")), wish.get("share", 1))
        for name, value in speeds.items():
            setattr(self, name, float(value))

    def _change_fault(self, fault: object, model: str, share: object) -> None:
        if fault in (None, "", "ok"):
            self.rules.clear(model)
            return
        try:
            self.rules.put(f"{fault}@{share}", model)
        except ValueError as error:
            raise Refused(str(error), param="fault") from error
