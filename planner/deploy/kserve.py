"""A KServe InferenceService: the same pod as a custom predictor, run as plain Kubernetes objects.

Standard mode, because Knative takes neither init containers nor shared memory without switches of its own, and because
loading a model outlasts a scale from zero.
"""

from __future__ import annotations

from typing import Any

from planner.deploy.containers import Container
from planner.deploy.deployment import DeployOptions
from planner.deploy.kubernetes import lock_config, metadata, pod
from planner.deploy.lock import Lock


def inference_service(
    lock: Lock, made: Container, options: DeployOptions, *, served_name: str
) -> tuple[dict[str, Any], ...]:
    """Return the ConfigMap with the lock (when files are fetched) and the InferenceService.

    The predictor's container must be called `kserve-container` (KServe, Custom predictor).
    """
    named = metadata(lock, made, options, served_name=served_name)
    annotations = {"serving.kserve.io/deploymentMode": "Standard", **named["annotations"]}
    predictor = {
        "minReplicas": made.replicas,
        "maxReplicas": made.replicas,
        **pod(made, options, name="kserve-container"),
    }
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {**named, "annotations": annotations},
        "spec": {"predictor": predictor},
    }
    return (*lock_config(lock, made, options, served_name=served_name), service)
