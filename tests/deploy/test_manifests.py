"""Manifests are read by the schemas of Kubernetes and Compose; KServe's own fields by the list its API documents."""

import copy
import json
import re
from importlib import resources

import jsonschema
import kubernetes_validate
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.deploy.deploying import deploy
from planner.deploy.deployment import DeployOptions, Target
from planner.deploy.lock_text import read_lock
from planner.deploy.names import dns_label
from planner.deploy.yaml_text import write_yaml
from planner.domain.device import Device, DeviceKind
from planner.domain.scenario import Hardware
from planner.domain.units import GIB
from planner.errors import InvalidInput
from tests.deploy.records import BF16, CPU, FP8_CACHE, GGUF, GPU, NF4, PUBLISHED, lock_of

KUBERNETES = "1.34"
TWO = Hardware(device_id=GPU.id, count=2)
LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
PREDICTOR_OWN = {
    "minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "containerConcurrency", "timeout", "canaryTrafficPercent",
    "logger", "batcher", "labels", "annotations", "deploymentStrategy", "autoScaling",
}  # fmt: skip
"""Fields that KServe's PredictorSpec adds to a pod's (kserve 0.21.0, V1beta1ComponentExtensionSpec)."""

LOCKS = {
    "gpu": lambda: lock_of(BF16, runtime="vllm"),
    "two gpus": lambda: lock_of(FP8_CACHE, hardware=TWO, runtime="sglang"),
    "gguf": lambda: lock_of(GGUF),
    "processor": lambda: lock_of(GGUF, hardware=Hardware(device_id=CPU.id), device=CPU),
    "bare card": lambda: lock_of(BF16, hardware=Hardware(memory_bytes=48 * GIB), runtime="vllm"),
}


@pytest.fixture(params=list(LOCKS))
def lock(request):
    return LOCKS[request.param]()


def documents(lock, target, **options):
    made = deploy(lock, DeployOptions(target=target, fetch_from="http://registry:8765", **options))
    (document,) = made.documents
    return made, list(yaml.safe_load_all(document.content))


def by_kind(found):
    return {each["kind"]: each for each in found}


def test_kubernetes_takes_the_manifests(lock):
    _, found = documents(lock, Target.KUBERNETES, namespace="models", replicas=3)
    assert [each["kind"] for each in found] == ["ConfigMap", "Deployment", "Service"]
    for each in found:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
        assert each["metadata"]["namespace"] == "models"
        assert LABEL.fullmatch(each["metadata"]["name"])


def test_the_schema_would_notice_a_wrong_field(lock):
    _, found = documents(lock, Target.KUBERNETES)
    broken = copy.deepcopy(by_kind(found)["Deployment"])
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_the_parts_belong_together(lock):
    _, found = documents(lock, Target.KUBERNETES, port=9000)
    parts = by_kind(found)
    template = parts["Deployment"]["spec"]["template"]
    selector = parts["Service"]["spec"]["selector"]
    assert (
        parts["Deployment"]["spec"]["selector"]["matchLabels"] == selector == template["metadata"]["labels"]
    )
    pod = template["spec"]
    (server,) = pod["containers"]
    (fetch,) = pod["initContainers"]
    assert server["ports"][0]["containerPort"] == 9000
    assert "--port" in server["args"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"] == {"path": "/health", "port": "http"}
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in (server, fetch):
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    config = parts["ConfigMap"]
    assert {"name": config["metadata"]["name"]} in [v.get("configMap") for v in pod["volumes"]]
    assert read_lock(config["data"]["planner.lock.toml"], source="ConfigMap") == lock
    assert fetch["command"][:4] == ["planner", "fetch", "--lock", "/lock/planner.lock.toml"]
    assert fetch["command"][-2:] == ["--server", "http://registry:8765"]


def test_gpus_are_asked_for_by_count_and_memory_on_a_processor():
    def limits(lock):
        parts = by_kind(documents(lock, Target.KUBERNETES)[1])
        return parts["Deployment"]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]

    assert limits(LOCKS["gpu"]()) == {"nvidia.com/gpu": "1"}
    assert limits(LOCKS["two gpus"]()) == {"nvidia.com/gpu": "2"}
    on_cpu = LOCKS["processor"]()
    assert on_cpu.runtime is not None
    assert int(limits(on_cpu)["memory"].removesuffix("Mi")) * 2**20 > on_cpu.runtime.peak_bytes


def test_kserve_takes_the_pod_as_a_predictor(lock):
    _, found = documents(lock, Target.KSERVE, replicas=2)
    service = by_kind(found)["InferenceService"]
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert set(service) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(service["spec"]) == {"predictor"}
    predictor = service["spec"]["predictor"]
    assert predictor["minReplicas"] == predictor["maxReplicas"] == 2
    assert [container["name"] for container in predictor["containers"]] == ["kserve-container"]
    pod = {key: value for key, value in predictor.items() if key not in PREDICTOR_OWN}
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": service["metadata"], "spec": pod},
        KUBERNETES,
        strict=True,
    )
    kubernetes_validate.validate(by_kind(found)["ConfigMap"], KUBERNETES, strict=True)


def compose_schema():
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))


def test_compose_takes_the_file(lock):
    _, (found,) = documents(lock, Target.COMPOSE, port=9000)
    schema = compose_schema()
    jsonschema.validators.validator_for(schema)(schema).validate(found)
    model, fetch = found["services"]["model"], found["services"]["fetch"]
    assert model["depends_on"] == {"fetch": {"condition": "service_completed_successfully"}}
    assert model["ports"] == ["127.0.0.1:9000:9000"]
    assert fetch["configs"][0]["source"] in found["configs"]
    content = found["configs"]["lock"]["content"].replace("$$", "$")
    assert read_lock(content, source="compose") == lock
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "servces": {}}, schema)


def test_gpus_of_compose_are_counted():
    def devices(lock):
        _, (found,) = documents(lock, Target.COMPOSE)
        return found["services"]["model"].get("deploy", {}).get("resources", {})

    reserved = devices(LOCKS["two gpus"]())["reservations"]["devices"]
    assert reserved == [{"driver": "nvidia", "count": 2, "capabilities": ["gpu"]}]
    assert devices(LOCKS["processor"]()) == {}


def test_dollars_reach_the_program_as_they_were_written():
    lock = lock_of(BF16, runtime="vllm")
    name = "$(HOME) ${HOME} $HOME"
    _, (compose,) = documents(lock, Target.COMPOSE, name=name)
    assert name.replace("$", "$$") in compose["services"]["model"]["entrypoint"]
    _, found = documents(lock, Target.KUBERNETES, name=name)
    args = by_kind(found)["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "$$(HOME) ${HOME} $HOME" in args


def test_files_from_elsewhere_need_neither_lock_nor_fetch():
    for target in (Target.KUBERNETES, Target.KSERVE, Target.COMPOSE):
        made, found = documents(lock_of(PUBLISHED, runtime="vllm"), target, model="/srv/models/it")
        text = made.documents[0].content
        assert "planner.lock.toml" not in text
        assert "/srv/models/it" in text
        if target is Target.KUBERNETES:
            for each in found:
                kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_what_containers_cannot_do_is_refused():
    nf4 = lock_of(NF4, runtime="transformers")
    with pytest.raises(InvalidInput, match="no image of transformers"):
        deploy(nf4, DeployOptions(target=Target.COMPOSE))
    assert deploy(nf4, DeployOptions(target=Target.COMPOSE, image="me/it:1")).documents
    with pytest.raises(InvalidInput, match="share one port"):
        deploy(lock_of(BF16), DeployOptions(target=Target.COMPOSE, replicas=2))
    foreign = Device(id=GPU.id, name="x", kind=DeviceKind.GPU, vendor="Acme", memory_bytes=GPU.memory_bytes)
    acme = lock_of(BF16, runtime="vllm", device=foreign)
    with pytest.raises(InvalidInput, match="acme"):
        deploy(acme, DeployOptions(target=Target.KUBERNETES, image="me/it:1"))
    lock = lock_of(BF16, hardware=TWO, runtime="vllm")
    apart = msgspec.structs.replace(lock, placement=msgspec.structs.replace(lock.placement, nodes=2))
    with pytest.raises(InvalidInput, match="1 are in a machine"):
        deploy(apart, DeployOptions(target=Target.KUBERNETES))


def test_a_slice_of_a_gpu_is_a_resource_of_its_own():
    lock = lock_of(BF16, runtime="vllm")
    sliced = msgspec.structs.replace(
        lock, placement=msgspec.structs.replace(lock.placement, partition="3g.40gb", replicas=2)
    )
    _, found = documents(sliced, Target.KUBERNETES)
    spec = by_kind(found)["Deployment"]["spec"]
    assert spec["replicas"] == 2
    resources_of = spec["template"]["spec"]["containers"][0]["resources"]
    assert resources_of == {"limits": {"nvidia.com/mig-3g.40gb": "1"}}
    with pytest.raises(InvalidInput, match="slice"):
        deploy(sliced, DeployOptions(target=Target.COMPOSE, replicas=1))


def test_what_is_assumed_is_said():
    made = deploy(LOCKS["bare card"](), DeployOptions(target=Target.COMPOSE))
    notes = " ".join(made.notes)
    assert "NVIDIA are assumed" in notes
    assert "http://variant-planner:8765" in notes
    made = deploy(LOCKS["gguf"](), DeployOptions(target=Target.COMPOSE, fetch_from="http://127.0.0.1:8765"))
    assert any("moves with its project" in note for note in made.notes)
    assert any("own loopback" in note for note in made.notes)


@given(st.text(max_size=200))
def test_any_name_becomes_a_label(text):
    label = dns_label(text)
    assert LABEL.fullmatch(label)
    assert len(f"{label}-lock") <= 63
    assert dns_label(text) == label


def test_long_names_that_differ_at_their_end_stay_apart():
    assert dns_label("a" * 100 + "b") != dns_label("a" * 100 + "c")


SCALARS = ["1e3", "0o7", "0x1F", "on", "y", "n", "No", "null", "~", "1_000", "12:30:45", "2026-01-01", ".inf", "=", "<<", "", " a",
           "a: b", "- a", "#a", "a\nb", "a\n", "\ta", "é", "\u2028", "!x", "&a", "*a", "'", '"', "%a", "@a", "`a", "0b1", "+1"]  # fmt: skip


@given(
    st.one_of(st.sampled_from(SCALARS), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
)
@settings(max_examples=100)
def test_yaml_gives_strings_back_as_strings(value):
    text = write_yaml({"key": value, "list": [value, {"deep": value}]})
    assert yaml.safe_load(text) == {"key": value, "list": [value, {"deep": value}]}
    assert text.isprintable() or "\n" in text


@pytest.mark.parametrize("value", SCALARS)
def test_text_that_some_reader_takes_for_something_else_is_quoted(value):
    line = write_yaml({"key": value}).splitlines()[0]
    assert line.removeprefix("key: ")[:1] in {'"', "'", "|"}
