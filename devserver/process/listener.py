"""The bound sockets that all generations accept from."""

from __future__ import annotations

import dataclasses
import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from devserver.config.settings import Config
from devserver.process.platform import System
from devserver.records.messages import Listening
from devserver.records.record import record

BACKLOG = 2048
ANSWER_LIMIT = 0.5  # seconds in which a port of this machine answers
ANY_HOST = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}


class ListenError(OSError):
    """The address cannot be listened on; `str(error)` is one line for the person."""


@record(frozen=True)
class Listener:
    """A bound, listening socket; bound once, closed when the tool ends."""

    socket: socket.socket
    host: str

    @classmethod
    def bind(cls, host: str, port: int, option: str = "--port", taken: Sequence[int] = ()) -> Listener:
        """Bind and listen. Errors: `ListenError`, its text naming `option` as the way out, and no port of `taken`."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ListenError(f"{host!r} is no address to listen on ({why}); choose another with --host") from None
        bound = socket.socket(family, kind, protocol)
        try:
            System.prepare_listener(bound)
            bound.bind(address)
            bound.listen(BACKLOG)
        except OSError as error:
            bound.close()
            if _is_in_use(host, port, error):
                raise ListenError(_in_use(str(address[0]), port, option, taken)) from None
            raise ListenError(_why_not(host, port, option, error)) from None
        return cls(bound, host)

    @property
    def port(self) -> int:
        """The real port, also where 0 was asked for."""
        return int(self.socket.getsockname()[1])

    @property
    def address(self) -> str:
        """`host:port` that can be clicked and called from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host and not host.startswith("[") else f"{host}:{self.port}"

    @property
    def network(self) -> str:
        """`host:port` that can be called from other machines, empty if none can reach it."""
        bound = str(self.socket.getsockname()[0])
        host = _outer_address(self.socket.family) if ip_address(bound).is_unspecified else bound
        if host is None or ip_address(host).is_loopback:
            return ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def close(self) -> None:
        self.socket.close()


def _outer_address(family: int) -> str | None:
    """This machine's address on the way out, if there is a way; nothing is sent."""
    elsewhere = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # kept free for examples
    for kind in dict.fromkeys((family, socket.AF_INET)):  # what listens on :: is called by the old addresses, too
        try:
            with socket.socket(kind, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere[socket.AddressFamily(kind)], 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return None


def bind_all(config: Config) -> list[Listener]:
    """The health port first, where there is one, then the port. Errors: `ListenError`."""
    if not config.separate_health:
        return [Listener.bind(config.host, config.port)]
    health = Listener.bind(config.host, config.health_port, "--health_port", [config.port])
    try:
        return [health, Listener.bind(config.host, config.port, taken=[config.health_port])]
    except ListenError:
        health.close()
        raise


def with_real_ports(config: Config, listeners: Sequence[Listener]) -> Config:
    """The configuration with the ports that were bound for it, also where 0 was asked for."""
    health = listeners[0].port if config.separate_health else config.health_port
    return dataclasses.replace(config, port=listeners[-1].port, health_port=health)


def listening_on(listeners: Sequence[Listener]) -> Listening:
    """Where the tool can be called: on the last of these; one before it is for health checks."""
    last = listeners[-1]
    health = listeners[0].address if len(listeners) > 1 else ""
    return Listening(last.host, last.port, last.address, health, last.network)


def _is_in_use(host: str, port: int, error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE or (System.is_any_refusal(error) and _is_answered(host, port))


def _in_use(host: str, port: int, option: str, taken: Sequence[int]) -> str:
    from devserver.process import port_holder  # nothing that a good start needs

    free = port_holder.free_port(host, port, taken)
    holder = port_holder.holder_of(host, port) or "the program that listens on it"
    other = f" ({option} {free} is free)" if free is not None else ""
    return f"port {port} is in use; choose another with {option}{other}, or stop {holder}"


def _why_not(host: str, port: int, option: str, error: OSError) -> str:
    if System.is_any_refusal(error):
        return (
            f"port {port} is reserved by Windows (`netsh interface ipv4 show excludedportrange protocol=tcp` lists "
            f"these), kept by another program for itself, or forbidden to this user; choose another with {option}"
        )
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by this user; choose one from 1024 with {option}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; choose another with --host"
    return f"cannot listen on {host}:{port}: {error.strerror}; choose another with {option} or --host"


def _is_answered(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    plain = host.strip("[]")
    try:
        socket.create_connection((ANY_HOST.get(plain, plain), port), ANSWER_LIMIT).close()
    except OSError:
        return False
    return True
