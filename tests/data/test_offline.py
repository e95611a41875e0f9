"""Data sets that cannot be downloaded: one line within seconds, with what works instead."""

import contextlib
import time

import pytest
import tensorflow_datasets as tfds

from keras_classics import internet
from keras_classics.data import builders, load
from keras_classics.errors import UserError
from tests.helpers import servers

# MNIST over https, Fashion-MNIST over http, CIFAR-10 from an archive.
NAMES = ("mnist", "fashion_mnist", "cifar10")


@contextlib.contextmanager
def refusing():
    yield "http://127.0.0.1:9"


PROXIES = {
    "refuses": refusing,
    "answers 503": servers.in_trouble,
    "swallows packets": servers.swallowing,
}


@pytest.fixture(params=PROXIES)
def proxy(request, monkeypatch):
    """The only way to other machines is a proxy that does not lead there."""
    for name in ("all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with PROXIES[request.param]() as url:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, url)
        yield url


@pytest.mark.parametrize("name", NAMES)
def test_within_seconds(name, proxy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(internet, "SECONDS", 1.0)
    start = time.perf_counter()
    with pytest.raises(UserError) as failure:
        load(name, str(tmp_path))
    assert time.perf_counter() - start < 5
    message = str(failure.value)
    assert "\n" not in message
    assert f"{name} is not in {tmp_path / name}" in message
    assert "--dataset=digits" in message
    assert "'make data'" in message
    assert "--smoke" in message
    assert f"'keras-classics prepare --dataset={name} --from=PATH --data_dir={tmp_path}'" in message
    assert ("cifar-10-binary.tar.gz elsewhere and save it in" in message) == (name == "cifar10")
    assert capsys.readouterr() == ("", "")


def test_addresses_are_whole(tmp_path, monkeypatch):
    url = "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz"
    reason = f"{'words ' * 70}of {url} which is far away"

    def refuse(asked: str) -> str:
        return reason

    monkeypatch.setattr(builders, "why_unreachable", refuse)
    with pytest.raises(UserError) as failure:
        load("mnist", str(tmp_path))
    assert "https" not in str(failure.value).replace(url, "")


def test_downloads_are_asked_for_as_before(tmp_path):
    downloader = tfds.core.download.downloader
    before = downloader._open_url, downloader.MAX_RETRIES
    with builders._asking_only_servers_that_answer():
        assert downloader._open_url is not before[0]
    assert (downloader._open_url, downloader.MAX_RETRIES) == before


def test_sets_of_photographs_name_other_ways(tmp_path):
    with pytest.raises(UserError, match="image-net.org.*--dataset=folder:PATH.*--smoke") as failure:
        load("imagenet2012", str(tmp_path), encoded=True)
    assert "digits" not in str(failure.value)


def test_a_file_from_elsewhere_is_found(tmp_path):
    (tmp_path / "downloads" / "manual").mkdir(parents=True)
    (tmp_path / "downloads" / "manual" / "cifar-10-binary.tar.gz").write_bytes(b"another file")
    with pytest.raises(UserError, match="cifar-10-binary.tar.gz, has wrong checksum"):
        load("cifar10", str(tmp_path))


def test_a_slow_server_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(internet, "SECONDS", 0.5)
    monkeypatch.setattr(builders, "SECONDS", 0.5)
    manager = tfds.download.DownloadManager(download_dir=tmp_path)
    with servers.serving(servers.Slow) as url, builders._asking_only_servers_that_answer():
        assert manager.download(f"{url}/file").read_text() == "content"
