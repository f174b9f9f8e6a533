"""The smoke test: the five checks of a first rollout, each against the real gateway with a key that lives minutes.

    runs ──► bench ──► checks (answers, outage, caching, limits) ──► asking ──► /v1, as everybody's calls

What a check makes (a key, a drill, a policy, limits) is written down before it can take effect and taken back when
the check ends, however it ends; what a killed process left behind is taken back by a task.
"""
