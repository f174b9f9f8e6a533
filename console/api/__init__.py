"""The management API, `/api/v1`: everything that a page of the console can do, for scripts.

It calls the services that the pages call, decides nothing itself, and answers about the caller's organisation only.
Its own sentences are in English alone: they speak to whoever writes the script, of the names in it.
"""
