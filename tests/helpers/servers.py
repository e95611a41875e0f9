"""Servers on this machine that do not give what they are asked for, each in another way."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator


class InTrouble(http.server.BaseHTTPRequestHandler):
    """A server, or a proxy, that answers 503 to everything."""

    def answer(self) -> None:
        self.send_error(503)

    do_GET = do_CONNECT = answer  # noqa: N815 (http.server's names)

    def log_message(self, *_) -> None:
        """Logs nothing."""


class Slow(http.server.BaseHTTPRequestHandler):
    """A server that begins its answer after a second."""

    def do_GET(self) -> None:
        time.sleep(1)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_) -> None:
        """Logs nothing."""


@contextlib.contextmanager
def in_trouble() -> Iterator[str]:
    """A server that answers 503 to everything; gives its URL."""
    with serving(InTrouble) as url:
        yield url


@contextlib.contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on this machine; gives its URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def swallowing() -> Iterator[str]:
    """A server to which no connection can be made, and none is refused; gives its URL."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        # The queue of a server that accepts nothing is soon full; then packets are dropped.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
