"""How llama.cpp lays a model out: its architecture name, its tensor names, and the order of rotary dimensions.

llama.cpp rotates neighbouring pairs of a Llama head (0 with 1, 2 with 3), transformers the two halves (0 with width/2),
so rows of queries and keys are interleaved on the way out and separated again on the way in. Qwen's are kept. Names come
from the `gguf` package's own map. Source: ggml-org/llama.cpp, conversion/llama.py and conversion/qwen.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import gguf
import numpy as np
import numpy.typing as npt

from planner.errors import InvalidFile, InvalidInput

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class Layout:
    """One architecture of llama.cpp that models of transformers can be exported to and loaded from."""

    name: str
    arch: gguf.MODEL_ARCH
    interleaved: bool
    """Whether queries and keys are stored with neighbouring rotary pairs."""


_LLAMA: Final = Layout(name="llama", arch=gguf.MODEL_ARCH.LLAMA, interleaved=True)
_LAYOUTS: Final = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": Layout(name="qwen2", arch=gguf.MODEL_ARCH.QWEN2, interleaved=False),
    "qwen3": Layout(name="qwen3", arch=gguf.MODEL_ARCH.QWEN3, interleaved=False),
}
"""By transformers' model type; the first with a name is the type that it is loaded as."""


def layout_for(model_type: str) -> Layout:
    """Return the layout of a transformers model type. Raises InvalidInput for one that cannot be exported."""
    if model_type not in _LAYOUTS:
        raise InvalidInput(
            "base", f"has the architecture `{model_type}`", allowed="for GGUF: " + ", ".join(_LAYOUTS)
        )
    return _LAYOUTS[model_type]


def layout_named(architecture: object) -> Layout:
    """Return the layout that a file's `general.architecture` names. Raises InvalidFile."""
    for layout in _LAYOUTS.values():
        if layout.name == architecture:
            return layout
    raise InvalidFile(
        "GGUF",
        "general.architecture",
        f"{str(architecture)[:40]!r} cannot be loaded here",
        allowed=", ".join(dict.fromkeys(layout.name for layout in _LAYOUTS.values())),
    )


class Names:
    """Tensor names of one model in transformers → in GGUF."""

    def __init__(self, layout: Layout, layers: int) -> None:
        self._map = gguf.get_tensor_name_map(layout.arch, layers)

    def __call__(self, name: str) -> str:
        """Return the GGUF name. Raises InvalidInput for a weight that the architecture of llama.cpp has no place for."""
        found: str | None = self._map.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise InvalidInput("base", f"has a weight `{name}`", allowed="weights that llama.cpp knows")
        return found


def interleave(rows: npt.NDArray[_Number], heads: int) -> npt.NDArray[_Number]:
    """Return query or key rows with the halves of every head's rotary dimensions interleaved."""
    shape = rows.shape
    return rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def separate(rows: npt.NDArray[_Number], heads: int) -> npt.NDArray[_Number]:
    """Undo `interleave`."""
    shape = rows.shape
    return rows.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def rotary_heads(name: str, heads: int, kv_heads: int) -> int | None:
    """Return into how many heads the rows of the transformers weight `name` divide; None for one that is not rotated."""
    module = name.rpartition(".")[0]
    if module.endswith(".self_attn.q_proj"):
        return heads
    if module.endswith(".self_attn.k_proj"):
        return kv_heads
    return None
