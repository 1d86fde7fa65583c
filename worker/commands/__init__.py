"""The worker's verbs, one module each; `show` and `options` hold what they share."""
