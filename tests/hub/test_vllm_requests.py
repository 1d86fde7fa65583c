"""What vLLM asks of a hub before it loads a model, made with the same calls of huggingface_hub; vLLM itself is not run.

It resolves the revision, lists files, also as a file system, to tell formats apart, reads headers of safetensors by Range to
learn the data type, and fetches by globs; releases that take a GGUF as `repository:QUANTIZATION` do so by globs of names.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.conftest import Served
from tests.hub.test_clients import commit, environment, hashes
from tests.hub.test_llama_cpp import gathered, tiny

__all__ = ["tiny"]

pytest.importorskip("huggingface_hub")

_SAFETENSORS = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, HfFileSystem, file_exists, get_safetensors_metadata, hf_hub_download, list_repo_files, snapshot_download
repository, revision = sys.argv[1:]
info = HfApi().repo_info(repo_id=repository, repo_type="model", revision=revision)
files = list_repo_files(repository, revision=revision)
metadata = get_safetensors_metadata(repository, revision=revision)
system = HfFileSystem().ls(repository, detail=False, revision=revision)
weights = snapshot_download(repository, revision=revision, allow_patterns=["*.safetensors"], ignore_patterns=["original/**/*"])
fetched = [path.name for path in Path(weights).iterdir()]
others = snapshot_download(repository, revision=revision, ignore_patterns=["*.safetensors", "*.bin", "*.pt", "*.zip", "*.tar*"])
config = hf_hub_download(repository, "config.json", revision=revision)
print(json.dumps({
    "sha": info.sha,
    "files": files,
    "types": sorted(metadata.parameter_count),
    "parameters": sum(metadata.parameter_count.values()),
    "there": [file_exists(repository, name, revision=revision) for name in ("config.json", "params.json", "adapter_config.json")],
    "weights": fetched,
    "system": sorted(name.rpartition("/")[2] for name in system),
    "others": sorted(path.relative_to(others).as_posix() for path in Path(others).rglob("*") if path.is_file()),
    "same folder": str(Path(config).parent) == weights,
}))
"""

_GGUF = """
import json, sys
from pathlib import Path
from huggingface_hub import list_repo_files, snapshot_download
repository, quantization = sys.argv[1].rsplit(":", 1)
patterns = [f"*-{quantization}.gguf", f"*-{quantization}-*.gguf", f"*/*-{quantization}.gguf", f"*/*-{quantization}-*.gguf"]
folder = snapshot_download(repository, allow_patterns=patterns, revision=None)
print(json.dumps({
    "files": list_repo_files(repository),
    "fetched": sorted(str(path.resolve().name) for path in Path(folder).rglob("*.gguf")),
    "names": sorted(path.name for path in Path(folder).rglob("*.gguf")),
}))
"""


def asked(script: str, url: str, home: Path, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment(url, home),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=home,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("revision", ["main", "prod"])
def test_a_variant_in_safetensors(served: Served, tmp_path: Path, revision: str) -> None:
    wide = served.builds["wide"]
    found = asked(_SAFETENSORS, served.url, tmp_path, f"{wide.model_id}/wide", revision)
    assert found == {
        "sha": commit(wide),
        "files": sorted(hashes(wide)),
        "types": ["F32"],
        "parameters": wide.parameters,
        "there": [True, False, False],
        "weights": ["model.safetensors"],
        "system": sorted({path.partition("/")[0] for path in hashes(wide)}),
        "others": sorted(hashes(wide)),
        "same folder": True,
    }


@pytest.mark.parametrize(("quantization", "build"), [("Q8_0", "q8_0"), ("Q4_0", "q4_0"), ("F16", "f16")])
def test_a_gguf_by_its_quantization(tiny: Served, tmp_path: Path, quantization: str, build: str) -> None:
    found = asked(_GGUF, tiny.url, tmp_path, f"{gathered(tiny)}:{quantization}")
    held = [each.sha256 for each in tiny.builds[build].artifacts if each.path.endswith(".gguf")]
    assert found["fetched"] == sorted(held)
