"""How far the parser has come, and what it could take next: the only place that looks inside the parser generator.

A shift-reduce parser's table lists, for the state on top of its stack, every symbol that leads on from *some* stack
with that top. Whether one leads on from this stack is found by playing the reductions through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lark import Token
from lark.parsers.lalr_analysis import Shift

from planner.choose.language.clauses import Clause
from planner.choose.language.syntax import grammar

_END = "$END"


class Progress:
    """The parser in the middle of a query."""

    def __init__(self) -> None:
        # The library types the parser's state loosely, so it is Any from here on.
        parser: Any = grammar()
        state: Any = parser.parse_interactive("").parser_state
        self._state = state
        self._table: Mapping[Any, Mapping[str, tuple[Any, Any]]] = state.parse_conf.states
        self._end_state: Any = state.parse_conf.end_state

    def take(self, token: Token) -> None:
        """Feed a token that `can_take` allows."""
        self._state.feed_token(token)

    def end(self) -> list[Clause]:
        """Return the clauses read; `can_end` must hold."""
        clauses: list[Clause] = self._state.feed_token(Token(_END, ""), is_end=True)
        return clauses

    def can_take(self, terminal: str) -> bool:
        """Return whether the terminal can come next."""
        states: list[Any] | None = None
        top = self._state.state_stack[-1]
        while (step := self._table[top].get(terminal)) is not None:
            action, argument = step
            if action is Shift:
                return True
            if states is None:
                states = list(self._state.state_stack)
            top = self._reduced(states, argument)
        return False

    def can_end(self) -> bool:
        """Return whether what was read is a query."""
        states = list(self._state.state_stack)
        top = states[-1]
        while top != self._end_state:
            step = self._table[top].get(_END)
            if step is None:
                return False
            top = self._reduced(states, step[1])
        return True

    def wanted(self) -> tuple[str, ...]:
        """Return every terminal that can come next."""
        names = self._table[self._state.state_stack[-1]]
        return tuple(name for name in names if name.isupper() and self.can_take(name))

    def _reduced(self, states: list[Any], rule: Any) -> Any:
        """Replace the states of a rule's parts by the state after the rule, and return it."""
        if size := len(rule.expansion):
            del states[-size:]
        top = self._table[states[-1]][rule.origin.name][1]
        states.append(top)
        return top
