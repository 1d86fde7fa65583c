"""Evaluating: what a variant loses against its own baseline, on the same tokens, with intervals."""
