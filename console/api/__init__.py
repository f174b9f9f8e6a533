"""The management API, `/api/v1`: everything that a page of the console can do, for scripts.

It calls the services that the pages call, decides nothing itself, and answers about the caller's organisation only.
"""
