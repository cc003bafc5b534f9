"""Downloads that resume, are verified, and appear whole or not at all.

Standard library only. Proxies come from the usual variables (``HTTPS_PROXY``, ``NO_PROXY``).
What has arrived stays in ``NAME.part`` beside the target, so that the next try, or the next
run after a crash, goes on from there.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from edgeyolo.artifact import sha256_of
from edgeyolo.errors import DownloadError, OutputError, one_line

Progress = Callable[[int, "int | None"], None]
"""Called with the bytes that are there, and the total where it is known."""

_BLOCK_BYTES = 1 << 18
_MAX_BYTES = 4 << 30
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server may take.

    Attributes:
        silence_s: Without a byte, also while connecting.
        window_s: Within every such span at least *window_bytes* must arrive.
        attempts: Connections in a row that bring nothing new before giving up.
        pause_s: Before the second attempt; grows with each.
    """

    silence_s: float = 30.0
    window_s: float = 60.0
    window_bytes: int = 64 << 10
    attempts: int = 4
    pause_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known about the content beforehand."""

    size_bytes: int | None
    sha256: str | None


class _BrokeOffError(Exception):
    """The connection ended early; trying again may help."""


class _StaleError(Exception):
    """What arrived earlier does not belong to what the server has now."""


def download(
    url: str,
    target: Path,
    expected: Expected,
    *,
    patience: Patience | None = None,
    progress: Progress = lambda _done, _total: None,
) -> str:
    """Fetch *url* into *target*, going on from an earlier try where there is one.

    Callers that may run at the same time must hold a lock of their own.

    Returns:
        SHA-256 of the file, equal to ``expected.sha256`` where that is given.

    Raises:
        DownloadError: Offline, refused, too slow, or other content than expected. What arrived
            is kept for the next try unless it is wrong.
        OutputError: The file cannot be written.
    """
    transfer = _Transfer(url, target, expected, patience or Patience(), progress)
    try:
        return transfer.run()
    except OSError as error:
        raise OutputError(f"cannot write {target}: {one_line(error.strerror or error)}") from error


class _Transfer:
    def __init__(
        self, url: str, target: Path, expected: Expected, patience: Patience, progress: Progress
    ) -> None:
        self._url = url
        self._target = target
        self._part = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self._expected = expected
        self._patience = patience
        self._progress = progress
        self._connections = 0

    def run(self) -> str:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if not self._may_resume():
            self._discard()
        pieced = self._have() > 0
        for last in (False, True):
            self._connections = 0
            self._fetch_all()
            digest = sha256_of(self._part)
            if self._expected.sha256 in (None, digest):
                break
            self._discard()
            # A wrong piece of an earlier connection deserves one more try from the beginning.
            pieced = pieced or self._connections > 1
            if last or not pieced:
                raise DownloadError(
                    f"{self._url} has SHA-256 {digest}, expected {self._expected.sha256}: it was "
                    "corrupted on the way or is another file; nothing was kept, try again"
                )
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self._target)
        self._note.unlink(missing_ok=True)
        return digest

    def _fetch_all(self) -> None:
        """Connect until everything is there."""
        fruitless = 0
        while self._have() != self._expected.size_bytes:
            before = self._have()
            try:
                self._fetch_once()
                return
            except _StaleError:
                self._discard()
                reason = "its file changed"
            except _BrokeOffError as error:
                reason = str(error)
            fruitless = 0 if self._have() > before else fruitless + 1
            if fruitless >= self._patience.attempts:
                raise DownloadError(
                    f"downloading {self._url} failed {fruitless} times: {reason}; "
                    f"{self._have():,} bytes are kept, the next try goes on from there"
                )
            time.sleep(self._patience.pause_s * fruitless)

    def _fetch_once(self) -> None:
        """One connection, to the end of the content."""
        have = self._have()
        self._connections += 1
        with self._connect(have) as response:
            if response.status == 200 and have:
                have = 0  # the server ignores ranges
            total = self._total(response, have)
            self._check_space(total, have)
            self._remember(response)
            with self._part.open("r+b" if have else "wb") as file:
                file.seek(have)
                file.truncate()
                done = self._copy(response, file, have, total)
        if total is not None and done < total:
            raise _BrokeOffError(f"the connection ended after {done:,} of {total:,} bytes")

    def _copy(
        self, response: http.client.HTTPResponse, file: IO[bytes], done: int, total: int | None
    ) -> int:
        limit = total if total is not None else self._expected.size_bytes or _MAX_BYTES
        window_end, window_done = time.monotonic() + self._patience.window_s, done
        while True:
            self._progress(done, total)
            try:
                block = response.read1(_BLOCK_BYTES)
            except TimeoutError:
                raise _BrokeOffError(f"no data for {self._patience.silence_s:g} s") from None
            except (http.client.HTTPException, OSError) as error:
                raise _BrokeOffError(one_line(error)) from error
            if not block:
                return done
            done += len(block)
            if done > limit:
                raise DownloadError(f"{self._url} sends more than the expected {limit:,} bytes")
            file.write(block)
            if time.monotonic() > window_end:
                if done - window_done < self._patience.window_bytes:
                    raise _BrokeOffError(
                        f"only {done - window_done:,} bytes in {self._patience.window_s:g} s"
                    )
                window_end, window_done = time.monotonic() + self._patience.window_s, done

    # The connection

    def _connect(self, have: int) -> http.client.HTTPResponse:
        headers = {"User-Agent": "edgeyolo", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if tag := self._noted().get("etag"):
                headers["If-Range"] = tag
        request = urllib.request.Request(self._url, headers=headers)
        opener = urllib.request.build_opener(CarefulRedirects)
        try:
            response: http.client.HTTPResponse = opener.open(
                request, timeout=self._patience.silence_s
            )
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refused(error) from error
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from error
        except TimeoutError:
            raise _BrokeOffError(f"no answer for {self._patience.silence_s:g} s") from None
        except ValueError as error:
            raise DownloadError(
                f"{self._url} is, or redirects to, no valid address: {one_line(error)}"
            ) from error
        except (http.client.HTTPException, OSError) as error:
            raise _BrokeOffError(one_line(error)) from error
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise DownloadError(f"{self._url} is sent compressed, which was not asked for")
        return response

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        if error.code == 416:
            return _StaleError()
        answer = f"{error.code} {one_line(error.reason or '', 200)}".strip()
        if error.code >= 500 or error.code in (408, 429):
            return _BrokeOffError(f"the server answered {answer}")
        return DownloadError(f"cannot download {self._url}: the server answered {answer}")

    def _unreachable(self, reason: object) -> Exception:
        text = one_line(str(reason) or type(reason).__name__)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return DownloadError(
                f"cannot download {self._url}: the server's certificate is not trusted ({text}); "
                "behind an inspecting proxy, name its authority in SSL_CERT_FILE"
            )
        if isinstance(reason, (TimeoutError, ConnectionResetError)):
            return _BrokeOffError(text)
        scheme = urlsplit(self._url).scheme
        proxy = "is set" if scheme in urllib.request.getproxies() else "is not set"
        return DownloadError(
            f"cannot reach {urlsplit(self._url).hostname} ({text}): offline, or a proxy is needed "
            f"({scheme.upper()}_PROXY {proxy}); fetch {self._url} elsewhere and give the path of "
            f"the file instead of its name, or put it at {self._target}"
        )

    def _total(self, response: http.client.HTTPResponse, have: int) -> int | None:
        """Size of the whole content, checked against what was expected."""
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        if response.status == 206:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != have:
                raise _StaleError
            total = int(match[3]) if match[3] != "*" else total
        elif response.status != 200:
            raise DownloadError(f"{self._url}: unexpected answer {response.status}")
        size_bytes = self._expected.size_bytes
        if total is not None and size_bytes is not None and total != size_bytes:
            raise DownloadError(
                f"{self._url} has {total:,} bytes, expected {size_bytes:,}: it is another file"
            )
        if total is not None and total > _MAX_BYTES:
            raise DownloadError(f"{self._url} has {total:,} bytes; no weights are that large")
        return total if total is not None else size_bytes

    def _check_space(self, total: int | None, have: int) -> None:
        free_bytes = shutil.disk_usage(self._target.parent).free
        if total is not None and total - have > free_bytes:
            raise OutputError(
                f"{self._target.parent} has {free_bytes:,} bytes free, "
                f"{total - have:,} more are needed; set EDGEYOLO_CACHE to a larger disk"
            )

    # What is there already

    def _have(self) -> int:
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0

    def _may_resume(self) -> bool:
        """Whether the part on disk can belong to this URL and be proven right in the end."""
        noted = self._noted()
        size_bytes = self._expected.size_bytes
        return (
            noted.get("url") == self._url
            and (self._expected.sha256 is not None or "etag" in noted)
            and (size_bytes is None or self._have() <= size_bytes)
        )

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _remember(self, response: http.client.HTTPResponse) -> None:
        note = {"url": self._url}
        tag = response.headers.get("ETag", "")
        if tag.startswith('"'):  # weak tags do not identify bytes
            note["etag"] = tag
        self._note.write_text(json.dumps(note), encoding="utf-8")

    def _noted(self) -> dict[str, str]:
        try:
            data = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(data, dict):
            return {}
        return {key: value for key, value in data.items() if isinstance(value, str)}


class CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects to HTTP(S), never from HTTPS to HTTP."""

    max_redirections = 8

    def http_error_302(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
    ) -> http.client.HTTPResponse | None:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except (ValueError, DownloadError):
            fp.close()  # urllib leaves it open where the new address is no good
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise DownloadError(
                f"{req.full_url} redirects to {newurl[:200]!r}; "
                f"going from {old} to {new} is refused"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
