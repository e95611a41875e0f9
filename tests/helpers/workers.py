"""Workers of one training or evaluation, on ports of this machine."""

import json
import socket


def worker_configs(count: int) -> list[str]:
    """Returns a TF_CONFIG for each of several workers."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    workers = [f"localhost:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    return [json.dumps({"cluster": {"worker": workers}, "task": task}) for task in tasks]
