"""Models and devices: put, names, listings, and what happens when content changes."""

from __future__ import annotations

import msgspec
import pytest

from planner.domain.device import DeviceKind
from planner.errors import InvalidInput, NotFound
from planner.registry import devices, models


def test_put_and_get_by_every_name(registry, make):
    model = make.model("llama-2-13b")
    with registry.write() as tx:
        assert models.put(tx, model) is True
    with registry.read() as tx:
        for name in (*model.names(), "LLAMA-2-13B", "SomeOne/Llama-2-13B-hub"):
            assert models.get(tx, name) == model


def test_putting_the_same_again_changes_nothing(registry, make):
    with registry.write() as tx:
        models.put(tx, make.model())
    with registry.write() as tx:
        assert models.put(tx, make.model()) is False
    assert registry.revision() == 1


def test_changed_content_replaces_it_and_its_names(registry, make):
    with registry.write() as tx:
        models.put(tx, make.model(aliases=("old name",)))
    with registry.write() as tx:
        assert models.put(tx, make.model(aliases=("new name",))) is True
    with registry.read() as tx:
        assert models.get(tx, "new name").aliases == ("new name",)
        with pytest.raises(NotFound):
            models.get(tx, "old name")
    assert registry.revision() == 2


def test_changed_twice_in_one_transaction(registry, make):
    with registry.write() as tx:
        models.put(tx, make.model(note="a"))
        models.put(tx, make.model(note="b"))
    assert registry.revision() == 1
    with registry.read() as tx:
        assert models.get(tx, "tiny-1b").note == "b"


def test_unknown_names_come_with_the_nearest(registry, make):
    with registry.write() as tx:
        models.put(tx, make.model("llama-2-13b"))
        models.put(tx, make.model("qwen-7b"))
    with registry.read() as tx, pytest.raises(NotFound) as caught:
        models.get(tx, "lama-2-13b")
    assert caught.value.details["nearest"][0] == "llama-2-13b"


def test_a_name_of_two_models_is_ambiguous_but_an_id_is_not(registry, make):
    with registry.write() as tx:
        models.put(tx, make.model("a-1b", aliases=("chat",)))
        models.put(tx, make.model("b-1b", aliases=("chat", "a-1b")))
    with registry.read() as tx:
        with pytest.raises(InvalidInput, match="a-1b or b-1b"):
            models.get(tx, "Chat")
        assert models.get(tx, "a-1b").id == "a-1b"


def test_pages_by_name_search_and_family(registry, make, all_pages):
    ids = [f"{family}-{n}b" for family in ("llama", "qwen") for n in range(5)]
    with registry.write() as tx:
        for id_ in ids:
            models.put(tx, make.model(id_))
    with registry.read() as tx:
        everything = all_pages(lambda **kw: models.page(tx, limit=3, **kw))
        assert [model.id for model in everything] == ids
        assert [m.id for m in models.page(tx, family="Qwen").items] == ids[5:]
        assert [m.id for m in models.page(tx, search="someone 3B").items] == ["llama-3b", "qwen-3b"]
        assert models.page(tx, search="100%").items == ()
        assert models.page(tx, search="  ").items == models.page(tx).items


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ""}, "model.id"),
        ({"id": "a\0b"}, "model.id"),
        ({"id": "x" * 451}, "model.id"),
        ({"name": "tab\there"}, "model.name"),
        ({"family": "\ud800"}, "model.family"),
        ({"aliases": ("ok", "x" * 201)}, "model.names"),
        ({"note": "a\0b"}, "model.note"),
        ({"note": "x" * 70_000}, "model.note"),
        ({"citations": ("fine", "a\0b")}, r"model.citations\[1\]"),
        ({"size_billions": float("nan")}, "model.size_billions"),
        ({"parameters": 2**63}, "model.parameters"),
        ({"size_billions": "13"}, "model: cannot be stored"),
    ],
)
def test_hostile_content_is_refused_by_field(registry, make, changes, field):
    with registry.write() as tx, pytest.raises(InvalidInput, match=field):
        models.put(tx, make.model(**changes))
    assert registry.revision() == 0


@pytest.mark.parametrize("reference", ["", " ", "a\0b", "x" * 10_000, "\ud800"])
def test_hostile_references_are_refused(registry, reference):
    with registry.read() as tx:
        for service in (models, devices):
            with pytest.raises(InvalidInput):
                service.get(tx, reference)


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_limits_are_bounded(registry, limit):
    with registry.read() as tx, pytest.raises(InvalidInput, match="1 to 200"):
        models.page(tx, limit=limit)


def test_devices_are_found_by_name_and_listed(registry, make):
    gpu, board = make.device("rtx-4090"), make.device("pi-5", kind=DeviceKind.BOARD, vendor="Raspberry")
    with registry.write() as tx:
        assert devices.put(tx, gpu)
        assert devices.put(tx, board)
        assert not devices.put(tx, board)
    with registry.read() as tx:
        assert devices.get(tx, "RTX 4090") == gpu
        assert devices.get(tx, "pi5") == board
        assert devices.page(tx).items == (board, gpu)
        assert devices.page(tx, kind=DeviceKind.BOARD).items == (board,)
        assert devices.page(tx, search="raspberry").items == (board,)
        with pytest.raises(NotFound) as caught:
            devices.get(tx, "rtx4900")
    assert "rtx4090" in caught.value.details["nearest"]


def test_a_device_of_impossible_memory_is_refused(registry, make):
    with registry.write() as tx, pytest.raises(InvalidInput, match=r"device\.memory_bytes"):
        devices.put(tx, make.device(memory_bytes=2**61))


def test_documents_come_back_equal(registry, make):
    model = make.model(name="通义千问 🦙 'quoted' \"double\" \\u0000 %_", note="line\nbreak\\")
    with registry.write() as tx:
        models.put(tx, model)
    with registry.read() as tx:
        again = models.get(tx, model.id)
        assert models.page(tx, search="通义").items == (model,)
        assert models.page(tx, search="%_").items == (model,)
    assert again == model
    assert msgspec.json.encode(again) == msgspec.json.encode(model)
