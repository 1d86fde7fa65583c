"""Files put together from chunks: what a shard describes becomes blobs, and the chunks are known to lie in them from then on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from planner.artifacts.store import BlobStore
from planner.artifacts.xet.chunks import Chunk, Chunks
from planner.artifacts.xet.hashes import range_hash
from planner.artifacts.xet.shard import FileTerms, Term, read_files
from planner.errors import InvalidInput, NotFound


def assemble(shard: bytes, chunks: Chunks, store: BlobStore, *, limit: int) -> list[FileTerms]:
    """Store every file of a shard, hashed on the way, and return them; what is stored already is not written again.

    `limit` is the size of the largest file, in bytes. Raises InvalidInput for a shard that is wrong or names chunks that were
    never sent, IntegrityFailure when the bytes are not those of the sha256. Files before the one at fault stay.
    """
    files = read_files(shard)
    for file in files:
        if file.size > limit:
            raise InvalidInput("shard", f"describes a file of {file.size} bytes", allowed=f"at most {limit}")
    for file in files:
        ranges = [(term, _range(term, chunks)) for term in file.terms]
        if store.size(file.sha256) != file.size or not store.touch(file.sha256):
            store.put(_bytes(ranges, chunks), sha256=file.sha256, size=file.size)
        _note(file.sha256, ranges, chunks)
    return files


def _range(term: Term, chunks: Chunks) -> tuple[Chunk, ...]:
    """Return the chunks of a term. Raises InvalidInput unless who names them knows what they are."""
    try:
        whole = chunks.index(term.xorb)
    except NotFound:
        raise InvalidInput(
            "shard",
            f"names xorb {term.xorb}, which is not here; it was sent long ago, or elsewhere",
            allowed="xorbs that were uploaded (removing the client's xet cache makes it send them again)",
        ) from None
    if term.end > len(whole):
        raise InvalidInput("shard", f"names chunk {term.end - 1} of a xorb", allowed=f"0 to {len(whole) - 1}")
    found = whole[term.start : term.end]
    if sum(chunk.size for chunk in found) != term.size:
        raise InvalidInput(
            "shard", "gives a range of chunks another size than they have", allowed="their size"
        )
    if range_hash([chunk.digest for chunk in found]) != term.proof:
        raise InvalidInput(
            "shard", "does not prove that it knows the chunks it names", allowed="their range hash"
        )
    return found


def _bytes(ranges: list[tuple[Term, tuple[Chunk, ...]]], chunks: Chunks) -> Iterator[bytes]:
    for term, found in ranges:
        try:
            yield from chunks.read(term.xorb, found)
        except NotFound:
            raise InvalidInput(
                "shard",
                f"names chunks of xorb {term.xorb} that are no longer here",
                allowed="xorbs that are here (removing the client's xet cache makes it send them again)",
            ) from None


def _note(blob: str, ranges: list[tuple[Term, tuple[Chunk, ...]]], chunks: Chunks) -> None:
    places: dict[str, dict[int, tuple[str, int]]] = defaultdict(dict)
    start = 0
    for term, found in ranges:
        for number, chunk in enumerate(found, start=term.start):
            places[term.xorb][number] = (blob, start)
            start += chunk.size
    chunks.moved(places)
