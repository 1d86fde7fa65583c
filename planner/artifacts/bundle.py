"""Signature bundles, as far as they can be read without the library that makes them: which files one is over.

A bundle is a sigstore bundle (JSON) whose DSSE envelope holds an in-toto statement with the predicate of model-signing:
the sha256 of every file by its path. Whether the signature holds is `planner.artifacts.signing`'s to say.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from planner.domain.variant import SHA256, Artifact
from planner.errors import InvalidInput

SIGNATURE_NAME: Final = "model.sig"
"""Where a fetch places the bundle: the name that model-signing gives it."""
PREDICATE: Final = "https://model_signing/signature/v1.0"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
_SHOWN: Final = 3


class _Resource(msgspec.Struct, frozen=True):
    name: str
    digest: str
    algorithm: str


class _Predicate(msgspec.Struct, frozen=True):
    resources: tuple[_Resource, ...]


class _Statement(msgspec.Struct, frozen=True, rename={"type_": "_type", "predicate_type": "predicateType"}):
    type_: str
    predicate_type: str
    predicate: _Predicate


class _Envelope(msgspec.Struct, frozen=True):
    payload: str


class _Key(msgspec.Struct, frozen=True):
    hint: str | None = None


class _Material(msgspec.Struct, frozen=True, rename="camel"):
    public_key: _Key | None = None


class _Bundle(msgspec.Struct, frozen=True, rename="camel"):
    dsse_envelope: _Envelope
    verification_material: _Material


class SignedFiles(msgspec.Struct, frozen=True):
    """The sha256 of each signed file by its path."""

    digests: Mapping[str, str]

    def differences(self, artifacts: Iterable[Artifact]) -> list[str]:
        """Return what the signed files and `artifacts` do not have in common, in words."""
        here = {artifact.path: artifact.sha256 for artifact in artifacts}
        found: list[str] = []
        for title, paths in (
            ("not signed", sorted(here.keys() - self.digests.keys())),
            ("signed but not there", sorted(self.digests.keys() - here.keys())),
            (
                "other bytes",
                sorted(p for p in here.keys() & self.digests.keys() if here[p] != self.digests[p]),
            ),
        ):
            if paths:
                more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
                found.append(f"{title}: {', '.join(paths[:_SHOWN])}{more}")
        return found

    def check(self, artifacts: Iterable[Artifact]) -> None:
        """Raise InvalidInput unless these are the signed files."""
        found = self.differences(artifacts)
        if found:
            raise InvalidInput(
                "bundle",
                f"is over other files ({'; '.join(found)})",
                allowed="a signature of this variant's files",
            )


def signed_files(bundle: bytes) -> SignedFiles:
    """Return which files a bundle is over, its signature unchecked. Raises InvalidInput."""
    try:
        envelope = msgspec.json.decode(bundle, type=_Bundle).dsse_envelope
        payload = base64.b64decode(envelope.payload, validate=True)
        statement = msgspec.json.decode(payload, type=_Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, RecursionError) as error:
        raise InvalidInput(
            "bundle", f"is no signature bundle: {error}", allowed="what model-signing writes"
        ) from error
    if statement.type_ != STATEMENT or statement.predicate_type != PREDICATE:
        raise InvalidInput("bundle", "is over something else than a model", allowed=PREDICATE)
    resources = statement.predicate.resources
    if any(each.algorithm != "sha256" for each in resources):
        raise InvalidInput("bundle", "uses another hash", allowed="sha256 of whole files")
    digests = {each.name: each.digest for each in resources}
    if len(digests) != len(resources):
        raise InvalidInput("bundle", "names a file twice")
    return SignedFiles(digests)


def key_of(bundle: bytes) -> str | None:
    """Return the sha256 of the public key (PEM) that a bundle names; None when it was signed in another way."""
    key = msgspec.json.decode(bundle, type=_Bundle).verification_material.public_key
    hint = None if key is None else key.hint
    return hint if hint is not None and SHA256.fullmatch(hint) else None
