"""A registry in which things have happened: builds judged, promoted, deprecated, yanked and quarantined, one signed, tokens."""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from planner.artifacts.signing import sign
from planner.domain.identity import Principal, TokenOrigin, TokenScope
from planner.domain.lifecycle import LifecycleState
from planner.domain.variant import Variant
from planner.gate.policy_text import parse_policy
from planner.settings import load_settings
from planner.wire import acting
from planner.wire.gating import GateRequest
from planner.wire.identity import TokenRequest
from planner.wire.lifecycle import SetState
from planner.workspace import Workspace
from tests.gate.builds import evaluated, register

POLICY = "version: 1\nname: chat\ntasks: [{task: maths, margin: 2%}]\n"
PROMOTE = POLICY + "on_pass: {move_alias: prod}\non_fail: quarantine\n"
RUN = TokenOrigin(
    issuer="https://token.actions.githubusercontent.com",
    subject="repo:acme/models:ref:refs/heads/main",
    repository="acme/models",
    workflow="acme/models/.github/workflows/build.yml@refs/heads/main",
    ref="refs/heads/main",
    sha="0123456789abcdef0123456789abcdef01234567",
    run_url="https://github.com/acme/models/actions/runs/4711",
    actor="someone",
)


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """Where the registry is, what is in it, and the secrets of its tokens by label."""

    folder: Path
    base: Variant
    build: Variant
    """Passed its gate; `prod` points at it."""
    slow: Variant
    """Deprecated, to be replaced by `build`."""
    broken: Variant
    """Failed its gate and was quarantined."""
    doubtful: Variant
    """Yanked."""
    tokens: dict[str, str]


def _signed(variant: Variant, folder: Path) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    private = folder / "signing.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return sign(variant.name, variant.artifacts, private)


def fill(folder: Path) -> Stock:
    """Make the registry in `folder`."""
    pipeline = Principal(
        name=RUN.subject,
        token_id="run",
        scopes=frozenset({TokenScope.REGISTER, TokenScope.PROMOTE}),
        origin=RUN,
    )
    with Workspace(load_settings({}, data_dir=folder / "data")) as workspace:
        with acting.acting_as(pipeline):
            base = register(workspace, folder, "base", seed=1)
            names = ("build", "slow", "broken", "doubtful")
            build, slow, broken, doubtful = (
                register(workspace, folder, name, seed=seed, base=base.id)
                for seed, name in enumerate(names, 2)
            )
            workspace.move_alias("prod", slow.id)
            workspace.move_alias("candidate", doubtful.id)
            evaluated(workspace, build, base, lost=40, gained=40, items=5000)
            evaluated(workspace, broken, base, lost=400, gained=40, items=2000)
            evaluated(workspace, slow, base, lost=10, gained=8, items=300)
            workspace.gate(GateRequest(variant=slow.id, policy=parse_policy(POLICY), queue=True))
            for judged in (build, broken):
                workspace.gate(GateRequest(variant=judged.id, policy=parse_policy(PROMOTE)))
            workspace.add_signature(build.id, _signed(build, folder))
        workspace.set_state(
            slow.id,
            SetState(
                state=LifecycleState.DEPRECATED,
                reason="slower than its successor",
                replacement=build.id,
                actor="ops",
            ),
        )
        workspace.set_state(
            doubtful.id, SetState(state=LifecycleState.YANKED, reason="wrong tokenizer", actor="ops")
        )
        scopes = {"reader": TokenScope.READ, "promoter": TokenScope.PROMOTE, "boss": TokenScope.ADMIN}
        tokens = {
            label: workspace.create_token(TokenRequest(label=label, scopes=(scope,))).secret
            for label, scope in scopes.items()
        }
    return Stock(
        folder=folder / "data",
        base=base,
        build=build,
        slow=slow,
        broken=broken,
        doubtful=doubtful,
        tokens=tokens,
    )
