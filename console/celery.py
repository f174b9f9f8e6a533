"""The Celery application. Tasks live in each room's `tasks.py`: ids in, idempotent, a few lines."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("shareai")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # also in threads, for web processes that hand work over
