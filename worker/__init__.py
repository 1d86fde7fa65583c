"""The worker: builds variants, measures them and judges what they lose, on the machine where it runs.

Recipes make files (`recipes`), engines run them (`engines`), `measure` and `evaluate` turn runs into domain structs, and
`runner` keeps every job in a child process so that a crash or an out-of-memory end cannot take the agent with it.
torch, transformers and torchao are imported only inside functions: help texts and offline checks stay fast.
"""
