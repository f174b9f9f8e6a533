"""The data plane: `/v1`, snapshots, planner, failover, streams."""
