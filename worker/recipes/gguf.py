"""GGUF: the file that llama.cpp, and what is built on it, runs on CPUs, phones and GPUs alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from planner.domain.scheme import NumberFormat, Precision, Scheme
from worker.recipes.recipe import ComputeType, Ingredients, Recipe

if TYPE_CHECKING:
    import torch

GgufType = Literal["f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"]
_FORMATS: Final = {"f16": NumberFormat.FP16, "bf16": NumberFormat.BF16}
_WRITER: Final = "gguf_writer"
"""Attribute of a built model: the filled writer of its file."""


class Gguf(Recipe, frozen=True, kw_only=True, tag="gguf"):
    """One self-contained GGUF file: weights in llama.cpp's blocks, architecture and tokenizer as metadata.

    Vectors stay at 32 bits. Below 8 bits the output head, or the embedding tied to it, is Q8_0. Rows that no block of 32
    divides stay at F16. Llama, Mistral, Qwen2 and Qwen3 architectures with full attention. K-quants need llama.cpp's own
    quantizer and are not made here. Loaded by transformers the file is widened to 32 bits, which serves to evaluate it;
    its speed is measured on a llama.cpp server.
    """

    title: ClassVar[str] = "File for llama.cpp, 4 to 16 bits"

    type: GgufType = "q8_0"

    @property
    def dtype(self) -> ComputeType:
        """FP32: what the blocks are widened to here."""
        return "float32"

    @property
    def variant_name(self) -> str:
        """Name with the type."""
        return f"gguf-{self.type}"

    @property
    def scheme(self) -> Scheme:
        """The type of the linear layers."""
        return Scheme(weight=Precision(format=_FORMATS.get(self.type) or NumberFormat(self.type)))

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when a row does not divide into blocks."""
        del out_features
        if self.quantizes_weights and in_features % 32:
            return f"input width {in_features} is not a multiple of the block size 32: stored as F16"
        return None

    def build(self, given: Ingredients) -> Any:
        """Return the model that the file will hold, widened from its blocks. Raises as exporting and loading do."""
        import gguf

        from worker.engines.formats.gguf_model import assemble
        from worker.engines.loading import load_model
        from worker.recipes.gguf_export import export

        base = load_model(given.base, device=given.device, dtype="float32")
        writer, contents = export(base, given.base, gguf.GGMLQuantizationType[self.type.upper()])
        del base
        model = assemble(contents, device=given.device)
        setattr(model, _WRITER, writer)
        return model

    def save(self, model: Any, out: Path) -> None:
        """Write the file into the new folder `out`."""
        out.mkdir(parents=True)
        writer = getattr(model, _WRITER)
        writer.write_header_to_file(out / f"model-{self.type}.gguf")
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        delattr(model, _WRITER)

    def quantized_as(self, layer: torch.nn.Module) -> str | None:
        """Return the type of the layer's blocks, None for one kept at 16 bits or more."""
        from worker.engines.formats.gguf_model import GGUF_KIND

        kind = str(getattr(layer, GGUF_KIND, ""))
        return kind if kind.startswith("q") else None
