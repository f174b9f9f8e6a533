"""The project's Celery with its own tasks, of which those of money come round in seconds, not hours."""

from __future__ import annotations

from console.celery import app

EVERY_S = {
    "rollups": 2.0,
    "reaping": 2.0,
    "budgets": 5.0,
    "payments": 5.0,
    "maturing earnings": 5.0,
    "doubted earnings": 20.0,
    "exposure": 20.0,
    "missed payments": 20.0,
    "automatic top-ups": 5.0,
    "monthly payouts": 5.0,
    "payouts": 2.0,
    "statements": 20.0,
    "partitions": 20.0,
    "reconciliation": 20.0,
}

for name, every_s in EVERY_S.items():
    app.conf.beat_schedule[name]["schedule"] = every_s
