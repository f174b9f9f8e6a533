"""What Celery runs for routing."""

from __future__ import annotations

from celery import shared_task

from routing import simulations


@shared_task(name="routing.run_simulation")
def run_simulation(simulation_id: int) -> None:
    simulations.run_simulation(simulation_id)
