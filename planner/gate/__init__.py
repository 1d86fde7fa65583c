"""The gate: may a build take the place of another? A policy, judged on evidence, with three verdicts and what is missing.

Everything here is pure: evidence and time are arguments, and nothing is moved or queued.
"""
