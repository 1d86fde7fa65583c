"""Profiles, evaluations and blobs: added once, never changed, refused for what is unknown."""

from __future__ import annotations

import hashlib

import pytest

from planner.domain.evaluation import Document, ItemOutcome
from planner.domain.profile import Distribution, Environment, ProfilePoint
from planner.domain.workload import Workload
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import blobs, evaluations, profiles, variants


def test_profiles_are_added_once(stocked, make):
    profile = make.profile(make.variant())
    with stocked.write() as tx:
        assert profiles.add(tx, profile) is True
    revision = stocked.revision()
    with stocked.write() as tx:
        assert profiles.add(tx, profile) is False
        assert profiles.get(tx, profile.id) == profile
        with pytest.raises(Conflict, match="profile-1"):
            profiles.add(tx, make.profile(make.variant(), load_seconds=3.0))
        with pytest.raises(NotFound):
            profiles.get(tx, "profile-2")
    assert stocked.revision() == revision


def test_evaluations_are_added_once_and_whole(stocked, make):
    evaluation = make.evaluation(make.variant())
    with stocked.write() as tx:
        assert evaluations.add(tx, evaluation) is True
    revision = stocked.revision()
    with stocked.write() as tx:
        assert evaluations.add(tx, evaluation) is False
        assert evaluations.get(tx, evaluation.id) == evaluation
        other = (Document(id="d1", tokens=100, baseline_nll=200.0, variant_nll=200.0),)
        with pytest.raises(Conflict, match="evaluation-1"):
            evaluations.add(tx, make.evaluation(make.variant(), documents=other))
        with pytest.raises(NotFound):
            evaluations.get(tx, "evaluation-2")
    assert stocked.revision() == revision


def test_evaluations_of_tasks_keep_their_items_apart_from_what_is_listed(stocked, make):
    outcomes = (
        ItemOutcome(id="a", baseline=1.0, variant=0.0, baseline_tokens=8, variant_tokens=3),
        ItemOutcome(id="b", baseline=0.5, variant=1.0),
    )
    evaluation = make.evaluation(make.variant(), documents=(), outcomes=outcomes)
    with stocked.write() as tx:
        assert evaluations.add(tx, evaluation) is True
        assert evaluations.add(tx, evaluation) is False
        assert evaluations.get(tx, evaluation.id).outcomes == outcomes
        listed, whole = (evaluations.page(tx, documents=documents).items[0] for documents in (False, True))
    assert listed.outcomes == ()
    assert whole == evaluation


def test_unknown_variants_and_devices_are_named_with_the_nearest(stocked, make):
    unknown = make.published("gptq")
    with stocked.write() as tx:
        variants.register(tx, make.published("gptq-4bit"))
        for add in (
            lambda: profiles.add(tx, make.profile(unknown)),
            lambda: evaluations.add(tx, make.evaluation(unknown)),
        ):
            with pytest.raises(NotFound) as caught:
                add()
            assert caught.value.details["kind"] == "variant"
            assert "published:tiny-1b/gptq-4bit" in caught.value.details["nearest"]
        with pytest.raises(NotFound, match=r"no device `bord-8`; nearest: .*board-8"):
            profiles.add(tx, make.profile(make.variant(), device_id="bord-8"))


def test_pages_of_profiles(stocked, make, all_pages):
    mine, other = make.variant(), make.published()
    with stocked.write() as tx:
        variants.register(tx, other)
        for n in range(5):
            profiles.add(tx, make.profile(other if n == 2 else mine, f"p{n}"))
    with stocked.read() as tx:
        assert [p.id for p in all_pages(lambda **kw: profiles.page(tx, limit=2, **kw))] == [
            f"p{n}" for n in range(5)
        ]
        assert [p.id for p in profiles.page(tx, variant_id=mine.id).items] == ["p0", "p1", "p3", "p4"]
        assert profiles.page(tx, device_id="nothing").items == ()


def test_pages_of_evaluations_leave_records_out_unless_asked(stocked, make, all_pages):
    variant = make.variant()
    added = [make.evaluation(variant, f"e{n}", task="ARC" if n % 2 else "WikiText") for n in range(5)]
    with stocked.write() as tx:
        for evaluation in added:
            evaluations.add(tx, evaluation)
    with stocked.read() as tx:
        short = all_pages(lambda **kw: evaluations.page(tx, variant_id=variant.id, limit=2, **kw))
        whole = all_pages(lambda **kw: evaluations.page(tx, documents=True, limit=2, **kw))
        arc = evaluations.page(tx, task="arc").items
    assert [e.id for e in short] == [e.id for e in added]
    assert all(e.documents == () for e in short)
    assert whole == added
    assert [e.id for e in arc] == ["e1", "e3"]


def test_loss_follows_the_strongest_evidence(stocked, make):
    from planner.domain.figure import Basis, Figure
    from planner.domain.units import Unit

    variant = make.variant()
    published = Figure(value=0.2, unit=Unit.RATIO, basis=Basis.PUBLISHED)

    def shown():
        (row,) = variants.page(tx).items
        return row.loss

    with stocked.write() as tx:
        assert shown() is None
        evaluations.add(tx, make.evaluation(variant, "e1", basis=Basis.PUBLISHED, relative_loss=published))
        assert shown().value == 0.2
        evaluations.add(tx, make.evaluation(variant, "e2", loss=0.05))
        assert shown().value == 0.05
        evaluations.add(tx, make.evaluation(variant, "e3", loss=0.9, doubt="wrong tokenizer"))
        assert shown().value == 0.05


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"points": ()}, "profile.points"),
        ({"id": "\0"}, "profile.id"),
        ({"measured_at": "naive"}, "profile.measured_at"),
        ({"environment": Environment(facts={"clock": float("nan")})}, "profile.environment.facts.clock"),
        (
            {
                "points": (
                    ProfilePoint(
                        workload=Workload(), ttft_seconds=Distribution(samples=1, mean=float("inf"))
                    ),
                )
            },
            r"profile.points\[0\].ttft_seconds.mean",
        ),
    ],
)
def test_hostile_profiles_are_refused_by_field(stocked, make, changes, field):
    if "measured_at" in changes:
        changes = {"measured_at": make.now.replace(tzinfo=None)}
    with stocked.write() as tx, pytest.raises(InvalidInput, match=field):
        profiles.add(tx, make.profile(make.variant(), **changes))


def test_hostile_evaluations_are_refused_by_field(stocked, make):
    documents = (Document(id="d", tokens=1, baseline_nll=1.0, variant_nll=float("nan")),)
    with stocked.write() as tx, pytest.raises(InvalidInput, match=r"evaluation.documents\[0\].variant_nll"):
        evaluations.add(tx, make.evaluation(make.variant(), documents=documents))


def _sha256(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def test_blobs_are_recorded_once(registry):
    with registry.write() as tx:
        assert blobs.record(tx, _sha256(1), 10) is True
        assert blobs.record(tx, _sha256(1), 10) is False
        with pytest.raises(Conflict, match="10 bytes, not 11"):
            blobs.record(tx, _sha256(1), 11)
    assert registry.revision() == 0


def test_missing_blobs_keep_their_order_and_many_can_be_asked(registry):
    asked = [_sha256(n) for n in range(1500)]
    with registry.write() as tx:
        for n in range(0, 1500, 100):
            blobs.record(tx, _sha256(n), n)
    with registry.read() as tx:
        expected = [_sha256(n) for n in range(1500) if n % 100]
        assert blobs.missing(tx, [*asked, *asked]) == expected
        assert blobs.missing(tx, []) == []


@pytest.mark.parametrize("sha256", ["", "A" * 64, "0" * 63, "0" * 64 + "\n", "\0" * 64])
def test_hashes_are_checked(registry, sha256):
    with registry.write() as tx:
        with pytest.raises(InvalidInput, match="sha256"):
            blobs.record(tx, sha256, 1)
        with pytest.raises(InvalidInput, match="sha256"):
            blobs.missing(tx, [sha256])
        with pytest.raises(InvalidInput, match="size"):
            blobs.record(tx, "0" * 64, -1)
        with pytest.raises(InvalidInput, match="at once"):
            blobs.missing(tx, ["0" * 64] * 10_001)
