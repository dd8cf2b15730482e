"""The port that a server listens on."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from zoo.errors import BusyError, ConfigError

BACKLOG = 1024
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Listen on each address of `host` until the end of the block, all on one port; 0: any that is free.

    Raises BusyError where the port is taken, ConfigError where the host is not this machine's or the port not ours.
    """
    with ExitStack() as opened:
        yield [opened.enter_context(one) for one in _listen(host, port)]


def _listen(host: str, port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    addresses = _addresses(host, port)
    try:
        for family, address in addresses:
            try:
                sockets.append(socket.create_server((address, port), family=family, backlog=BACKLOG))
            except OSError as error:
                if error.errno in ABSENT and len(addresses) > 1:
                    continue  # a machine without IPv6 names ::1 all the same
                raise _mendable(host, port, error) from error
            port = sockets[0].getsockname()[1]
    except BaseException:
        for one in sockets:
            one.close()
        raise
    if not sockets:
        raise ConfigError(f"--host {host}: not an address of this machine; try localhost")
    return sockets


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host}: not a name or address that is known here; try localhost") from error
    return list(dict.fromkeys((item[0], str(item[4][0])) for item in found))


def _mendable(host: str, port: int, error: OSError) -> Exception:
    """Return what to say of a failure to listen."""
    if error.errno == errno.EADDRINUSE:
        return BusyError(f"port {port} of {host} is in use by another process; name another: --port 0 takes a free one")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigError(f"--port {port} may be used by the administrator alone; choose one above 1023")
    if error.errno in ABSENT:
        return ConfigError(f"--host {host}: not an address of this machine; try localhost")
    return error


def url_of(host: str, sockets: list[socket.socket]) -> str:
    """Return the address of the page of a server that listens on `sockets`."""
    return f"http://{f'[{host}]' if ':' in host else host}:{sockets[0].getsockname()[1]}/"
