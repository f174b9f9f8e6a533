"""What all forms of the console share: refusals of the rooms below land beside the field they speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.functional import Promise

from accounts.errors import InvalidField
from common.errors import CodedError

Text = str | Promise


class ConsoleForm(forms.Form):
    renames: dict[str, str] = {}
    """Fields that a room calls by another name than this form does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)

    def absorb(self, refusal: CodedError) -> None:
        """Shows a refusal beside its field, or above the form when no field bears its name."""
        messages = {refusal.param or "": [refusal.message]}
        if isinstance(refusal, InvalidField):
            messages = refusal.fields
        for name, texts in messages.items():
            shown = self.renames.get(name, name)
            for text in texts:
                self.add_error(shown if shown in self.fields else None, text)

    def offer(self, name: str, choices: Sequence[tuple[str, Text]]) -> None:
        """Sets what a field can be chosen from."""
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def choices_of(self, name: str) -> dict[str, Any]:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return dict(field.choices)  # type: ignore[arg-type]


class Lines(forms.CharField):
    """A text area, one entry a line; cleaned to a list without blanks."""

    def __init__(self, *args: Any, rows: int = 3, splits_at_commas: bool = True, **kwargs: Any) -> None:
        self._splits_at_commas = splits_at_commas
        kwargs.setdefault(
            "widget", forms.Textarea(attrs={"rows": rows, "class": "input-code", "spellcheck": "false"})
        )
        kwargs.setdefault("required", False)
        super().__init__(*args, **kwargs)

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value)
        if self._splits_at_commas:
            text = text.replace(",", "\n")
        return [line.strip() for line in text.splitlines() if line.strip()]
