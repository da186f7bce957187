"""A server of files on this machine that can misbehave in the ways that servers and proxies do."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server has and how it answers; may be changed between requests."""

    content: bytes
    etag: str | None = '"first"'
    breaks_after: list[int] = field(default_factory=list)
    """Bytes of the body after which the next answers break off, one entry an answer."""
    ignores_range: bool = False
    shifts_range: int = 0
    """Bytes by which partial answers begin too late."""
    status: int | None = None
    statuses: list[int] = field(default_factory=list)
    """Answers of the next requests, before normal ones."""
    content_type: str = "application/octet-stream"
    sends_length: bool = True
    location: str | None = None
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request."""


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The address of a server that behaves so."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if self.command == "GET":
                behaviour.ranges.append(self.headers.get("Range"))
            status = behaviour.statuses.pop(0) if behaviour.statuses else behaviour.status
            if status is not None:
                self.send_response(status)
                if behaviour.location:
                    self.send_header("Location", behaviour.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send()

        def _send(self) -> None:
            content, start = behaviour.content, 0
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range")
            if wanted and not behaviour.ignores_range and condition in (None, behaviour.etag):
                start = int(wanted[1]) + behaviour.shifts_range
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Type", behaviour.content_type)
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            if behaviour.sends_length:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if self.command == "HEAD":
                return
            limit = behaviour.breaks_after.pop(0) if behaviour.breaks_after else len(content)
            self.wfile.write(content[start:][:limit])
            self.wfile.flush()
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
