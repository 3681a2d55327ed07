"""A model hub on loopback: speaks what `rants pull` needs of the real one's protocol, and fails on demand."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from programs.backends.catalogue import Weights

_RESOLVE = re.compile(r"(?:/datasets)?/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_CODES = {401: "GatedRepo", 404: "EntryNotFound"}


@dataclass(frozen=True)
class Asked:
    """One request that arrived. `place` is `hub`, which describes a file, or `cdn`, which sends its bytes."""

    method: str
    place: str
    range: str | None
    authorization: str | None


class Hub:
    """Holds one file, of a model or of a dataset; runs inside `with`.

    Set before or between requests:
        sends: the bytes that are sent, where they are not the file's own.
        status: answer everything with this status.
        cut_at: send the next file only up to this byte, once.
        status_after_cut: what `status` becomes at that moment.
        token: whoever does not send this one gets a 401.
    """

    def __init__(self, weights: Weights, content: bytes) -> None:
        self.weights, self.content = weights, content
        self.sends: bytes = content
        self.status: int | None = None
        self.cut_at: int | None = None
        self.status_after_cut: int | None = None
        self.token: str | None = None
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request for the file's bytes."""
        return [asked.range for asked in self.asked if asked.method == "GET" and asked.place == "cdn"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer()

            def do_GET(self) -> None:
                self._answer()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing: the tests look at `asked`."""

            def _answer(self) -> None:
                place = "cdn" if self.path.startswith("/cdn/") else "hub"
                authorization = self.headers["Authorization"]
                hub.asked.append(Asked(self.command, place, self.headers["Range"], authorization))
                if place == "cdn":
                    self._file()
                elif hub.status:
                    self._refuse(hub.status)
                elif hub.token and authorization != f"Bearer {hub.token}":
                    self._refuse(401)
                else:
                    self._describe()

            def _describe(self) -> None:
                asked = _RESOLVE.fullmatch(self.path)
                weights = hub.weights
                if not asked or asked.group("repo", "revision", "file") != (
                    weights.repo,
                    weights.revision,
                    weights.file,
                ):
                    self._refuse(404)
                    return
                self.send_response(302)
                self.send_header("X-Repo-Commit", weights.revision)
                self.send_header("X-Linked-Size", str(len(hub.content)))
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(hub.content).hexdigest()}"')
                self.send_header("ETag", '"a-pointer-s-own"')
                # Another host name, as the real hub's files are on one.
                self.send_header("Location", f"http://localhost:{hub.port}/cdn/{weights.file}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _file(self) -> None:
                start = 0
                if (asked := self.headers["Range"]) and (found := re.fullmatch(r"bytes=(\d+)-", asked)):
                    start = int(found[1])
                    if start >= len(hub.sends):
                        self._refuse(416)
                        return
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(hub.sends) - 1}/{len(hub.sends)}")
                else:
                    self.send_response(200)
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(hub.sends) - start))
                self.end_headers()
                end, hub.cut_at = hub.cut_at, None
                if end is not None:
                    hub.status = hub.status_after_cut
                # The connection ends with this answer, so a short one is a cut one.
                self.wfile.write(hub.sends[start:end])

            def _refuse(self, status: int) -> None:
                self.send_response(status)
                if status in _CODES:
                    self.send_header("X-Error-Code", _CODES[status])
                self.send_header("Content-Length", "0")
                self.end_headers()

        return Handler
