"""Which addresses the server may be sent to by what a user wrote: never those that give away a machine's own credentials.

Private networks are allowed, as receivers of a self-hosted server live there. Link-local addresses are not, because cloud
metadata services answer on them, nor the metadata addresses that lie elsewhere.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

METADATA: Final = frozenset(
    map(ip_address, ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
"""Metadata services: AWS, Google and Azure over IPv4 and AWS over IPv6, Alibaba Cloud, Azure's host, Oracle Cloud."""
_NAT64: Final = ip_network("64:ff9b::/96")
_COMPATIBLE: Final = ip_network("::/96")


def why_forbidden(address: str, *, loopback_allowed: bool) -> str | None:
    """Return why nothing is sent to a numeric `address`; None when it may be. An IPv4 address inside IPv6 counts as itself."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return "is no network address"
    inner = _embedded(found)
    if inner in METADATA:
        return "is a cloud's metadata service"
    if inner.is_loopback:
        return None if loopback_allowed else "is this machine"
    if inner.is_link_local:
        return "is link-local"
    if inner.is_unspecified or inner.is_multicast:
        return "is no single machine"
    if inner.is_reserved:
        return "is reserved"
    return None


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address) or address.is_loopback or address.is_unspecified:
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
