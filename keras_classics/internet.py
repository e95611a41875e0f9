"""Whether a server can be reached, found out within seconds.

Clients of HTTP wait for minutes where packets are lost, and ask ten times where a name is unknown.
"""

import base64
import contextlib
import http.client
import queue
import socket
import ssl
import threading
import urllib.parse
import urllib.request
from dataclasses import dataclass

# Seconds for all of it: the name, the connection, and the handshake of https.
SECONDS = 4.0

PORTS = {"http": 80, "https": 443, "ftp": 21}


@dataclass(frozen=True)
class _Route:
    """How a server is reached.

    Attributes:
        host: Name of the server, or of the proxy before it.
        port: Port there.
        tunnel: For https through a proxy: host and port that the proxy connects to.
        headers: What the proxy is told with it.
        secure: Whether a handshake follows.
    """

    host: str
    port: int
    tunnel: tuple[str, int] | None
    headers: dict[str, str]
    secure: bool


def why_unreachable(url: str) -> str | None:
    """Returns why the server of a URL cannot be reached, or None if it can.

    It asks for nothing, so a server that can be reached may still lack the file.

    Args:
        url: URL of a file. Of a URL without a host or of an unknown kind the result is None.
    """
    route = _route(url)
    if route is None:
        return None
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    # No deadline applies to the look-up of a name, and a thread can be left behind.
    _start(_try_all, route, answers)
    try:
        return answers.get(timeout=SECONDS)
    except queue.Empty:
        return f"{route.host} does not answer within {SECONDS:g} seconds"


def _start(target, *arguments) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def _route(url: str) -> _Route | None:
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not host or not port:
        return None
    secure = parts.scheme == "https"
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return _Route(host, port, None, {}, secure)
    by = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not by.hostname:
        return None
    # The proxy's own handshake, and SOCKS, are left to those who download.
    tunnel = (host, port) if secure and by.scheme == "http" else None
    name = urllib.parse.unquote(f"{by.username}:{by.password or ''}") if by.username else ""
    token = base64.b64encode(name.encode()).decode()
    headers = {"Proxy-Authorization": f"Basic {token}"} if name else {}
    return _Route(by.hostname, by.port or PORTS.get(by.scheme, 1080), tunnel, headers, bool(tunnel))


def _try_all(route: _Route, answers: queue.SimpleQueue[str | None]) -> None:
    """Tries all addresses of a host at once; the first to answer, or the last to fail, decides."""
    try:
        found = socket.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        answers.put(f"the name {route.host} cannot be resolved")
        return
    own: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    addresses = {address[0] for *_, address in found}
    for address in addresses:
        _start(lambda address: own.put(_failure(route, address)), address)
    reasons = []
    while len(reasons) < len(addresses) and None not in reasons:
        reasons.append(own.get())
    answers.put(reasons[-1])


def _failure(route: _Route, address: str) -> str | None:
    """Returns why an address does not answer, or None if it does."""
    connection = http.client.HTTPConnection(address, route.port, timeout=SECONDS)
    if route.secure:
        # The certificate is checked by those who download.
        anything = ssl.create_default_context()
        anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            address, route.port, timeout=SECONDS, context=anything
        )
    if route.tunnel:
        connection.set_tunnel(*route.tunnel, route.headers)
    try:
        with contextlib.closing(connection):
            connection.connect()
    except ssl.SSLError:
        return None
    except (OSError, http.client.HTTPException) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"{route.host} cannot be reached: {said}"
    return None
