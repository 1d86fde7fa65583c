from __future__ import annotations

import msgspec
import pytest

from planner.choose.index import MAX_CACHED_TASKS
from planner.domain.loss import LossKind
from planner.errors import InvalidInput, NotFound
from tests.choose.records import MODELS, Records, evaluation, generate, variant


def test_an_empty_index_is_fine() -> None:
    index = Records((), (), (), ()).index(revision=7)
    assert (len(index), index.revision) == (0, 7)


def test_a_variant_needs_its_model() -> None:
    with pytest.raises(InvalidInput, match="unknown model"):
        Records(MODELS[1:], (variant(MODELS[0], "int8"),), (), ()).index()


def test_evidence_of_unknown_variants_is_left_out() -> None:
    known, other = variant(MODELS[0], "int8"), variant(MODELS[0], "int4-g128")
    index = Records(MODELS, (known,), (evaluation(other, 0.01),), ()).index()
    assert index.losses(LossKind.RELATIVE, None).answers == (None,)


def test_devices_answer_to_their_names_and_suggest_the_nearest() -> None:
    index = generate(3, seed=0).index()
    assert index.device("TEST GPU 24GB").id == "gpu-24"
    with pytest.raises(NotFound, match="nearest: `gpu-24`"):
        index.device("gpu-25")


def test_variants_are_found_by_id_name_and_long_name() -> None:
    index = generate(5, seed=0).index()
    record = index.records[3]
    assert (
        index.row_of(record.id)
        == index.row_of(record.name)
        == index.row_of(f"{record.model_id}/{record.name}")
        == 3
    )
    with pytest.raises(NotFound):
        index.row_of("nothing-like-it")


def test_an_ambiguous_name_is_not_guessed() -> None:
    twins = tuple(msgspec.structs.replace(variant(m, "int8"), name="same") for m in MODELS[:2])
    index = Records(MODELS, twins, (), ()).index()
    with pytest.raises(NotFound, match="llama-2-13b/same"):
        index.row_of("same")
    assert index.records[index.row_of("llama-3-8b/same")].model_id == "llama-3-8b"


def test_columns_of_named_tasks_do_not_pile_up() -> None:
    index = generate(5, seed=0).index()
    for number in range(3 * MAX_CACHED_TASKS):
        index.losses(LossKind.RELATIVE, f"task {number}")
    assert len(index._losses) <= MAX_CACHED_TASKS + len(LossKind)
    assert index.losses(LossKind.RELATIVE, "MMLU") is index.losses(LossKind.RELATIVE, "mmlu")


def test_the_vocabulary_knows_models_devices_and_tasks() -> None:
    vocabulary = generate(20, seed=0).index().vocabulary
    assert vocabulary.model("llama-2-13b") is not None
    assert vocabulary.device("gpu-24") is not None
    assert "gsm8k" in vocabulary.tasks
