from __future__ import annotations

import gzip
import io
import tarfile

import msgspec
import pytest

from planner.domain.figure import Basis
from planner.domain.profile import Distribution, Environment, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.workload import Workload
from planner.errors import IntegrityFailure, InvalidFile, InvalidInput, NotFound
from tests.worker.campaign.conftest import STEPS, campaign_of
from worker.campaign import bundle
from worker.campaign.ledger import Ledger, Record, write_json
from worker.campaign.units import units_of
from worker.identity import content_id
from worker.jobs import MeasureResult
from worker.measure.weights import Weights
from worker.submit import submit_all

pytestmark = pytest.mark.worker


def _profile(variant_id):
    profile = Profile(
        id="",
        variant_id=variant_id,
        device_id="h200-sxm",
        runtime=Runtime(name="transformers", version="5.17.0", mode="compiled"),
        basis=Basis.MEASURED,
        points=(
            ProfilePoint(workload=Workload(), tpot_seconds=Distribution(samples=5, mean=0.01, p50=0.01)),
        ),
        synthetic_weights=True,
        environment=Environment(device_name="NVIDIA H200"),
    )
    return msgspec.structs.replace(profile, id=content_id("profile", profile))


@pytest.fixture
def finished(catalogue, tmp_path):
    """A campaign's folder with one finished and one failed shape."""
    root = tmp_path / "campaign"
    ledger = Ledger(root)
    units = units_of(campaign_of(STEPS), catalogue)
    variants = ("published:llama-2-13b/fp16", "published:nothing/bf16")
    for unit, variant in zip(units, variants, strict=True):
        record = {
            "key": unit.key, "title": unit.title, "kind": "shape", "state": "done", "seconds": 1.5,
            "started_at": "2026-01-02T03:04:05Z",
        }  # fmt: skip
        ledger.save(unit, msgspec.convert(record, Record))
        result = MeasureResult(
            profile=_profile(variant), device=None, weights=Weights(total_bytes=1, parameters=1, by_format={})
        )
        write_json(ledger.folder(unit) / "run-1" / "result.json", result)
        (ledger.folder(unit) / "run-1" / "job.log").write_text("not carried")
    return root


def _written(root, path):
    return bundle.write_bundle(root, path, campaign="test", description="of a test", campaign_digest="0" * 64)


def test_a_bundle_holds_records_and_results_and_unpacks_to_the_same(finished, tmp_path):
    path = tmp_path / "campaign.tar.gz"
    manifest = _written(finished, path)
    assert [record.state for record in manifest.units] == ["done", "done"]
    assert {artifact.path.rpartition("/")[2] for artifact in manifest.files} == {"unit.json", "result.json"}
    assert bundle.unpack(path, tmp_path / "out") == manifest
    for artifact in manifest.files:
        assert (tmp_path / "out" / artifact.path).read_bytes() == (finished / artifact.path).read_bytes()
    assert bundle.read_manifest(tmp_path / "out") == manifest
    with bundle.opened(path) as folder:
        assert (folder / manifest.files[0].path).is_file()
    assert not folder.exists()
    with bundle.opened(finished) as folder:
        assert folder == finished


def test_a_bundle_is_registered_from_another_machine_and_says_what_it_leaves_out(finished, tmp_path):
    from planner.settings import load_settings
    from planner.workspace import Workspace

    path = tmp_path / "campaign.tar.gz"
    _written(finished, path)
    workspace = Workspace(load_settings({}, data_dir=tmp_path / "data", port=0))
    try:
        done = submit_all(workspace, path)
        assert [(item.kind, item.created, item.left_out is None) for item in done] == [
            ("profile", True, True),
            ("profile", False, False),
        ]
        assert "published:nothing/bf16" in str(done[1].left_out)
        again = submit_all(workspace, finished)
        assert [item.created for item in again] == [False, False]
        page = workspace.profiles(variant="published:llama-2-13b/fp16", device="h200-sxm")
        assert [p.synthetic_weights for p in page.items if p.id == done[0].id] == [True]
        (folder,) = finished.glob("units/*int8*/run-1")
        with pytest.raises(NotFound):  # a plain result, of no campaign, is not left out in silence
            submit_all(workspace, folder)
    finally:
        workspace.close()


def _archive(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def _member(name, content=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([_member("../escape")], "is not allowed"),
        ([_member("/etc/passwd")], "is not allowed"),
        ([_member("units/a/../../x")], "is not allowed"),
        ([_member("elsewhere/x")], "does not belong in a bundle"),
        ([_member("units/a", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "is no regular file"),
        ([_member("units/a", b"", type=tarfile.LNKTYPE, linkname="manifest.json")], "is no regular file"),
        ([_member("units/a", b"", type=tarfile.CHRTYPE)], "is no regular file"),
        ([_member("units/a", b"", type=tarfile.DIRTYPE)], "is no regular file"),
        ([_member("units/a"), _member("units/A")], "occurs twice"),
        ([_member("units/a")], "manifest.json: is missing"),
        ([_member("manifest.json", b"[]")], "manifest.json"),
        ([_member("units/a\nb")], "is not allowed"),
    ],
)
def test_hostile_archives_are_refused_and_leave_nothing_behind(tmp_path, members, message):
    path = _archive(tmp_path / "bad.tar.gz", members)
    with pytest.raises(InvalidFile, match=message):
        bundle.unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert {p.name for p in tmp_path.iterdir()} == {"bad.tar.gz", "out"}


def test_a_bundle_that_was_tampered_with_is_refused(finished, tmp_path):
    path = tmp_path / "campaign.tar.gz"
    _written(finished, path)
    with tarfile.open(path) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    changed = [
        (member, content.replace(b"0.01", b"0.02") if "int8" in member.name else content)
        for member, content in members
    ]
    with pytest.raises(IntegrityFailure, match="the manifest says"):
        bundle.unpack(_archive(tmp_path / "changed.tar.gz", changed), tmp_path / "out")
    with pytest.raises(InvalidFile, match="does not match the files"):
        bundle.unpack(_archive(tmp_path / "more.tar.gz", [*members, _member("units/more")]), tmp_path / "out")
    newer = [
        (_member(m.name, c.replace(b'"format": 1', b'"format": 9')) if m.name == "manifest.json" else (m, c))
        for m, c in members
    ]
    with pytest.raises(InvalidFile, match="format: is 9"):
        bundle.unpack(_archive(tmp_path / "newer.tar.gz", newer), tmp_path / "out")


def test_a_decompression_bomb_ends_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "MAX_TOTAL_BYTES", 200_000)
    path = _archive(tmp_path / "bomb.tar.gz", [_member("units/zero", bytes(1_000_000))])
    assert path.stat().st_size < 5_000
    with pytest.raises(InvalidFile, match="holds too much"):
        bundle.unpack(path, tmp_path / "out")
    monkeypatch.setattr(bundle, "MAX_FILE_BYTES", 10)
    with pytest.raises(InvalidFile, match="has 1,000,000 bytes"):
        bundle.unpack(path, tmp_path / "out")
    monkeypatch.setattr(bundle, "MAX_FILES", 2)
    many = _archive(tmp_path / "many.tar.gz", [_member(f"units/{i}") for i in range(4)])
    with pytest.raises(InvalidFile, match="holds more than 2 files"):
        bundle.unpack(many, tmp_path / "out")


def test_what_is_no_bundle_says_so(tmp_path):
    for name, content in (("a.tar.gz", b"not gzip"), ("b.tar.gz", gzip.compress(b"not tar" * 100))):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InvalidFile, match="no readable bundle"):
            bundle.unpack(path, tmp_path / "out")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(gzip.compress(bytes(range(256)) * 500)[:-200])
    with pytest.raises(InvalidFile):
        bundle.unpack(cut, tmp_path / "out")
    with (
        pytest.raises(InvalidInput, match="neither a folder nor a bundle"),
        bundle.opened(tmp_path / "x.zip"),
    ):
        pass
