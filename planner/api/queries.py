"""Query parameters: a misspelt one is refused, not ignored, since the answer would be to another question."""

from __future__ import annotations

from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from planner.api.safety import Connection
from planner.errors import InvalidInput


def check_query(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuse query parameters that the handler does not declare, and requests without one it needs.

    Raises InvalidInput naming the parameter.
    """
    given = connection.query_params
    declared: dict[str, bool] = {}
    for argument, field in handler.parsed_fn_signature.parameters.items():
        if isinstance(field.kwarg_definition, QueryParameter):
            declared[field.kwarg_definition.name or argument] = field.is_required
    for name in given:
        if name not in declared:
            raise InvalidInput(
                name[:100],
                "is no query parameter of this path",
                allowed=", ".join(sorted(declared)) or "no query parameters",
            )
    for name, required in declared.items():
        if required and name not in given:
            raise InvalidInput(name, "is missing", allowed=f"`?{name}=…`")
