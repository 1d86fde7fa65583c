"""Variant Planner: choose a language model variant on evidence."""

__version__ = "0.1.0"
