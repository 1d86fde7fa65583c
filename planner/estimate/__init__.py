"""Physics to figures: memory, latency and throughput of a variant on hardware, each with an interval and a basis.

Pure arithmetic over NumPy columns: one formula serves a single variant and ten thousand of them alike.
"""
