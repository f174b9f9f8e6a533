"""The figures at the top of a machine's page, each with its last hour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from console import figures
from console.machines import Machine
from nodes.history import Sample, load_of, vram_of


@dataclass(frozen=True, slots=True)
class Gauge:
    """`top` is what the line's upper edge stands for."""

    label: str
    value: str
    note: str
    series: list[float]
    top: float


def gauges_of(machine: Machine, history: Sequence[Sample]) -> list[Gauge]:
    return [
        _load(machine, history),
        _memory(machine, history),
        _in_flight(machine, history),
        _queue(machine, history),
    ]


def _load(machine: Machine, history: Sequence[Sample]) -> Gauge:
    vitals = machine.report.vitals if machine.report else None
    load = load_of(vitals) if vitals else None
    label = _("GPU load") if machine.gpus or vitals is None else _("Processor load")
    note = machine.gpus[0].name if machine.gpus else ""
    if len(machine.gpus) > 1:
        note = _("the busiest of %(n)d GPUs") % {"n": len(machine.gpus)}
    return Gauge(label, share(load), note, _known(sample.load for sample in history), 1.0)


def _memory(machine: Machine, history: Sequence[Sample]) -> Gauge:
    used = sum(gpu.vram_used_bytes or 0 for gpu in machine.gpus)
    note = ""
    if machine.vram_bytes:
        note = _("%(used)s of %(total)s") % {
            "used": figures.memory(used),
            "total": figures.memory(machine.vram_bytes),
        }
    return Gauge("VRAM", share(vram_of(machine.gpus)), note, _known(sample.vram for sample in history), 1.0)


def _in_flight(machine: Machine, history: Sequence[Sample]) -> Gauge:
    slots = machine.node.max_concurrent
    note = _("of %(n)d at a time") % {"n": slots}
    guests = machine.presence.guests_in_flight if machine.presence else 0
    if guests:
        note = _("of %(n)d at a time; %(guests)d of others") % {"n": slots, "guests": guests}
    shown = str(machine.in_flight) if machine.presence else "–"
    series = [float(sample.in_flight) for sample in history]
    return Gauge(_("In flight"), shown, note, series, float(slots))


def _queue(machine: Machine, history: Sequence[Sample]) -> Gauge:
    shown = str(machine.presence.queue) if machine.presence else "–"
    series = [float(sample.queue) for sample in history]
    return Gauge(_("Queue"), shown, _("waiting at its model server"), series, max([*series, 4.0]))


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _known(values: Iterable[float | None]) -> list[float]:
    """A machine that tells nothing has no line; a gap in between is drawn as nothing used."""
    told = list(values)
    return [value or 0.0 for value in told] if any(value is not None for value in told) else []
