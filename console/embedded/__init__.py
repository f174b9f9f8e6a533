"""What `make run` brings along so that Python is all a machine needs.

`postgres` and `redis` run the engines that production reads from DATABASE_URL and REDIS_URL, so there is one
dialect everywhere; `run` starts them, prepares the demo and supervises the processes. Nothing in here is used when
ShareAI is deployed: production starts `console.asgi` and `console.celery` itself.
"""
