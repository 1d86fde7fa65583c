"""Cursors: opaque, tied to one listing, refused when altered."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.domain.listing import VariantFilter, VariantSort
from planner.errors import InvalidInput
from planner.registry import models, variants
from planner.registry.pages import Keyset
from planner.registry.tables import Models, Variants

NAMES = Keyset(Models.name_key, Models.id, type_=str, scope=("models", None))


@pytest.fixture
def cursor(stocked, make):
    with stocked.write() as tx:
        variants.register(tx, make.variant("int4"))
        page = variants.page(tx, limit=1)
    assert page.next_cursor is not None
    return page.next_cursor


def test_a_cursor_of_another_sort_filter_or_listing_is_refused(stocked, cursor):
    with stocked.read() as tx:
        assert len(variants.page(tx, cursor=cursor).items) == 1
        for other in (
            lambda: variants.page(tx, sort=VariantSort.NAME_REVERSED, cursor=cursor),
            lambda: variants.page(tx, sort=VariantSort.WEIGHT_BYTES, cursor=cursor),
            lambda: variants.page(tx, VariantFilter(max_bits=8), cursor=cursor),
            lambda: models.page(tx, cursor=cursor),
        ):
            with pytest.raises(InvalidInput, match="cursor: does not belong to this listing"):
                other()


def test_an_altered_cursor_is_refused(stocked, cursor):
    altered = [cursor[:-1], cursor + "A", cursor + "=", "", "A" * 5000, "not base64!", "é", " " + cursor]
    altered += [cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :] for n in range(len(cursor))]
    data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    altered.append(base64.urlsafe_b64encode(data[:8] + b'["zzz","zzz"]').decode().rstrip("="))
    with stocked.read() as tx:
        for bad in altered:
            with pytest.raises(InvalidInput, match="cursor"):
                variants.page(tx, cursor=bad)


@given(st.one_of(st.none(), st.text(st.characters(codec="utf-8"))), st.text(st.characters(codec="utf-8")))
def test_cursors_round_trip(key, id_):
    assert NAMES.decode(NAMES.encode(key, id_)) == (key, id_)


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(codec="utf-8"), max_size=20))
def test_numbers_round_trip_exactly(key, id_):
    keyset = Keyset(Variants.loss, Variants.id, type_=float, scope=("x",), nullable=True)
    assert keyset.decode(keyset.encode(key, id_)) == (key, id_)


@settings(max_examples=50)
@given(st.text())
def test_no_text_breaks_decoding(text):
    with pytest.raises(InvalidInput):
        NAMES.decode(text)
