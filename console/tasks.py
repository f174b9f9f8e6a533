from celery import shared_task

from console.smoke.runs import sweep


@shared_task(name="console.sweep_smoke_runs")
def sweep_smoke_runs() -> None:
    sweep()
