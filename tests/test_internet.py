"""Whether a server can be reached: known within seconds, whatever it does."""

import socket
import time

import pytest

from keras_classics import internet
from keras_classics.internet import why_unreachable
from tests.helpers import servers

# A deadline for tests on a busy machine; what it cuts short waits for minutes elsewhere.
DEADLINE = 0.5


@pytest.fixture(autouse=True)
def own_network(monkeypatch):
    """No proxy of the machine's, and a short deadline."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(internet, "SECONDS", DEADLINE)


def test_a_server_that_answers():
    with servers.in_trouble() as url:
        assert why_unreachable(f"{url}/file") is None


def test_a_name_that_is_unknown():
    assert why_unreachable("https://x.invalid/a") == "the name x.invalid cannot be resolved"
    assert "cannot be resolved" in why_unreachable(f"https://{'a' * 70}.invalid/a")


def test_a_closed_port():
    assert why_unreachable("http://127.0.0.1:9/a") == (
        "127.0.0.1 cannot be reached: Connection refused"
    )


@pytest.mark.parametrize("server", [servers.swallowing, servers.silent])
def test_a_server_that_says_nothing(server):
    with server() as url:
        start = time.perf_counter()
        assert "127.0.0.1" in why_unreachable(url.replace("http:", "https:"))
        assert time.perf_counter() - start < 10 * DEADLINE


def test_a_look_up_that_does_not_end(monkeypatch):
    def never(*_, **__):
        time.sleep(5)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", never)
    assert why_unreachable("http://a.example/b") == "a.example does not answer within 0.5 seconds"


def test_one_address_of_several_that_answers(monkeypatch):
    with servers.in_trouble() as url, servers.swallowing():
        port = int(url.rpartition(":")[2])
        kind = socket.SOCK_STREAM
        # 240.0.0.0/4 is reserved: no packet comes back, or none can be sent.
        found = [
            (socket.AF_INET, kind, 6, "", (address, port)) for address in ("240.0.0.1", "127.0.0.1")
        ]
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *_, **__: [row for row in found if host in ("a.example", row[4][0])],
        )
        assert why_unreachable(f"http://a.example:{port}/b") is None


@pytest.mark.parametrize("url", ["weights.example", "htp://x", "http://[", "http://x:y/", ""])
def test_what_is_no_url_is_left_to_others(url):
    assert why_unreachable(url) is None


def test_a_proxy_is_asked_instead(monkeypatch):
    with servers.in_trouble() as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("https_proxy", proxy.replace("http://", "http://name:word@"))
        # What the proxy says of a file is for those who ask for the file.
        assert why_unreachable("http://weights.invalid/a") is None
        assert "503 Service Unavailable" in why_unreachable("https://weights.invalid/a")
        monkeypatch.setenv("no_proxy", "weights.invalid")
        assert "cannot be resolved" in why_unreachable("https://weights.invalid/a")
    monkeypatch.setenv("http_proxy", "proxy.invalid:3128")
    assert "proxy.invalid cannot be resolved" in why_unreachable("http://weights.example/a")
