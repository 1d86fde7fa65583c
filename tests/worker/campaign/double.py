"""A tiny engine in the place of the compiled one over synthetic weights: a real model, really run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from worker.campaign.units import ShapeWork


def tiny_engine(work: ShapeWork) -> Any:
    """A random Llama of the shape's own architecture, on the CPU."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from worker.engines.transformers import TransformersEngine

    shape = work.architecture
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_context or 256,
    )
    return TransformersEngine(LlamaForCausalLM(config).to(torch.bfloat16).eval())


def failing_engine(work: ShapeWork) -> Any:
    raise RuntimeError("no kernel image is available for execution on the device")


def hanging_engine(work: ShapeWork) -> Any:
    """Says that it has begun, and never ends."""
    Path(os.environ["CAMPAIGN_TEST_MARK"]).write_text(str(os.getpid()))
    time.sleep(600)
