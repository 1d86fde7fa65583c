"""Which catalogue variant the measurement of a shape belongs to: the plainest build of the model under the scheme."""

from __future__ import annotations

from planner.catalogue.load import Catalogue
from planner.domain.scheme import Scheme
from planner.errors import InvalidInput, NotFound
from planner.estimate.siblings import run_key, shape_key


def shape_variant(catalogue: Catalogue, model_id: str, scheme: Scheme) -> str:
    """Return the id of the variant that stands for the model's shape under `scheme`.

    Of several it is the one with the shortest name, so that the choice never depends on their order. Raises NotFound for
    an unknown model, InvalidInput when no variant of the model has the scheme.
    """
    models = {model.id: model for model in catalogue.models}
    if model_id not in models:
        raise NotFound("model", model_id, nearest=tuple(sorted(m for m in models if model_id[:6] in m)))
    architecture = models[model_id].architecture
    wanted = shape_key(architecture, scheme)
    alike = [
        variant.id
        for variant in catalogue.variants
        if variant.model_id == model_id and wanted is not None and run_key(architecture, variant) == wanted
    ]
    if not alike:
        raise InvalidInput(
            "model",
            f"the catalogue holds no variant of `{model_id}` under `{scheme.name}`",
            allowed="a model and scheme of planner/catalogue/data/variants.jsonl",
        )
    return min(alike, key=lambda identity: (len(identity), identity))
