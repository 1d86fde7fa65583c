"""Training for recipes: one small loop for everything that adapts a model while it behaves as if quantized.

A recipe picks an objective (`objectives`), the layers that are rounded during training (`fake_quantization`) and the text
(`sequences`); the loop, the optimizer, checkpointing and the measurement of both are shared.
"""
