"""A server that answers as the Hugging Face hub does, as far as downloads of models need it."""

import contextlib
import hashlib
import http.server
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.helpers.servers import serving

COMMIT = "c0ffee" + "0" * 34

INFO = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)(/revision/(?P<revision>[^?]+))?")
FILE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>[^?]+)")


@dataclass
class Hub:
    """What a server has.

    Attributes:
        url: Its URL.
        repositories: By name, the content of each file.
        revisions: The branches, tags and commits that each repository has.
        gated: Repositories whose files nobody gets, with the status of the answer.
        damaged: Files of which other content arrives, of the same length.
        status: If set, the status of every answer.
        asked: Method and path of each request.
    """

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    revisions: tuple[str, ...] = ("main", "v1", COMMIT)
    gated: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    status: int | None = None
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """Serves what is put into the result."""
    hub = Hub()

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            info, file = INFO.fullmatch(self.path.partition("?")[0]), FILE.fullmatch(self.path)
            found = info or file
            if hub.status or not found:
                return self.refuse(hub.status or 404, "")
            files = hub.repositories.get(found["repository"])
            if files is None:
                return self.refuse(401, "RepoNotFound")
            if (found["revision"] or "main").replace("%2F", "/") not in hub.revisions:
                return self.refuse(404, "RevisionNotFound")
            if info:
                siblings = [{"rfilename": name} for name in files]
                content = {"id": found["repository"], "sha": COMMIT, "siblings": siblings}
                return self.give(json.dumps(content).encode(), {})
            if found["repository"] in hub.gated:
                return self.refuse(hub.gated[found["repository"]], "GatedRepo")
            if file["file"] not in files:
                return self.refuse(404, "EntryNotFound")
            content = files[file["file"]]
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            if file["file"] in hub.damaged:
                content = bytes(len(content))
            return self.give(content, headers)

        do_GET = do_HEAD = answer  # noqa: N815 (http.server's names)

        def give(self, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            for name, value in {"X-Error-Code": code, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_) -> None:
            """Logs nothing."""

    with serving(Answer) as hub.url:
        yield hub
