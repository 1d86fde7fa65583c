"""Measuring: memory, latency, throughput, the environment they were taken in, and whether anything disturbed them."""
