"""From a campaign that really ran to answers of the planner, with nothing typed in between."""

from __future__ import annotations

import msgspec
import pytest

from planner.catalogue.load import assemble, read_files
from planner.choose.index import Index
from planner.domain.figure import Basis
from planner.domain.outcome import Recommended
from planner.errors import InvalidInput
from tests.worker.campaign.conftest import campaign_of
from tests.worker.campaign.double import tiny_engine
from worker.campaign.bundle import write_bundle
from worker.campaign.execute import Executor
from worker.campaign.fold import checked, fold
from worker.campaign.ledger import Ledger
from worker.campaign.run import run_campaign
from worker.campaign.units import units_of

pytestmark = pytest.mark.worker
STEPS = """
[[steps]]
kind = "recipe"
model = "{base}"
register_as = "reference-small"
recipes = ["bf16", "int8_weight_only"]
device = "cpu"
build_device = "cpu"
documents = 8
conditions = {{ workloads = [{{ input_tokens = 8, output_tokens = 3 }}], repetition = {{ least = 2, most = 2 }} }}
"""


@pytest.fixture(scope="module")
def bundle(base, catalogue, tmp_path_factory):
    root = tmp_path_factory.mktemp("fold")
    ledger = Ledger(root)
    units = units_of(campaign_of(STEPS.format(base=base)), catalogue)
    found = run_campaign(
        units,
        ledger,
        Executor(ledger=ledger, load=tiny_engine, method="forkserver"),
        budget_seconds=600,
        report=lambda *_: None,
        finished=lambda _: None,
    )
    assert [standing.state for standing in found] == ["done"] * 2
    path = root / "campaign.tar.gz"
    write_bundle(root, path, campaign="small-test", description="of a test", campaign_digest="0" * 64)
    return path


def _catalogue(name, content):
    files = {name: text for name, text in read_files().items() if not name.startswith("measured/")}
    return assemble({**files, f"measured/{name}.jsonl": content})


def test_a_bundle_becomes_measured_evidence_of_the_catalogue(bundle):
    name, content = fold([bundle])
    assert name == "small-test"
    assert fold([bundle, bundle]) == (name, content)
    found = _catalogue(name, content)
    assert found.digest != _catalogue(name, content.replace(b"of a test", b"of a tent")).digest
    (model,) = (model for model in found.models if model.id == "reference-small")
    assert "worker campaign small-test" in model.citations[0]
    variants = {v.id: v for v in found.variants if v.model_id == model.id}
    assert set(variants) == {"published:reference-small/bf16", "published:reference-small/int8-weight-only"}
    int8 = variants["published:reference-small/int8-weight-only"]
    assert int8.weight_bytes.basis is Basis.MEASURED
    assert int8.provenance.base_variant_id == "published:reference-small/bf16"
    assert str(int8.provenance.facts["content_digest"]).startswith("sha256:")
    (profile,) = (p for p in found.profiles if p.variant_id == int8.id)
    assert profile.basis is Basis.MEASURED
    assert profile.id.startswith("measured:small-test/reference-small/int8-weight-only@")
    assert profile.environment.versions["torch"]
    assert profile.environment.facts["attention"]
    (evaluation,) = (e for e in found.evaluations if e.variant_id == int8.id)
    assert evaluation.baseline_variant_id == "published:reference-small/bf16"
    assert evaluation.relative_loss.interval is not None
    assert set(evaluation.relative_loss.evidence) <= {evaluation.id}
    assert evaluation.items == 8
    assert b"sha256:" + int8.id.encode() not in content


def test_the_planner_answers_from_it_without_running_anything(bundle):
    from planner.choose.language.parse import parse
    from planner.choose.planner import plan

    found = _catalogue(*fold([bundle]))
    index = Index.build(
        models=found.models,
        variants=found.variants,
        evaluations=found.evaluations,
        profiles=found.profiles,
        devices=found.devices,
        presets=found.presets,
    )
    answer = plan(parse("reference-small on 4GB, ≤50% loss, int8", index.vocabulary), index)
    assert isinstance(answer, Recommended)
    assert answer.chosen.variant_id == "published:reference-small/int8-weight-only"
    assert answer.chosen.loss is not None
    assert answer.chosen.loss.figure.basis is Basis.MEASURED


def test_what_does_not_belong_together_is_refused(bundle, tmp_path, monkeypatch):
    import shutil

    # The catalogue as it is before this campaign: what ships of the same model would be held twice.
    without = {name: text for name, text in read_files().items() if not name.startswith("measured/")}
    monkeypatch.setattr("worker.campaign.fold.read_files", lambda: without)

    from worker.campaign.bundle import unpack

    folder = tmp_path / "other"
    unpack(bundle, folder)
    path = next(folder.glob("units/*int8*/build/result.json"))
    build = msgspec.json.decode(path.read_bytes())
    build["provenance"]["base_variant_id"] = "sha256:" + "0" * 64
    path.write_bytes(msgspec.json.encode(build))
    with pytest.raises(InvalidInput, match="from other weights of `reference-small`"):
        fold([folder])
    build["model"] = "nobody"
    path.write_bytes(msgspec.json.encode(build))
    with pytest.raises(InvalidInput, match="unknown model `nobody`"):
        fold([folder])
    shutil.rmtree(path.parent)
    name, content = fold([folder])
    assert b"int8-weight-only" not in content
    checked(name, content)
    with pytest.raises(InvalidInput, match="begin with its campaign"):
        checked(name, content.partition(b"\n")[2])
    modelled = content.replace(b'"basis":"measured","points"', b'"basis":"published","points"')
    with pytest.raises(InvalidInput, match="is published; allowed: basis measured"):
        checked(name, modelled)
    (folder / "manifest.json").unlink()
    with pytest.raises(InvalidInput, match="has no manifest"):
        fold([folder])


def test_the_same_bits_measured_twice_are_one_variant_with_two_profiles(bundle, tmp_path):
    """A recipe of two steps, measured in two ways: bit-equal builds are the same variant."""
    import shutil

    from worker.campaign.bundle import unpack

    folder = tmp_path / "twice"
    unpack(bundle, folder)
    (first,) = (folder / "units").glob("*bf16*")
    again = folder / "units" / "again"
    shutil.copytree(first, again)
    record = msgspec.json.decode((again / "unit.json").read_bytes())
    (again / "unit.json").write_bytes(msgspec.json.encode({**record, "key": "f" * 64}))
    result = msgspec.json.decode((again / "measure" / "result.json").read_bytes())
    result["profile"]["runtime"]["mode"] = "compiled"
    (again / "measure" / "result.json").write_bytes(msgspec.json.encode(result))
    found = _catalogue(*fold([folder]))
    own = [p.id for p in found.profiles if p.variant_id == "published:reference-small/bf16"]
    assert len(own) == 2
    assert any(identity.endswith("compiled") for identity in own)
    assert sum(e.variant_id == "published:reference-small/bf16" for e in found.evaluations) == 1
    build = msgspec.json.decode((again / "build" / "result.json").read_bytes())
    build["variant_id"] = "sha256:" + "1" * 64
    (again / "build" / "result.json").write_bytes(msgspec.json.encode(build))
    with pytest.raises(
        InvalidInput, match=r"two different `published:reference-small/bf16`|its build is not there"
    ):
        fold([folder])


@pytest.mark.parametrize(("when", "kept"), [("2020-01-01T00:00:00Z", 0), ("2099-01-01T00:00:00Z", 1)])
def test_a_failure_that_a_later_trial_did_away_with_is_no_evidence(bundle, tmp_path, when, kept):
    import shutil

    from worker.campaign.bundle import unpack

    folder = tmp_path / "tried"
    unpack(bundle, folder)
    (first,) = (folder / "units").glob("*bf16*")
    tried = folder / "units" / "tried"
    tried.mkdir()
    shutil.copyfile(first / "unit.json", tried / "unit.json")
    record = msgspec.json.decode((tried / "unit.json").read_bytes())
    failure = {"reason": "oom_device", "message": "no memory"}
    record |= {"key": "e" * 64, "state": "failed", "started_at": when, "failures": [failure]}
    (tried / "unit.json").write_bytes(msgspec.json.encode(record))
    _, content = fold([folder])
    assert content.count(b'"no memory"') == kept


def test_messages_lose_the_paths_of_the_machine_that_failed():
    from worker.campaign.fold import _PATH

    text = "InvalidFile: /data/run/units/x-1/model.safetensors: no `/opt/a b`, see https://example.org/a/b and 3/4"
    shown = _PATH.sub(lambda path: path[1], text)
    assert shown.startswith("InvalidFile: model.safetensors: no ")
    assert "/data" not in shown
    assert "https://example.org/a/b and 3/4" in shown
