"""The roof: settings, URLs, ASGI, Celery, the management API and every page a human sees."""
