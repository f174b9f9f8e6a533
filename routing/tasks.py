"""What Celery runs for routing."""

from __future__ import annotations

from celery import shared_task

from routing import canaries, simulations


@shared_task(name="routing.run_simulation")
def run_simulation(simulation_id: int) -> None:
    simulations.run_simulation(simulation_id)


@shared_task(name="routing.watch_canaries")
def watch_canaries() -> None:
    canaries.watch()
