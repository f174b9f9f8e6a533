"""What all forms of the console share: refusals of the rooms below land beside the field they speak of."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.errors import InvalidField
from common.errors import CodedError


class ConsoleForm(forms.Form):
    renames: dict[str, str] = {}
    """Fields that a room calls by another name than this form does."""

    template_name_label = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)

    def absorb(self, refusal: CodedError) -> None:
        """Shows a refusal beside its field, or above the form when no field bears its name."""
        is_by_field = isinstance(refusal, InvalidField)
        messages = refusal.fields if is_by_field else {refusal.param or "": [refusal.message]}
        for name, texts in messages.items():
            shown = self.renames.get(name, name)
            for text in texts:
                self.add_error(shown if shown in self.fields else None, text)


class Lines(forms.CharField):
    """A text area, one entry a line; cleaned to a list without blanks."""

    def __init__(self, *args: Any, rows: int = 3, **kwargs: Any) -> None:
        kwargs.setdefault(
            "widget", forms.Textarea(attrs={"rows": rows, "class": "input-code", "spellcheck": "false"})
        )
        kwargs.setdefault("required", False)
        super().__init__(*args, **kwargs)

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value)
        return [line.strip() for line in text.replace(",", "\n").splitlines() if line.strip()]
