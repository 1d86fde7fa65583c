from __future__ import annotations

import hashlib

import msgspec
import pytest

from planner.domain.figure import Basis, exact
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.units import Unit
from planner.domain.variant import Artifact, FileFormat, Variant, manifest_digest
from planner.errors import EvidenceMissing, IntegrityFailure, InvalidInput
from worker.progress import ignore
from worker.server import ServerFiles
from worker.sources import BlobSource, Resolver

pytestmark = pytest.mark.worker

CONTENT = {"config.json": b"{}", "notes.txt": b"n" * 5000}
ARTIFACTS = tuple(
    Artifact(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    for path, content in CONTENT.items()
)
VARIANT = Variant(
    id=manifest_digest(ARTIFACTS),
    model_id="m",
    name="n",
    scheme=Scheme(weight=Precision(format=NumberFormat.BF16)),
    file_format=FileFormat.SAFETENSORS,
    weight_bytes=exact(1, Unit.BYTES, basis=Basis.MEASURED),
    artifacts=ARTIFACTS,
)


class Served:
    """The part of a client that serving files needs, over bytes held here."""

    def __init__(self, variant: Variant = VARIANT, damage: bytes = b"") -> None:
        self.answer, self.damage = variant, damage
        self.blobs = {hashlib.sha256(content).hexdigest(): content for content in CONTENT.values()}

    def variant(self, name: str) -> Variant:
        return self.answer

    def artifact_size(self, sha256: str) -> int:
        return len(self.blobs[sha256])

    def read(self, artifact: Artifact, start: int):
        content = self.blobs[artifact.sha256]
        yield (self.damage + content[len(self.damage) :])[start:]


def test_a_variant_is_fetched_with_every_hash_checked(tmp_path):
    heard: list[float] = []
    files = ServerFiles(Served())
    files.fetch(files.variant("x"), tmp_path / "v", lambda share, text: heard.append(share))
    assert {path.name: path.read_bytes() for path in (tmp_path / "v").iterdir()} == CONTENT
    assert heard[-1] == 1.0


def test_damaged_bytes_are_refused_and_not_left(tmp_path):
    files = ServerFiles(Served(damage=b"xx"))
    with pytest.raises(IntegrityFailure):
        files.fetch(VARIANT, tmp_path / "v", ignore)
    assert not [path for path in (tmp_path / "v").iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("id_", ["sha256:" + "0" * 64, "../../etc", "sha256:../x"])
def test_an_id_that_is_not_that_of_the_files_is_refused(id_):
    with pytest.raises(IntegrityFailure):
        ServerFiles(Served(msgspec.structs.replace(VARIANT, id=id_))).variant("x")


def test_a_published_variant_has_no_files():
    with pytest.raises(EvidenceMissing, match="publication only"):
        ServerFiles(Served(msgspec.structs.replace(VARIANT, artifacts=()))).variant("x")


def test_a_stored_data_set_is_fetched_once_and_read(tmp_path):
    served = Served()
    line = b'{"text": "hello"}\n'
    digest = hashlib.sha256(line).hexdigest()
    served.blobs[digest] = line
    resolver = Resolver(cache=tmp_path, files=ServerFiles(served), allow_paths=False)
    dataset = resolver.dataset(BlobSource(sha256=digest, name="mine"))()
    assert (dataset.name, dataset.digest) == ("mine", f"sha256:{digest}")
    served.blobs.clear()
    assert resolver.dataset(BlobSource(sha256=digest))().documents == dataset.documents


@pytest.mark.parametrize(
    ("source", "field"),
    [(BlobSource(sha256="../x"), "sha256"), (BlobSource(sha256="0" * 64, format="pkl"), "dataset.format")],
)
def test_a_wrong_data_set_is_named(tmp_path, source, field):
    with pytest.raises(InvalidInput) as caught:
        Resolver(cache=tmp_path, files=ServerFiles(Served())).dataset(source)
    assert caught.value.details["field"] == field
