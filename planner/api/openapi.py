"""The OpenAPI 3.1 document. `python -m planner.api.openapi` prints it, for clients that are generated from it."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import msgspec
from litestar import Litestar, Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Schema, Tag
from litestar.plugins import OpenAPISchemaPlugin
from litestar.types import Empty
from litestar.typing import FieldDefinition

import planner
from planner.wire.problem import MEDIA_TYPE

_TAGS = {
    "Questions": "Ask in words or as a scenario; the answer carries its evidence.",
    "Plans": "Stored answers.",
    "Deployment": "Locks of stored answers, and what serves them.",
    "Models": "Base models.",
    "Variants": "Immutable builds of a model.",
    "Artifacts": "The files of variants, by digest.",
    "Devices": "Device types.",
    "Evidence": "Profiles and evaluations.",
    "Jobs": "Work for workers.",
    "Workers": "The workers that ask for jobs: what they state, and telling one to take no more.",
    "Gates": "Whether a build may take the place of another, by a policy.",
    "Aliases": "Names that move between variants.",
    "Webhooks": "Addresses that are told of what happens.",
    "Identity": "Tokens, who registered what, and signatures.",
    "Server": "The server itself.",
}


class SchemaCreator(Protocol):
    """The part of Litestar's schema creator that is used here."""

    def create_component_schema(
        self, type_: FieldDefinition, /, required: list[str], property_fields: dict[str, FieldDefinition]
    ) -> Schema:
        """Return a named component for `type_`."""
        ...


class StructSchemas(OpenAPISchemaPlugin):
    """Describes our structs: with their docstrings, their tags, and defaults that are structs themselves.

    Litestar's own plugin for structs looks the default up in a set, which fails for a struct that holds a mapping.
    """

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Return whether the field is a struct of ours."""
        return not field_definition.is_union and bool(field_definition.is_subclass_of(msgspec.Struct))

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """Return the struct as a named component."""
        kind = field_definition.type_
        hints = field_definition.get_type_hints(include_extras=True, resolve_generics=True)
        fields = {
            field.encode_name: FieldDefinition.from_annotation(
                hints[field.name], name=field.encode_name, default=_default(field)
            )
            for field in msgspec.structs.fields(kind)
        }
        required = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
        config: msgspec.structs.StructConfig = kind.__struct_config__
        if config.tag_field is not None:
            fields[config.tag_field] = FieldDefinition.from_annotation(Literal[config.tag])
            required.append(config.tag_field)
        schema: Schema = schema_creator.create_component_schema(
            field_definition, required=sorted(required), property_fields=fields
        )
        schema.description = inspect.cleandoc(kind.__doc__ or "") or None
        if config.omit_defaults:
            _say_what_absence_means(schema, kind)
        if config.forbid_unknown_fields:
            schema.additional_properties = False
        return schema


def _say_what_absence_means(schema: Schema, kind: type[msgspec.Struct]) -> None:
    """Replace defaults, which generated clients take for values that are always there, by words."""
    for field in msgspec.structs.fields(kind):
        described = (schema.properties or {})[field.encode_name]
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if default is None or default is msgspec.NODEFAULT:
            continue
        described.description = f"Absent means `{msgspec.json.encode(default).decode()}`."
        if isinstance(described, Schema):
            described.default = None


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default in (msgspec.NODEFAULT, msgspec.UNSET):
        return Empty
    return msgspec.to_builtins(field.default)


def openapi_config() -> OpenAPIConfig:
    """Return the configuration of the document that is served at /schema/openapi.json."""
    return OpenAPIConfig(
        title="Variant Planner",
        version=planner.__version__,
        description="Evidence-based choice of language model variants for the hardware you have.",
        tags=[Tag(name=name, description=description) for name, description in _TAGS.items()],
        render_plugins=[FinishedJson(path="/openapi.json")],
        path="/schema",
    )


class FinishedJson(JsonRenderPlugin):
    """Serves the finished document."""

    def render(
        self,
        request: Request[Any, Any, Any],  # noqa: ARG002 - the interface has it
        openapi_schema: dict[str, Any],
    ) -> bytes:
        """Return the document as JSON."""
        return msgspec.json.encode(finish(openapi_schema), enc_hook=str)


def _unambiguous(part: Any) -> Any:
    """Return the schema without "integer" where "number" is another choice: a whole number would match both."""
    if isinstance(part, list):
        return [_unambiguous(item) for item in cast("list[Any]", part)]  # type: ignore[redundant-cast]  # pyright wants it
    if not isinstance(part, dict):
        return part
    known = {key: _unambiguous(value) for key, value in cast("dict[str, Any]", part).items()}
    choices = known.get("oneOf")
    if isinstance(choices, list) and {"type": "number"} in choices:
        kept = cast("list[Any]", choices)  # type: ignore[redundant-cast]  # same
        known["oneOf"] = [choice for choice in kept if choice != {"type": "integer"}]
    return known


def finish(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with every operation's errors as problem details, which Litestar cannot know."""
    problem = {
        "description": "Problem details (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    paths = {
        path: {
            method: {
                **operation,
                "responses": {
                    **{status: reply for status, reply in operation["responses"].items() if status != "400"},
                    "default": problem,
                },
            }
            for method, operation in item.items()
        }
        for path, item in document["paths"].items()
    }
    finished: dict[str, Any] = _unambiguous({**document, "paths": paths})
    return finished


def document_of(app: Litestar) -> dict[str, Any]:
    """Return the finished document of `app`."""
    return finish(app.openapi_schema.to_schema())


def main() -> None:
    """Print the document, indented and with sorted keys, so that a change shows as a small difference."""
    from planner.api.app import create_app  # noqa: PLC0415 - the app imports this module
    from planner.settings import Settings  # noqa: PLC0415

    app = create_app(Settings(data_dir=Path(), database_url="sqlite://"))
    text = msgspec.json.encode(document_of(app), order="sorted", enc_hook=str)
    sys.stdout.write(msgspec.json.format(text, indent=2).decode() + "\n")


if __name__ == "__main__":
    main()
