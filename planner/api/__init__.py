"""The HTTP API: thin handlers over the workspace, and the only place that imports litestar."""
