"""Variants: registered once, refused when contradictory, found by what people call them, listed in every order."""

from __future__ import annotations

import pytest

from planner.domain.figure import Basis, exact
from planner.domain.listing import VariantFilter, VariantSort
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.units import Unit
from planner.domain.variant import FileFormat, Provenance
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import aliases, evaluations, models, profiles, variants


def test_register_twice_returns_the_first(stocked, make):
    first = make.variant()
    again = make.variant(created_at=None, provenance=Provenance(build_seconds=9.0))
    revision = stocked.revision()
    with stocked.write() as tx:
        assert variants.register(tx, again) == (first, False)
    assert stocked.revision() == revision


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scheme": Scheme(weight=Precision(format=NumberFormat.INT4))}, "scheme"),
        ({"weight_bytes": 1001}, "weight_bytes"),
        ({"file_format": FileFormat.GGUF}, "file_format"),
        ({"model_id": "other"}, "model_id"),
        ({"parameters": 7}, "parameters"),
    ],
)
def test_same_id_with_other_content_conflicts(stocked, make, changes, field):
    with stocked.write() as tx, pytest.raises(Conflict, match=field):
        variants.register(tx, make.variant(artifacts=make.variant().artifacts, **changes))


def test_published_variants_have_no_files(stocked, make):
    published = make.published()
    with stocked.write() as tx:
        assert variants.register(tx, published) == (published, True)
        assert variants.get(tx, "published:tiny-1b/gptq") == published
        with pytest.raises(Conflict, match="weight_bytes"):
            variants.register(tx, make.published(weight_bytes=2))


def test_an_unknown_model_is_named_with_the_nearest(stocked, make):
    with stocked.write() as tx, pytest.raises(NotFound) as caught:
        variants.register(tx, make.variant(model_id="tiny-1c"))
    assert caught.value.details["kind"] == "model"
    assert "tiny-1b" in caught.value.details["nearest"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "sha256:" + "0" * 64}, "is not the digest of its artifacts"),
        ({"artifacts": (), "id": "mine"}, "variant.artifacts"),
        ({"name": "a\nb"}, "variant.name"),
        ({"weight_bytes": 2**61}, "variant.weight_bytes"),
        ({"weight_bytes": -1}, "variant.weight_bytes"),
        ({"effective_bits": float("inf")}, "variant.effective_bits"),
        ({"provenance": Provenance(recipe="a\0b")}, "variant.provenance.recipe"),
        ({"provenance": Provenance(versions={"a\0": "1"})}, "variant.provenance.versions"),
    ],
)
def test_hostile_content_is_refused_by_field(stocked, make, changes, field):
    with stocked.write() as tx, pytest.raises(InvalidInput, match=field):
        variants.register(tx, make.variant(**{"name": "new", **changes}))


def test_get_by_everything_people_call_it(stocked, make):
    variant = make.variant()
    digest = variant.id.removeprefix("sha256:")
    with stocked.write() as tx:
        aliases.move(tx, "prod", variant.id, expected=None, actor="ci", now=make.now)
        for reference in (
            variant.id,
            digest,
            digest[:12],
            f"sha256:{digest[:20]}",
            digest[:30].upper(),
            "int8",
            "INT8",
            "tiny-1b/int8",
            "Tiny-1B-hub/int8",
            "someone/tiny-1b-hub/int8",
            "prod",
        ):
            assert variants.get(tx, reference) == variant, reference
        for reference in (digest[:11], "sha256:" + "f" * 64, "tiny-1b/", "/int8", "other/int8", "//"):
            with pytest.raises(NotFound):
                variants.get(tx, reference)


def test_an_alias_cannot_be_taken_over_by_a_name(stocked, make):
    variant = make.variant()
    with stocked.write() as tx:
        aliases.move(tx, "prod", variant.id, expected=None, actor="ci", now=make.now)
        variants.register(tx, make.variant("prod"))
        assert variants.get(tx, "prod") == variant


def test_a_name_of_several_variants_is_ambiguous(stocked, make):
    with stocked.write() as tx:
        models.put(tx, make.model("big-7b"))
        variants.register(tx, make.variant(model_id="big-7b"))
        with pytest.raises(InvalidInput, match="several variants") as caught:
            variants.get(tx, "int8")
        assert len(caught.value.details["ids"]) == 2
        assert variants.get(tx, "big-7b/int8").model_id == "big-7b"


def test_unknown_references_come_with_the_nearest(stocked, make):
    with stocked.write() as tx:
        variants.register(tx, make.published("gptq-4bit"))
        for reference, nearest in (
            ("gptq4bit", "gptq-4bit"),
            ("tiny-1b/gptq-4", "tiny-1b/gptq-4bit"),
            ("published:tiny-1b/gptq-8bit", "published:tiny-1b/gptq-4bit"),
        ):
            with pytest.raises(NotFound) as caught:
                variants.get(tx, reference)
            assert nearest in caught.value.details["nearest"], reference


@pytest.fixture
def shelf(stocked, make):
    """Twelve variants with ties and unknowns in every sort key."""
    with stocked.write() as tx:
        models.put(tx, make.model("big-7b"))
        for n in range(11):
            number_format = (NumberFormat.INT4, NumberFormat.INT8, NumberFormat.Q4_K)[n % 3]
            variant = make.variant(
                f"v{n % 5}",
                "big-7b" if n % 2 else "tiny-1b",
                artifacts=() if n == 10 else (make.artifact(str(n)),),
                scheme=Scheme(weight=Precision(format=number_format)),
                weight_bytes=100 * (n % 4),
                effective_bits=None if n % 4 == 3 else float(n % 6),
                created_at=None if n % 5 == 4 else make.now.replace(second=n % 3),
            )
            variants.register(tx, variant)
            if n % 3:
                evaluations.add(tx, make.evaluation(variant, f"e{n}", loss=(n % 4) / 100))
    return stocked


def _sort_key(row, sort):
    value = row.loss.value if sort.key == "loss" and row.loss else None
    if sort.key != "loss":
        value = (
            row.variant.weight_bytes.value if sort.key == "weight_bytes" else getattr(row.variant, sort.key)
        )
    return value


@pytest.mark.parametrize("limit", [1, 3, 200])
@pytest.mark.parametrize("sort", list(VariantSort))
def test_pages_hold_everything_once_in_order(shelf, all_pages, sort, limit):
    with shelf.read() as tx:
        rows = all_pages(lambda **kw: variants.page(tx, sort=sort, limit=limit, **kw))
    assert len({row.variant.id for row in rows}) == len(rows) == 12
    values = [_sort_key(row, sort) for row in rows]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known)), "the unknown come last"
    assert known == sorted(known, reverse=sort.is_reversed)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (VariantFilter(), lambda _: True),
        (VariantFilter(model="Big-7B"), lambda v: v.model_id == "big-7b"),
        (VariantFilter(scheme="gguf"), lambda v: v.scheme.weight.format is NumberFormat.Q4_K),
        (VariantFilter(scheme="INT4"), lambda v: v.scheme.nominal_bits == 4),
        (VariantFilter(scheme="int"), lambda _: False),
        (VariantFilter(fetchable=False), lambda v: not v.artifacts),
        (VariantFilter(fetchable=True), lambda v: bool(v.artifacts)),
        (VariantFilter(max_weight_bytes=100), lambda v: v.weight_bytes.value <= 100),
        (VariantFilter(min_bits=8), lambda v: v.scheme.nominal_bits >= 8),
        (VariantFilter(max_bits=4), lambda v: v.scheme.nominal_bits <= 4),
        (VariantFilter(format=FileFormat.GGUF), lambda _: False),
        (VariantFilter(search="BIG v1"), lambda v: v.model_id == "big-7b" and v.name == "v1"),
        (
            VariantFilter(model="big-7b", scheme="int4", max_weight_bytes=150),
            lambda v: v.model_id == "big-7b" and v.scheme.nominal_bits == 4 and v.weight_bytes.value <= 150,
        ),
    ],
)
def test_filters(shelf, all_pages, where, expected):
    with shelf.read() as tx:
        everything = [row.variant for row in variants.page(tx).items]
        found = all_pages(lambda **kw: variants.page(tx, where, limit=2, **kw))
    assert [row.variant.id for row in found] == [v.id for v in everything if expected(v)]


@pytest.mark.parametrize(
    "where",
    [
        VariantFilter(search="a\0b"),
        VariantFilter(scheme="x" * 500),
        VariantFilter(max_weight_bytes=2**70),
        VariantFilter(min_bits=-1),
        VariantFilter(max_loss=float("nan")),
        VariantFilter(max_loss=float("inf")),
        VariantFilter(model="a\0"),
    ],
)
def test_hostile_filters_are_refused(registry, where):
    with registry.read() as tx, pytest.raises(InvalidInput):
        variants.page(tx, where)


def test_search_finds_a_digest_by_its_beginning_only(stocked, make):
    digest = make.variant().id.removeprefix("sha256:")
    with stocked.read() as tx:
        for search, found in ((digest, 1), (digest[:12], 1), (f"int8 sha256:{digest}", 1), (digest[:6], 0)):
            assert len(variants.page(tx, VariantFilter(search=search)).items) == found, search


def test_a_filter_on_an_unknown_model_says_so(stocked):
    with stocked.read() as tx, pytest.raises(NotFound, match="tiny-1b"):
        variants.page(tx, VariantFilter(model="tiny-1bb"))


def test_rows_carry_loss_and_profile_count(stocked, make):
    variant = make.variant()
    with stocked.write() as tx:
        evaluations.add(tx, make.evaluation(variant, "e1", loss=0.02))
        evaluations.add(tx, make.evaluation(variant, "e2", loss=0.04, task="hellaswag"))
        profiles.add(tx, make.profile(variant, "p1"))
        profiles.add(tx, make.profile(variant, "p2"))
    with stocked.read() as tx:
        (row,) = variants.page(tx).items
    assert row.variant == variant
    assert row.loss is not None
    assert row.loss.value == pytest.approx(0.03)
    assert row.loss.evidence == ("e1", "e2")
    assert row.profile_count == 2


def test_rows_that_are_inserted_meanwhile_do_not_shift_pages(stocked, make):
    with stocked.write() as tx:
        for n in range(4):
            variants.register(tx, make.variant(f"m{n}"))
    with stocked.read() as tx:
        first = variants.page(tx, limit=3)
    with stocked.write() as tx:
        variants.register(tx, make.variant("a-before-all"))
    with stocked.read() as tx:
        second = variants.page(tx, limit=3, cursor=first.next_cursor)
    assert [row.variant.name for row in (*first.items, *second.items)] == ["int8", "m0", "m1", "m2", "m3"]


def test_weight_bytes_as_fractional_figure_are_rounded(stocked, make):
    figure = exact(1234.6, Unit.BYTES, basis=Basis.MODELLED)
    with stocked.write() as tx:
        variant, _ = variants.register(tx, make.published(scheme=make.variant().scheme))
        assert variant.weight_bytes.value == 1000
        import msgspec

        odd = msgspec.structs.replace(make.published("odd"), weight_bytes=figure)
        variants.register(tx, odd)
        assert variants.get(tx, "odd").weight_bytes == figure
