import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.deploy.deploying import deploy
from planner.deploy.deployment import DeployOptions, Target
from planner.deploy.lock_text import LockForm, read_lock, write_lock
from planner.deploy.locking import make_lock, under_runtime
from planner.domain.constraint import RuntimeFilter
from planner.domain.scenario import Hardware, Origin
from planner.domain.units import GIB
from planner.domain.variant import Artifact, manifest_digest
from planner.errors import InvalidFile, InvalidInput
from tests.deploy.records import (
    BF16,
    FP8_CACHE,
    GGUF,
    GPU,
    MODEL,
    NF4,
    ON_GPU,
    PUBLISHED,
    lock_of,
    plan_of,
    scenario,
    sha,
)

LOCK = lock_of(BF16)


def test_a_lock_holds_what_serving_and_judging_need():
    assert LOCK.variant.id == BF16.id
    assert LOCK.variant.fetchable
    assert set(LOCK.files) == set(BF16.artifacts)
    assert [file.path for file in LOCK.files] == sorted(file.path for file in BF16.artifacts)
    assert LOCK.plan.revision == 7
    assert LOCK.plan.planner_version == "9.9.9"
    assert LOCK.placement.device_id == GPU.id
    assert LOCK.placement.capacity_bytes == GPU.usable_bytes
    assert {row.key: row.origin for row in LOCK.constraints}["hardware"] is Origin.DEFAULT
    assert LOCK.runtime is not None
    assert LOCK.runtime.name == "vllm"
    assert {figure.key for figure in LOCK.figures} >= {"memory.total", "memory.capacity", "disk"}
    assert {check.key for check in LOCK.checks} >= {"memory", "context"}


@pytest.mark.parametrize("form", list(LockForm))
@pytest.mark.parametrize("of", [BF16, FP8_CACHE, GGUF, NF4, PUBLISHED], ids=lambda variant: variant.name)
def test_both_forms_hold_the_same_lock_and_equal_locks_have_equal_text(of, form):
    lock = lock_of(of)
    text = write_lock(lock, form)
    again = read_lock(text, source="lock")
    assert again == lock
    assert write_lock(again, form) == text


def test_files_in_another_order_give_the_same_text():
    turned = msgspec.structs.replace(BF16, artifacts=BF16.artifacts[::-1])
    assert write_lock(lock_of(turned), LockForm.TOML) == write_lock(LOCK, LockForm.TOML)


def test_one_changed_figure_changes_one_line():
    first, *rest = LOCK.figures
    other = msgspec.structs.replace(
        LOCK, figures=(msgspec.structs.replace(first, value=first.value + 1), *rest)
    )
    one, two = (write_lock(lock, LockForm.TOML).splitlines() for lock in (LOCK, other))
    assert len(one) == len(two)
    assert sum(a != b for a, b in zip(one, two, strict=True)) == 1


def test_a_published_variant_is_locked_and_marked():
    lock = lock_of(PUBLISHED)
    assert not lock.variant.fetchable
    assert lock.files == ()
    assert tomllib.loads(write_lock(lock, LockForm.TOML))["variant"]["fetchable"] is False


def test_memory_of_the_runtime_decides_the_flags_not_that_of_any_runtime():
    lock = lock_of(FP8_CACHE, runtime="vllm")
    assert lock.runtime is not None
    total = next(figure for figure in lock.figures if figure.key == "memory.total")
    assert lock.runtime.peak_bytes != int(total.value)
    assert lock.runtime.fit_probability is not None


def _broken(change) -> str:
    document = msgspec.to_builtins(LOCK)
    change(document)
    return msgspec.json.encode(document).decode()


CASES = [
    (lambda d: d.update(lock_version=2), "lock_version", "not readable"),
    (lambda d: d.pop("lock_version"), "lock_version", "missing"),
    (lambda d: d.update(surprise=1), "", "surprise"),
    (lambda d: d["variant"].update(fetchable="yes"), "variant.fetchable", "bool"),
    (lambda d: d["variant"].update(id="sha256:" + "0" * 64), "variant.id", "digest"),
    (lambda d: d["files"][0].update(sha256="0" * 64), "variant.id", "digest"),
    (lambda d: d["files"][0].update(size=-1), "artifact.size", "out of range"),
    (lambda d: d["files"][0].update(path="../../etc/passwd"), "artifact.path", "not allowed"),
    (lambda d: d.update(files=[]), "variant.fetchable", "0 files"),
    (lambda d: d["variant"].update(fetchable=False), "variant.fetchable", "3 files"),
    (lambda d: d["placement"].update(count=0), "placement.count", "out of range"),
    (lambda d: d["scenario"].update(risk=2.0), "risk", "out of range"),
    (lambda d: d["figures"][0].update(unit="furlongs"), "figures[0].unit", "furlongs"),
    (lambda d: d.pop("model"), "", "model"),
]


@pytest.mark.parametrize(("change", "field", "problem"), CASES)
def test_a_lock_that_is_wrong_is_refused_by_its_field(change, field, problem):
    with pytest.raises(InvalidFile) as caught:
        read_lock(_broken(change), source="ci.lock.json")
    assert caught.value.details["path"] == "ci.lock.json"
    assert field in caught.value.details["field"]
    assert problem in caught.value.message


@pytest.mark.parametrize(
    "text", ["", "{", "[", "a = ", "[[a]]\n[a]", "\x00", "[1]", "{" * 5000, "a=" + "[" * 5000]
)
def test_what_is_not_a_lock_is_refused(text):
    with pytest.raises(InvalidFile):
        read_lock(text, source="x")


@given(st.text(max_size=200))
def test_any_short_text_is_refused_with_a_reason(text):
    with pytest.raises(InvalidFile):  # no text this short holds every field of a lock
        read_lock(text, source="x")


@given(
    name=st.text(min_size=1, max_size=40), path=st.from_regex(r"[a-zä-ü'\"#=\[\] $]{1,30}", fullmatch=True)
)
def test_hostile_names_survive_both_forms(name, path):
    files = (Artifact(path=path.strip() or "x", size=1, sha256=sha(name)),)
    lock = msgspec.structs.replace(
        LOCK,
        files=files,
        variant=msgspec.structs.replace(LOCK.variant, id=manifest_digest(files), name=name),
    )
    for form in LockForm:
        assert read_lock(write_lock(lock, form), source="x") == lock


def test_a_runtime_becomes_part_of_the_question():
    asked = under_runtime(scenario(hardware=ON_GPU), "sglang")
    assert next(c for c in asked.constraints if isinstance(c, RuntimeFilter)).name == "sglang"
    assert asked.origin("runtime") is Origin.ASKED
    assert under_runtime(asked, "sglang") == asked
    with pytest.raises(InvalidInput, match="sglang"):
        under_runtime(asked, "vllm")
    with pytest.raises(InvalidInput, match=r"vllm, sglang, llama\.cpp, transformers"):
        under_runtime(asked, "tgi")


def test_hardware_without_a_device_has_a_capacity_and_no_vendor():
    lock = lock_of(BF16, hardware=Hardware(memory_bytes=48 * GIB, count=2))
    assert lock.placement.vendor is None
    assert lock.placement.count == 2
    assert lock.placement.capacity_bytes
    assert make_lock(plan_of(BF16, hardware=None), BF16, MODEL, None).placement.capacity_bytes is None


def test_a_runtime_that_no_commands_are_written_for_is_locked_without_one():
    made = plan_of(BF16)
    tgi = msgspec.structs.replace(made.scenario, constraints=(RuntimeFilter(name="tgi"),))
    lock = make_lock(msgspec.structs.replace(made, scenario=tgi), BF16, MODEL, GPU)
    assert lock.runtime is None
    assert read_lock(write_lock(lock, LockForm.TOML), source="x") == lock
    with pytest.raises(InvalidInput, match="the lock has none"):
        deploy(lock, DeployOptions(target=Target.COMPOSE))


def test_another_variant_that_the_runtime_loads_is_named():
    made = plan_of(NF4)
    with pytest.raises(InvalidInput, match=r"with vllm .*int4-kv8.*: add `int4-g64-kv-fp8`"):
        make_lock(made, NF4, MODEL, GPU, runtime="vllm", others=(GGUF, FP8_CACHE))
