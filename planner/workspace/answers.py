"""Questions: read, answered, stored, replayed and explained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

import planner
from planner.choose.explanation import explain
from planner.choose.fleet import place
from planner.choose.index import Index
from planner.choose.language.echo import echo
from planner.choose.language.parse import parse
from planner.choose.planner import make_plan, why
from planner.choose.structured import complete
from planner.choose.training import train
from planner.domain.fleet import Demand, Fleet, FleetAnswer
from planner.domain.listing import Page
from planner.domain.outcome import Outcome, Plan, Recommended
from planner.domain.scenario import Scenario
from planner.domain.training import TrainingAnswer, TrainingRequest
from planner.errors import InvalidInput, PlannerError
from planner.registry import plans, variants
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.problem import problem_of
from planner.wire.replies import BatchAnswer, Replay, Understanding, Why
from planner.wire.requests import MAX_BATCH
from planner.wire.rows import PlanRow
from planner.workspace.identifiers import new_id
from planner.workspace.opened import Opened
from planner.workspace.pricing import priced


class Answers(Opened):
    """Implements `planner.wire.service.Answers`."""

    def recommend(self, *, query: str | None = None, scenario: Scenario | None = None) -> Plan:
        """Return the answer to exactly one of `query` or `scenario`, after storing it."""
        question = scenario if query is None else query
        if question is None or (query is not None and scenario is not None):
            raise InvalidInput("query", "give a query or a scenario", allowed="exactly one of the two")
        plan = self._answer(question, self.snapshots.current())
        with self.registry.write() as tx:
            plans.save(tx, plan)
        return plan

    def recommend_batch(self, questions: Sequence[str | Scenario]) -> tuple[BatchAnswer, ...]:
        """Return the answers in order, all from one revision, after storing those that are plans at once."""
        if not 1 <= len(questions) <= MAX_BATCH:
            raise InvalidInput(
                "questions", f"{len(questions)} are given", allowed=f"1 to {MAX_BATCH} in a batch"
            )
        index = self.snapshots.current()
        answers: list[BatchAnswer] = []
        for question in questions:
            try:
                answers.append(BatchAnswer(plan=self._answer(question, index)))
            except PlannerError as error:
                answers.append(BatchAnswer(problem=problem_of(error)))
        with self.registry.write() as tx:
            for answer in answers:
                if answer.plan is not None:
                    plans.save(tx, answer.plan)
        return tuple(answers)

    def fleet(self, fleet: Fleet) -> FleetAnswer:
        """Return the best assignment of the pool's devices to the demands, or why there is none."""
        index = self.snapshots.current()
        known = {device.id: self.prices.of(device) for device in map(index.device, fleet.pool)}
        return place(
            fleet,
            [self._demand(demand, index) for demand in fleet.demands],
            index,
            prices={device_id: price for device_id, price in known.items() if price is not None},
            now=self.now(),
            version=planner.__version__,
        )

    def training(self, request: TrainingRequest) -> TrainingAnswer:
        """Return whether a training fits its hardware, and what it takes."""
        return train(request, self.snapshots.current())

    def _demand(self, demand: Demand, index: Index) -> Scenario:
        if demand.scenario is not None:
            return complete(demand.scenario, index.presets)
        return parse(demand.query or "", index.vocabulary)

    def _answer(self, question: str | Scenario, index: Index) -> Plan:
        query = question if isinstance(question, str) else None
        scenario = self.scenario_of(question, index)
        return make_plan(
            scenario, index, plan_id=new_id(), now=self.now(), version=planner.__version__, query=query
        )

    def scenario_of(self, question: str | Scenario, index: Index) -> Scenario:
        """Return what a question means: read, completed from its preset, and priced from the price file."""
        if isinstance(question, str):
            return priced(parse(question, index.vocabulary), index, self.prices)
        return priced(complete(question, index.presets), index, self.prices)

    def understand(self, query: str) -> Understanding:
        """Return how `query` is read."""
        index = self.snapshots.current()
        vocabulary, scenario = index.vocabulary, self.scenario_of(query, index)
        return Understanding(
            scenario=scenario, echo=echo(scenario, vocabulary), understood=scenario.effective()
        )

    def plan(self, plan_id: str) -> Plan:
        """Return a stored plan."""
        with self.registry.read() as tx:
            return plans.get(tx, plan_id)

    def plans(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[PlanRow]:
        """Return stored plans, newest first."""
        with self.registry.read() as tx:
            page = plans.page(tx, limit=limit, cursor=cursor)
        return Page(items=tuple(_row(plan) for plan in page.items), next_cursor=page.next_cursor)

    def replay(self, plan_id: str) -> Replay:
        """Compute a plan again from the registry as it was, and compare the results byte for byte."""
        stored = self.plan(plan_id)
        again = make_plan(
            stored.scenario,
            self.snapshots.as_of(stored.revision),
            plan_id=stored.id,
            now=stored.as_of,
            version=stored.planner_version,
            query=stored.query,
        )
        before, after = _digest(stored.result), _digest(again.result)
        return Replay(
            plan_id=stored.id, identical=before == after, stored_digest=before, replayed_digest=after
        )

    def why(self, variant: str, *, plan_id: str | None = None, query: str | None = None) -> Why:
        """Return how `variant` fares in a stored plan or a query, with every check."""
        if (plan_id is None) == (query is None):
            raise InvalidInput("query", "give a plan or a query", allowed="exactly one of the two")
        if plan_id is not None:
            stored = self.plan(plan_id)
            scenario, index, now = stored.scenario, self.snapshots.as_of(stored.revision), stored.as_of
        else:
            index = self.snapshots.current()
            scenario, now = self.scenario_of(query or "", index), self.now()
        with self.registry.read() as tx:
            variant_id = variants.get(tx, variant).id
        candidate, elimination = why(scenario, index, variant_id, now=now)
        explained = explain(scenario, index, variant_id, now=now)
        return Why(
            variant_id=variant_id,
            chosen=elimination is None,
            candidate=candidate,
            elimination=elimination,
            findings=explained.findings,
            outranked=explained.outranked,
            needed=explained.needed,
        )


def _row(plan: Plan) -> PlanRow:
    chosen = plan.result.chosen if isinstance(plan.result, Recommended) else None
    return PlanRow(
        id=plan.id,
        query=plan.query,
        outcome="infeasible" if chosen is None else "recommended",
        variant_id=chosen.variant_id if chosen else None,
        name=chosen.name if chosen else None,
        revision=plan.revision,
        as_of=plan.as_of,
    )


def _digest(result: Outcome) -> str:
    return "sha256:" + hashlib.sha256(msgspec.json.encode(result, order="sorted")).hexdigest()
