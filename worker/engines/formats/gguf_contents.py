"""What a GGUF file holds, read or about to be written: metadata by key, and tensors in their stored blocks.

Sizes and types come from the checked header reader that the server uses, so a lying file is refused before anything of
the size it claims is made; the values come from the `gguf` package, which is llama.cpp's own reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt

from planner.artifacts.headers.gguf import read_gguf
from planner.errors import InvalidFile
from worker.measure.weights import Weights

ROPE_FACTORS: Final = "rope_freqs.weight"
"""Divisors of the rotary frequencies: how llama.cpp is told of Llama 3's scaling. A constant, not a parameter."""


@dataclass(frozen=True)
class GgufTensor:
    """One tensor: `shape` is in torch's order, `data` its bytes."""

    name: str
    kind: gguf.GGMLQuantizationType
    shape: tuple[int, ...]
    data: npt.NDArray[np.uint8]

    def values(self) -> npt.NDArray[np.float32]:
        """Return what the blocks stand for. Raises InvalidFile for a type that the package cannot widen."""
        rows = self.data.reshape(-1, *gguf.quant_shape_to_byte_shape(self.shape[-1:], self.kind))
        try:
            wide: npt.NDArray[np.float32] = gguf.dequantize(rows, self.kind)
        except NotImplementedError as error:
            raise InvalidFile(
                "GGUF", f"tensor {self.name[:200]!r}", f"type {self.kind.name} cannot be widened"
            ) from error
        return wide.reshape(self.shape)


@dataclass(frozen=True)
class GgufContents:
    """A whole model. Of lists, such as the vocabulary, only `lengths` are kept when a file is read."""

    metadata: Mapping[str, Any]
    lengths: Mapping[str, int]
    tensors: Mapping[str, GgufTensor]

    def weights(self) -> Weights:
        """Return what the file's tensors weigh, by their stored types."""
        formats: Counter[str] = Counter()
        for tensor in self.tensors.values():
            formats[tensor.kind.name.lower()] += tensor.data.nbytes
        return Weights(
            total_bytes=formats.total(),
            parameters=sum(
                int(np.prod(tensor.shape)) for name, tensor in self.tensors.items() if name != ROPE_FACTORS
            ),
            by_format=dict(sorted(formats.items())),
        )


def gguf_files(directory: Path) -> list[Path]:
    """Return the folder's GGUF files, sorted, which is the order of the parts of a split model."""
    return sorted(directory.glob("*.gguf"))


def read_contents(files: list[Path]) -> GgufContents:
    """Return the contents of one model in one file or in parts; tensors are mapped, not read. Raises InvalidFile."""
    headers = [read_gguf(path, path.name) for path in files]
    tensors: dict[str, GgufTensor] = {}
    for number, (path, header) in enumerate(zip(files, headers, strict=True)):
        part = (header.metadata.get("split.no", 0), header.metadata.get("split.count", 0) or 1)
        if part != (number, len(files)):
            raise InvalidFile(
                path.name,
                "split.no",
                f"is {part[0]} of {part[1]}",
                allowed=f"{number} of {len(files)}: a folder with the parts of one model",
            )
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
        for tensor in header.tensors:
            if tensor.name in tensors:
                raise InvalidFile(path.name, f"tensor {tensor.name[:200]!r}", "is there twice")
            tensors[tensor.name] = GgufTensor(
                name=tensor.name,
                kind=gguf.GGMLQuantizationType[tensor.dtype],
                shape=tuple(tensor.shape),
                data=mapped[tensor.offset : tensor.offset + tensor.nbytes],
            )
    return GgufContents(metadata=headers[0].metadata, lengths=headers[0].lengths, tensors=tensors)
