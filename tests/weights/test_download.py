"""Downloads from a local server that behaves well, badly, slowly, or not at all."""

import hashlib
import http.server
import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights import download
from keras_classics.weights.download import RemoteFile

CONTENT = np.random.default_rng(0).bytes(300_000)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Host(http.server.ThreadingHTTPServer):
    """Answers each request with the next of its `plays`, then always with the last.

    Attributes:
        plays: `"complete"`; a number of bytes after which the connection ends; an HTTP status;
            `"stall"`; or `"other"` for another file.
        stalling: Set once it has stalled.
        ranges: Whether it gives parts of a file.
        asked: Path and range of each request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.plays = ["complete"]
        self.ranges = True
        self.asked = []
        self.stalling = threading.Event()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        """Ignores clients that disconnect, which some tests do."""


class Answer(http.server.BaseHTTPRequestHandler):
    server: Host

    def do_GET(self):
        host, wanted = self.server, self.headers["Range"]
        host.asked.append((self.path, wanted))
        play = host.plays.pop(0) if len(host.plays) > 1 else host.plays[0]
        content = CONTENT[::-1] if play == "other" else CONTENT
        if isinstance(play, int) and 300 < play < 600:
            self.send_error(play)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and host.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if play == "stall":
            self.wfile.write(content[start : start + 1000])
            host.stalling.set()
            host.closing.wait()
            return
        end = start + play if isinstance(play, int) else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_):
        """Logs nothing."""


@pytest.fixture
def host(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv(download.MIRROR, raising=False)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.5)
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def remote(host: Host, digest: str = DIGEST) -> RemoteFile:
    return RemoteFile("weights.bin", f"{host.url}/far/away.bin", digest)


def cached(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "models").iterdir() if not p.name.endswith(".lock"))


def assert_fails(host: Host, message: str, tmp_path: Path, digest: str = DIGEST) -> None:
    with pytest.raises(UserError, match=message) as failure:
        remote(host, digest).fetch()
    text = str(failure.value)
    assert "\n" not in text
    assert f"Download {host.url}/far/away.bin yourself" in text
    assert f"save it as {tmp_path / 'models' / 'weights.bin'}" in text
    assert "weights.bin" not in cached(tmp_path)


def test_a_file_is_downloaded_once(host, tmp_path):
    path = remote(host).fetch()
    assert path == tmp_path / "models" / "weights.bin"
    assert path.read_bytes() == CONTENT
    assert remote(host).fetch() == path
    assert host.asked == [("/far/away.bin", None)]


def test_the_first_digits_of_a_hash_and_md5(host):
    remote(host, DIGEST[: len("sha256:") + 8]).fetch()
    remote(host, "md5:" + hashlib.md5(CONTENT).hexdigest()).fetch()
    assert len(host.asked) == 1


def test_a_dropped_connection_resumes_where_it_ended(host):
    host.plays = [100_000, 70_000, "complete"]
    assert remote(host).fetch().read_bytes() == CONTENT
    assert [wanted for _, wanted in host.asked] == [None, "bytes=100000-", "bytes=170000-"]


def test_a_host_without_ranges_is_asked_for_the_whole_file(host):
    host.plays, host.ranges = [100_000, "complete"], False
    assert remote(host).fetch().read_bytes() == CONTENT


def test_a_host_that_drops_each_time(host, tmp_path):
    host.plays = [10_000]
    assert_fails(host, r"the connection ended after 40,000 of 300,000 bytes", tmp_path)
    # What came is not lost.
    host.plays = ["complete"]
    assert remote(host).fetch().read_bytes() == CONTENT
    assert host.asked[-1][1] == "bytes=40000-"


def test_a_host_that_stalls(host, tmp_path):
    host.plays = ["stall"]
    assert_fails(host, "timed out", tmp_path)
    host.plays = ["stall", "complete"]
    assert remote(host).fetch().read_bytes() == CONTENT


def test_a_host_in_trouble_is_asked_again(host):
    host.plays = [503, 500, "complete"]
    assert remote(host).fetch().read_bytes() == CONTENT


def test_a_file_that_is_not_there(host, tmp_path):
    host.plays = [404]
    assert_fails(host, "HTTP Error 404: Not Found", tmp_path)
    assert len(host.asked) == 1


def test_another_file_is_not_kept(host, tmp_path):
    host.plays = ["other"]
    assert_fails(host, f"hash that begins with {DIGEST}. Received: another file", tmp_path)
    assert cached(tmp_path) == []


def test_a_part_of_another_file_is_discarded(host, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / ".aside-weights.bin").write_bytes(b"x" * 1000)
    assert remote(host).fetch().read_bytes() == CONTENT
    assert [wanted for _, wanted in host.asked] == ["bytes=1000-", None]


def test_a_part_that_is_complete(host, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / ".aside-weights.bin").write_bytes(CONTENT)
    assert remote(host).fetch().read_bytes() == CONTENT


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, len(CONTENT) - 1), cut=st.booleans())
def test_a_file_that_was_tampered_with_is_fetched_again(host, tmp_path, place, cut):
    path = remote(host).fetch()
    changed = bytearray(CONTENT)
    changed[place] ^= 1
    path.write_bytes(CONTENT[:place] if cut else changed)
    assert remote(host).fetch().read_bytes() == CONTENT


def test_a_mirror_takes_the_place_of_the_host(host, monkeypatch, tmp_path):
    monkeypatch.setenv(download.MIRROR, f"{host.url}/mirror/")
    file = RemoteFile("weights.bin", "http://weights.invalid/away.bin", DIGEST)
    assert file.fetch().read_bytes() == CONTENT
    assert host.asked == [("/mirror/weights.bin", None)]


@pytest.mark.parametrize("mirror", ["weights.example", "htp://x"])
def test_a_mirror_that_is_no_url(host, monkeypatch, mirror):
    monkeypatch.setenv(download.MIRROR, mirror)
    with pytest.raises(UserError, match="unknown url type"):
        remote(host).fetch()


@pytest.mark.parametrize("how", ["no such host", "closed port", "proxy"])
def test_no_network(host, monkeypatch, how, tmp_path):
    url = {
        "no such host": "http://weights.invalid/a.bin",
        "closed port": "http://127.0.0.1:9/a.bin",
        "proxy": "http://weights.invalid/a.bin",
    }[how]
    if how == "proxy":
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    file = RemoteFile("weights.bin", url, DIGEST)
    with pytest.raises(UserError, match=f"cannot be downloaded .* Download {url} yourself"):
        file.fetch()


def test_a_cache_that_cannot_be_written(host, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be written"):
        remote(host).fetch()


def test_a_process_that_is_killed_leaves_no_file(host, tmp_path, monkeypatch):
    host.plays = ["stall"]
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 60)
    process = multiprocessing.get_context("fork").Process(target=remote(host).fetch)
    process.start()
    part = tmp_path / "models" / ".aside-weights.bin"
    assert host.stalling.wait(timeout=60)
    # The bytes are on their way.
    while not part.exists() or part.stat().st_size < 1000:
        assert process.is_alive()
    process.kill()
    process.join()
    assert cached(tmp_path) == [".aside-weights.bin"]
    host.plays = ["complete"]
    assert remote(host).fetch().read_bytes() == CONTENT
    assert host.asked[-1][1] == "bytes=1000-"


def test_a_builder_says_in_one_line_that_there_is_no_network(run_program, tmp_path):
    done = run_program(
        "-c",
        "import keras_classics as kc; kc.resnet50(weights='imagenet')",
        KERAS_HOME=str(tmp_path),
        KERAS_CLASSICS_WEIGHTS_URL="http://127.0.0.1:9",
    )
    name = "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    last = done.stderr.strip().splitlines()[-1]
    assert f"{name} cannot be downloaded" in last
    assert f"Download http://127.0.0.1:9/{name} yourself and save it as {tmp_path}" in last


def test_a_network_from_a_mirror(host, monkeypatch, tmp_path):
    """From builder to cache, with a small network in place of a published one."""
    record = kc.find_weights("resnet50/imagenet")
    assert record.file.url.endswith(f"/{record.file.name}")
    monkeypatch.setenv(download.MIRROR, host.url)
    with pytest.raises(UserError, match="must have a hash that begins with md5:2cb95161"):
        kc.resnet50(weights="imagenet")
    assert host.asked[0][0] == f"/{record.file.name}"
    with pytest.raises(UserError, match="must have a hash that begins with md5:4d473c1d"):
        kc.resnet50(weights="imagenet", include_top=False)
    assert host.asked[-1][0] == f"/{record.file_without_top.name}"
