"""One module per verb, each with a click command called `command`; loaded only when the verb runs."""
