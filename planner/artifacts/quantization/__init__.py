"""From stored tensors to a scheme: what the weights logically are, what `config.json` says, and whether both agree."""
