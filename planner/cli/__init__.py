"""The `planner` command: one module per verb, rendering kept apart from the use cases it calls."""
