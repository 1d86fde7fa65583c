"""Signing and verifying manifests with model-signing, from digests that are known already: no file is read again.

The library hashes folders; here its manifest is made from a variant's own sha256 digests, which the store has checked
byte by byte. What comes out is an ordinary bundle: `model_signing verify key` on the fetched folder accepts it.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path, PurePosixPath
from typing import Any, Final

from planner.artifacts.bundle import SIGNATURE_NAME, SignedFiles
from planner.domain.variant import Artifact
from planner.errors import InvalidInput, SignatureFailure, Unavailable

IGNORED: Final = (SIGNATURE_NAME, ".git", ".gitattributes", ".github", ".gitignore")
"""Files that a verifier of the folder leaves out: the signature itself, and what git adds."""


def sign(name: str, artifacts: Iterable[Artifact], key: Path, *, password: str | None = None) -> bytes:
    """Return the bundle of a signature over `artifacts` by an elliptic-curve private key (PEM; P-256, P-384 or P-521).

    `name` is only informative. Raises InvalidInput for a key that cannot be used, Unavailable without the library.
    """
    artifacts = tuple(artifacts)
    if any(artifact.path.split("/")[0] in IGNORED for artifact in artifacts):
        raise InvalidInput(
            "variant",
            "has a file that verifiers leave out",
            allowed=f"no {', '.join(IGNORED)} among the files",
        )
    files, hashing = _library("manifest"), _library("_hashing.hashing")
    items = [
        files.FileManifestItem(
            path=PurePosixPath(artifact.path), digest=hashing.Digest("sha256", bytes.fromhex(artifact.sha256))
        )
        for artifact in artifacts
    ]
    serialization = files.SerializationType.from_args(
        {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": list(IGNORED)}
    )
    payload = _library("_signing.signing").Payload(files.Manifest(name, items, serialization))
    try:
        secret = None if password is None else password.encode()
        signer = _library("_signing.sign_ec_key").Signer(key, secret)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            "--key",
            f"`{key}` cannot be used: {_reason(error)}",
            allowed="a PEM private key on P-256, P-384 or P-521",
        ) from error
    bundle: str = signer.sign(payload).bundle.to_json()
    return bundle.encode()


def verify(bundles: Sequence[bytes], artifacts: Sequence[Artifact], public_key: Path) -> bytes:
    """Return the first of `bundles` that is a signature by `public_key` over exactly `artifacts`.

    Raises SignatureFailure saying what is wrong, InvalidInput for a key that cannot be used, Unavailable without the library.
    """
    if not bundles:
        raise SignatureFailure(
            "the variant is not signed", allowed="`planner sign VARIANT --key KEY` signs it"
        )
    try:
        verifier = _library("_signing.sign_ec_key").Verifier(public_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            "--verify-key",
            f"`{public_key}` cannot be used: {_reason(error)}",
            allowed="a PEM public key on P-256, P-384 or P-521",
        ) from error
    failures: list[str] = []
    for bundle in bundles:
        try:
            found = _verified(verifier, bundle).differences(artifacts)
        except (SignatureFailure, InvalidInput) as error:
            failures.append(error.message)
            continue
        if not found:
            return bundle
        failures.append(f"the signed manifest is another one ({'; '.join(found)})")
    reasons = "; ".join(dict.fromkeys(failures))
    raise SignatureFailure(f"no signature holds for this key: {reasons}", signatures=len(bundles))


def _verified(verifier: Any, bundle: bytes) -> SignedFiles:
    """Return the files a bundle is over, once its signature holds. Raises SignatureFailure, InvalidInput."""
    signature = _library("_signing.sign_sigstore_pb").Signature
    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(bundle)
        file.flush()
        try:
            with redirect_stdout(sys.stderr):  # the library prints notices
                manifest = verifier.verify(signature.read(Path(file.name)))
            described = list(manifest.resource_descriptors())
        except Exception as error:  # a hostile bundle fails in any of the library's parsers
            raise SignatureFailure(_meaning(error)) from error
    # What the library has verified is asked of it, and not read from the bundle again in another way.
    if any(each.digest.algorithm != "sha256" for each in described):
        raise SignatureFailure("the signed manifest uses another hash than sha256")
    return SignedFiles({each.identifier: each.digest.digest_hex for each in described})


def _meaning(error: Exception) -> str:
    text = str(error)
    if "Key mismatch" in text:
        return "it was made with another key"
    if type(error).__name__ == "InvalidSignature":
        return "the signature is not over this manifest"
    return f"the bundle cannot be verified: {text[:200] or type(error).__name__}"


def _library(module: str) -> Any:
    """Return a module of model-signing, which is not typed. Raises Unavailable when it is not installed."""
    try:
        return importlib.import_module(f"model_signing.{module}")
    except ImportError as error:
        raise Unavailable(
            "signing needs the library model-signing", hint="pip install 'variant-planner[signing]'"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
