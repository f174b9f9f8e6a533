from celery import shared_task

from console.api.idempotency import expire_answers


@shared_task(name="console_api.expire_answers")
def expire_kept_answers() -> None:
    while expire_answers(1000):
        pass
