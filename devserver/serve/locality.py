"""Which clients may be told more of an error than its message: those that sit on this machine, and know it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

LEFT_BY_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


class Fields(Protocol):
    """The headers of a request, asked for by names in small letters."""

    def get(self, name: str, /) -> str | None: ...


def is_local(address: str | None, headers: Fields) -> bool:
    """Whether the client sits on this machine and knows it: paths and source lines may be shown to it.

    A web page of another origin, a name that was made to point here, and a proxy in between do not count.
    """
    if any(headers.get(name) is not None for name in LEFT_BY_PROXIES):
        return False
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host_of(origin)):
        return False
    return is_loopback(address) and is_loopback(_host_of("//" + (headers.get("host") or "")))


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def is_loopback(name: str | None) -> bool:
    """Whether this address, or name, is of the machine itself."""
    if name == "localhost":
        return True
    try:
        address = ip_address(name or "")
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
