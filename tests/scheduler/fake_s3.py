"""As much of S3's protocol as an archive speaks: put, head, get a range, list, delete several."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LISTED = (
    '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
    "<KeyCount>{count}</KeyCount>{contents}</ListBucketResult>"
)
ENTRY = (
    "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;1&quot;</ETag>"
    "<LastModified>2026-11-21T00:00:00.000Z</LastModified></Contents>"
)


class Bucket(dict[str, bytes]):
    """What is stored, by key."""

    url = ""
    name = "archive"


@contextmanager
def running() -> Iterator[Bucket]:
    """A bucket that listens on a port of this machine."""
    bucket = Bucket()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing is logged."""

        def key(self) -> str:
            return unquote(urlsplit(self.path).path).removeprefix(f"/{bucket.name}").lstrip("/")

        def body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            else:
                raw = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    raw += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
                return raw
            content = b""
            while raw:
                head, _, raw = raw.partition(b"\r\n")
                size = int(head.split(b";")[0], 16)
                if not size:
                    break
                content, raw = content + raw[:size], raw[size + 2 :]
            return content

        def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            for name, value in (
                {"Content-Length": str(len(content)), "ETag": '"1"'} | named
            ).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_PUT(self) -> None:
            bucket[self.key()] = self.body()
            self.answer(200)

        def do_HEAD(self) -> None:
            stored = bucket.get(self.key())
            if stored is None and self.key():
                self.answer(404)
            else:
                size = str(len(stored or b""))
                modified = "Sat, 21 Nov 2026 00:00:00 GMT"
                self.answer(200, Content_Length=size, Last_Modified=modified)

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            if not self.key():
                prefix = asked.get("prefix", [""])[0]
                found = [(k, v) for k, v in sorted(bucket.items()) if k.startswith(prefix)]
                entries = "".join(ENTRY.format(key=k, size=len(v)) for k, v in found)
                self.answer(200, LISTED.format(count=len(found), contents=entries).encode())
                return
            stored = bucket[self.key()]
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if span is None:
                self.answer(200, stored)
            else:
                first, last = int(span[1]), int(span[2] or len(stored) - 1)
                where = f"bytes {first}-{last}/{len(stored)}"
                self.answer(206, stored[first : last + 1], Content_Range=where)

        def do_POST(self) -> None:
            for key in re.findall(r"<Key>(.*?)</Key>", self.body().decode()):
                bucket.pop(key, None)
            self.answer(200, b'<?xml version="1.0"?><DeleteResult></DeleteResult>')

        def do_DELETE(self) -> None:
            bucket.pop(self.key(), None)
            self.answer(204)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
