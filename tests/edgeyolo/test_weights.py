"""Official weights arrive whole and verified, whatever the server, the network or the cache do."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from edgeyolo.cli.options import WeightsFile
from edgeyolo.cli.weights_command import command
from edgeyolo.download import CarefulRedirects, Patience
from edgeyolo.embedded import DEMO_NAME, checkpoint_path
from edgeyolo.errors import CheckpointError, DownloadError, EdgeYoloError, OutputError
from edgeyolo.models.zoo import VARIANTS
from edgeyolo.weights import cache_folder, cached_path, fetch, find_weights, resolve_weights
from edgeyolo.weights_catalog import ALIASES, OFFICIAL_WEIGHTS, OfficialWeights, license_of

ROOT = Path(__file__).resolve().parents[2]
QUICK = Patience(silence_s=0.5, window_s=0.4, window_bytes=2000, attempts=3, pause_s=0.01)


def checkpoint_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": {"a.weight": torch.arange(300_000, dtype=torch.float32)}}, buffer)
    return buffer.getvalue()


CONTENT = checkpoint_bytes()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under the path that names how it misbehaves; notes every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.failures_left = 0
        self.tag = '"one"'
        self.content = CONTENT
        self.released = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are part of the tests

    def url(self, how: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{how}/weights.pt"


class Handler(BaseHTTPRequestHandler):
    """One way of misbehaving per path."""

    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:  # the name that http.server calls
        range_header = self.headers.get("Range")
        self.server.requests.append((self.path, range_header))
        how = self.path.split("/")[-2]
        getattr(self, f"serve_{how}")(range_header)

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def first_time(self) -> bool:
        self.server.failures_left -= 1
        return self.server.failures_left >= 0

    def serve_good(self, wanted: str | None, content: bytes | None = None) -> None:
        content = self.server.content if content is None else content
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(content):
            self.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        stale = self.headers.get("If-Range") not in (None, self.server.tag)
        if not wanted or stale:
            self.head(200, Content_Length=len(content), ETag=self.server.tag)
            self.wfile.write(content)
            return
        self.head(
            206,
            Content_Length=len(content) - start,
            Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}",
            ETag=self.server.tag,
        )
        self.wfile.write(content[start:])

    def serve_truncates(self, wanted: str | None) -> None:
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        stop = min(start + 400_000, len(CONTENT))
        self.head(
            206 if wanted else 200,
            Content_Length=len(CONTENT) - start,
            Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}",
            ETag=self.server.tag,
        )
        self.wfile.write(CONTENT[start:stop])
        self.close_connection = True

    def serve_ignores_range(self, _: str | None) -> None:
        if self.first_time():
            self.head(200, Content_Length=len(CONTENT))
            self.wfile.write(CONTENT[:500_000])
            return
        self.head(200, Content_Length=len(CONTENT))
        self.wfile.write(CONTENT)

    def serve_wrong_range(self, wanted: str | None) -> None:
        if not wanted and self.first_time():
            self.head(200, Content_Length=len(CONTENT))
            self.wfile.write(CONTENT[:500_000])
        elif wanted:
            self.head(206, Content_Length=10, Content_Range=f"bytes 3-12/{len(CONTENT)}")
            self.wfile.write(CONTENT[3:13])
        else:
            self.serve_good(None)

    def serve_stalls(self, wanted: str | None) -> None:
        if not self.first_time():
            self.serve_good(wanted)
            return
        self.head(200, Content_Length=len(CONTENT))
        self.wfile.write(CONTENT[:300_000])
        self.wfile.flush()
        self.server.released.wait(20)

    def serve_silent(self, _: str | None) -> None:
        self.server.released.wait(20)

    def serve_drips(self, _: str | None) -> None:
        self.head(200, Content_Length=len(CONTENT))
        with contextlib.suppress(OSError):
            for place in range(0, 2000, 10):
                self.wfile.write(CONTENT[place : place + 10])
                self.wfile.flush()
                time.sleep(0.02)

    def serve_corrupts(self, wanted: str | None) -> None:
        altered = bytearray(CONTENT)
        altered[len(altered) // 2] ^= 1
        self.serve_good(wanted, bytes(altered))

    def serve_corrupts_once(self, wanted: str | None) -> None:
        if self.first_time():
            self.head(200, Content_Length=len(CONTENT))
            self.wfile.write(b"\0" * 500_000)
            return
        self.serve_good(wanted)

    def serve_other_size(self, _: str | None) -> None:
        self.serve_good(None, CONTENT + b"more")

    def serve_claims_more(self, _: str | None) -> None:
        self.head(200, Content_Length=2**50)
        self.wfile.write(CONTENT)

    def serve_claims_less(self, _: str | None) -> None:
        self.head(200, Content_Length=100)
        self.wfile.write(CONTENT)

    def serve_no_length(self, _: str | None) -> None:
        self.head(200)
        self.wfile.write(CONTENT)

    def serve_endless(self, _: str | None) -> None:
        self.head(200)
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(1 << 16))

    def serve_compressed(self, _: str | None) -> None:
        self.head(200, Content_Length=len(CONTENT), Content_Encoding="gzip")

    def serve_web_page(self, wanted: str | None) -> None:
        self.serve_good(wanted, b"<!DOCTYPE html><title>Sign in</title>" + b" " * 2000)

    def serve_redirects(self, _: str | None) -> None:
        self.head(302, Location=self.path.replace("redirects", "good"), Content_Length=0)

    def serve_circle(self, _: str | None) -> None:
        self.head(302, Location=self.path, Content_Length=0)

    def serve_far(self, _: str | None) -> None:
        self.head(302, Location=f"/far/weights.pt?{len(self.server.requests)}", Content_Length=0)

    def serve_to_file(self, _: str | None) -> None:
        self.head(302, Location="file:///etc/passwd", Content_Length=0)

    def serve_to_ftp(self, _: str | None) -> None:
        self.head(302, Location="ftp://127.0.0.1/weights.pt", Content_Length=0)

    def serve_to_nonsense(self, _: str | None) -> None:
        self.head(302, Location="http://[::1/weights.pt", Content_Length=0)

    def serve_missing(self, _: str | None) -> None:
        self.send_error(404)

    def serve_busy(self, wanted: str | None) -> None:
        if self.first_time():
            self.send_error(503)
        else:
            self.serve_good(wanted)

    def serve_noise(self, _: str | None) -> None:
        self.wfile.write(b"\xff\xfe this is no HTTP\r\n\r\n")
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.released.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own, and no proxy of the machine's."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGEYOLO_CACHE", str(folder))
    return folder


def entry(
    url: str, *, size: int | None = len(CONTENT), sha256: str | None = DIGEST
) -> OfficialWeights:
    return OfficialWeights(
        name="test", release="test-1", url=url, size_bytes=size, sha256=sha256, license="MIT"
    )


def get(server: Server, how: str, *, failures: int = 0, **known: Any) -> Path:
    server.failures_left = failures
    return fetch(entry(server.url(how), **known), patience=QUICK)


def leftovers(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*") if path.is_file()} - {"weights.pt.lock"}


def test_a_sound_file_arrives_and_is_not_fetched_again(server: Server, cache: Path) -> None:
    path = get(server, "good")
    assert path.read_bytes() == CONTENT
    assert path == cache / "weights" / "test-1" / "weights.pt"
    assert get(server, "good") == path
    assert len(server.requests) == 1
    assert leftovers(cache) == {"weights.pt"}


@pytest.mark.parametrize(
    ("how", "failures"),
    [
        ("truncates", 0),
        ("ignores_range", 1),
        ("wrong_range", 1),
        ("stalls", 1),
        ("corrupts_once", 1),
        ("no_length", 0),
        ("redirects", 0),
        ("busy", 2),
    ],
)
def test_what_a_second_try_can_mend_is_mended(
    server: Server, cache: Path, how: str, failures: int
) -> None:
    assert get(server, how, failures=failures).read_bytes() == CONTENT
    assert leftovers(cache) == {"weights.pt"}


REFUSED = {
    "silent": "no (answer|data) for 0.5 s|timed out",
    "drips": r"only \d+ bytes in 0.4 s",
    "corrupts": "SHA-256 [0-9a-f]{64}, expected",
    "other_size": "has 1,.* bytes, expected",
    "claims_more": "has 1,125,899,906,842,624 bytes, expected",
    "claims_less": "has 100 bytes, expected",
    "endless": "sends more than the expected",
    "compressed": "compressed",
    "web_page": "bytes, expected",
    "circle": "infinite loop",
    "far": "infinite loop|redirect",
    "to_file": "is not allowed",
    "to_ftp": "from http to ftp is refused",
    "to_nonsense": "no valid address",
    "missing": "answered 404",
    "noise": "failed 3 times",
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_cannot_be_mended_is_one_line_and_never_a_file(
    server: Server, cache: Path, how: str
) -> None:
    with pytest.raises(DownloadError, match=REFUSED[how]) as raised:
        get(server, how)
    assert "\n" not in str(raised.value)
    assert "weights.pt" not in leftovers(cache)


def test_https_never_goes_on_as_http() -> None:
    request = urllib.request.Request("https://example.org/weights.pt")
    with pytest.raises(DownloadError, match="from https to http is refused"):
        CarefulRedirects().redirect_request(
            request,
            io.BytesIO(),
            302,
            "Found",
            HTTPMessage(),
            "http://example.org/weights.pt",
        )


def test_the_next_run_goes_on_where_the_last_one_stopped(server: Server, cache: Path) -> None:
    server.failures_left = 2
    with pytest.raises(DownloadError, match="300,000 bytes are kept"):
        fetch(
            entry(server.url("stalls")),
            patience=Patience(silence_s=0.2, attempts=1, pause_s=0.0),
        )
    assert leftovers(cache) == {"weights.pt.part", "weights.pt.part.json"}
    before = len(server.requests)
    assert get(server, "stalls").read_bytes() == CONTENT
    assert server.requests[before:] == [("/stalls/weights.pt", "bytes=300000-")]


def test_a_part_of_another_file_is_not_built_upon(server: Server, cache: Path) -> None:
    target = cached_path(entry(server.url("good")))
    target.parent.mkdir(parents=True)
    part = target.with_name("weights.pt.part")
    part.write_bytes(b"x" * 1000)
    # Of another URL: thrown away at once.
    assert get(server, "good").read_bytes() == CONTENT
    assert server.requests == [("/good/weights.pt", None)]
    target.unlink()
    # Of this URL but wrong: found out by the digest, then fetched from the beginning.
    part.write_bytes(b"x" * 1000)
    target.with_name("weights.pt.part.json").write_text(json.dumps({"url": server.url("good")}))
    assert get(server, "good").read_bytes() == CONTENT
    assert server.requests[1:] == [("/good/weights.pt", "bytes=1000-"), ("/good/weights.pt", None)]
    assert leftovers(cache) == {"weights.pt"}


def test_a_changed_file_in_the_cache_is_replaced(server: Server) -> None:
    path = get(server, "good")
    altered = bytearray(CONTENT)
    altered[5000] ^= 1
    path.write_bytes(altered)
    assert get(server, "good").read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_trust_on_first_use_must_be_said_and_is_kept(server: Server, cache: Path) -> None:
    unknown = entry(server.url("good"), size=None, sha256=None)
    with pytest.raises(DownloadError, match=r"no digest .* --trust-first-use"):
        fetch(unknown, patience=QUICK)
    assert server.requests == []
    path = fetch(unknown, trust_first_use=True, patience=QUICK)
    assert path.read_bytes() == CONTENT
    record = json.loads((path.parent / "weights.pt.trusted.json").read_text())
    assert record == {"url": unknown.url, "sha256": DIGEST, "size_bytes": len(CONTENT)}
    # From now on it needs no flag, and other content is refused even with it.
    assert fetch(unknown, patience=QUICK) == path
    path.unlink()
    server.content = bytes(reversed(CONTENT))
    with pytest.raises(DownloadError, match=f"expected {DIGEST}"):
        fetch(unknown, trust_first_use=True, patience=QUICK)


def test_a_file_put_into_the_cache_by_hand_can_be_trusted(server: Server) -> None:
    unknown = entry(server.url("good"), size=None, sha256=None)
    target = cached_path(unknown)
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    with pytest.raises(DownloadError, match=r"no digest"):
        fetch(unknown, patience=QUICK)
    lines: list[str] = []
    assert fetch(unknown, trust_first_use=True, patience=QUICK, say=lines.append) == target
    assert lines == [f"recorded SHA-256 {DIGEST} of test"]
    assert fetch(unknown, patience=QUICK) == target
    assert server.requests == []


def test_a_sound_file_in_a_cache_that_cannot_be_written_will_do(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = get(server, "good")
    monkeypatch.setattr("edgeyolo.weights._locked", None)
    assert get(server, "good") == path


def test_a_full_disk_is_said_and_leaves_no_file(server: Server, cache: Path) -> None:
    child = os.fork()
    if child == 0:  # a limit on file size behaves like a full disk, and dies with the child
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            get(server, "good")
        except OutputError as error:
            os._exit(0 if "too large" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "weights.pt" not in leftovers(cache)
    assert get(server, "good").read_bytes() == CONTENT


@pytest.mark.parametrize("how", ["web_page", "claims_less"])
def test_first_use_trusts_no_web_page_and_no_half_file(
    server: Server, cache: Path, how: str
) -> None:
    with pytest.raises(DownloadError, match="is no checkpoint"):
        fetch(entry(server.url(how), size=None, sha256=None), trust_first_use=True, patience=QUICK)
    assert leftovers(cache) == set()


def test_without_a_digest_only_an_unchanged_file_is_resumed(server: Server) -> None:
    unknown = entry(server.url("truncates"), size=None, sha256=None)
    target = cached_path(unknown)
    target.parent.mkdir(parents=True)
    part, note = target.with_name("weights.pt.part"), target.with_name("weights.pt.part.json")
    part.write_bytes(CONTENT[:1000])
    note.write_text(json.dumps({"url": unknown.url}))  # no tag: it may have changed
    fetch(unknown, trust_first_use=True, patience=QUICK)
    assert server.requests[0] == ("/truncates/weights.pt", None)


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = closed.server_address[1]
    closed.server_close()
    with pytest.raises(DownloadError) as raised:
        fetch(entry(f"http://127.0.0.1:{port}/good/weights.pt"), patience=QUICK)
    text = str(raised.value)
    assert re.search(r"cannot reach 127.0.0.1 .*refused.*HTTP_PROXY is not set", text)
    assert str(cached_path(entry("http://x/good/weights.pt"))) in text
    with pytest.raises(DownloadError, match=r"cannot reach weights\.invalid"):
        fetch(entry("https://weights.invalid/weights.pt"), patience=QUICK)


def test_proxies_of_the_environment_are_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_address[1]}")
    path = fetch(entry("http://weights.invalid/good/weights.pt"), patience=QUICK)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("http://weights.invalid/good/weights.pt", None)]


FETCH = """
import sys
from edgeyolo.download import Patience
from edgeyolo.weights import fetch
from edgeyolo.weights_catalog import OfficialWeights
url, size, sha256 = sys.argv[1:]
weights = OfficialWeights(name="test", release="test-1", url=url, size_bytes=int(size),
                          sha256=sha256, license="MIT")
print(fetch(weights, patience=Patience(silence_s=20)))
"""


def start_fetch(server: Server, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, server.url(how), str(len(CONTENT)), DIGEST],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_want_the_same_file_fetch_it_once(server: Server) -> None:
    processes = [start_fetch(server, "good") for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert {process.returncode for process in processes} == {0}
    assert len(set(outputs)) == 1
    assert Path(outputs[0].strip()).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_killed_download_leaves_no_file_and_no_lock(server: Server, cache: Path) -> None:
    server.failures_left = 1
    process = start_fetch(server, "stalls")
    part = cached_path(entry(server.url("stalls"))).with_name("weights.pt.part")
    deadline = time.monotonic() + 30
    while not part.exists() or part.stat().st_size < 262_144:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert "weights.pt" not in leftovers(cache)
    assert get(server, "stalls").read_bytes() == CONTENT
    assert server.requests[-1][1] is not None  # it went on from the part


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("EDGEYOLO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "edgeyolo"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "edgeyolo"
    monkeypatch.setenv("HOME", str(tmp_path / "absent"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    fallback = cache_folder()
    assert fallback == tmp_path / f"edgeyolo-cache-{os.getuid()}"
    assert fallback.stat().st_mode & 0o777 == 0o700
    fallback.chmod(0o777)
    with pytest.raises(OutputError, match="written by others"):
        cache_folder()


def test_a_cache_that_cannot_be_written_is_said_so(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EDGEYOLO_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write the cache .* EDGEYOLO_CACHE"):
        get(server, "good")


def test_a_path_wins_over_a_name_and_nonsense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.pt"
    file.write_bytes(b"x")
    assert resolve_weights(file) == file
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yolox-s").write_bytes(b"x")
    assert resolve_weights("yolox-s") == Path("yolox-s")
    with pytest.raises(CheckpointError, match=r"neither a file nor a known name; .*yolov7-e6e"):
        resolve_weights("yolov9")
    with pytest.raises(CheckpointError, match="is a folder"):
        resolve_weights(tmp_path)


def test_the_catalogue_has_every_variant_and_the_published_figures(shared: Path) -> None:
    assert VARIANTS.keys() <= OFFICIAL_WEIGHTS.keys()
    assert all(find_weights(name) is not None for name in ALIASES)
    page = (shared / "reference/official_weights.md").read_text()
    rows = re.findall(r"^\| (\S+\.pth?) \| ([\d,]+) \| ([0-9a-f]{64}) \|", page, re.M)
    published = {name: (int(size.replace(",", "")), sha256) for name, size, sha256 in rows}
    known = {
        item.file_name: (item.size_bytes, item.sha256)
        for item in OFFICIAL_WEIGHTS.values()
        if item.sha256
    }
    assert known == published
    assert len({item.url for item in OFFICIAL_WEIGHTS.values()}) == len(OFFICIAL_WEIGHTS)
    assert all(item.url.startswith("https://") for item in OFFICIAL_WEIGHTS.values())
    assert license_of(published["yolox_s.pth"][1]) == "Apache-2.0"
    assert license_of(DIGEST) is None


def test_the_command_lists_and_pulls(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    local = entry(server.url("good"))
    monkeypatch.setitem(OFFICIAL_WEIGHTS, "test", local)
    runner = CliRunner()
    listed = json.loads(runner.invoke(command, ["list", "--json"]).stdout)
    assert {row["name"] for row in listed["weights"]} == {*VARIANTS, *OFFICIAL_WEIGHTS}
    assert all(row["cached"] is None for row in listed["weights"])
    pulled = runner.invoke(command, ["pull", "test"])
    assert pulled.exit_code == 0
    assert pulled.stdout.strip() == str(cached_path(local))
    assert "downloading" in pulled.stderr
    table = runner.invoke(command, ["list"]).stdout
    assert re.search(r"^demo +2\.1 +Apache-2\.0 +known +comes with edgeyolo$", table, re.M)
    assert listed["embedded"]["name"] == "demo"
    assert re.search(r"^test +1\.2 +MIT +known +yes$", table, re.M)
    unknown = runner.invoke(command, ["pull", "yolov9"])
    assert isinstance(unknown.exception, EdgeYoloError)


def test_weights_without_a_network_need_no_torch() -> None:
    script = "import sys, edgeyolo.weights; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_commands_take_the_name_of_weights_for_a_file(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(OFFICIAL_WEIGHTS, "test", entry(server.url("good")))
    kind = WeightsFile()
    assert kind.convert("test", None, None).read_bytes() == CONTENT
    (tmp_path / "mine.pt").write_bytes(b"x")
    assert kind.convert(str(tmp_path / "mine.pt"), None, None) == tmp_path / "mine.pt"
    assert WeightsFile(folders=True).convert(str(tmp_path), None, None) == tmp_path
    with pytest.raises(CheckpointError, match="is a folder"):
        kind.convert(str(tmp_path), None, None)
    with pytest.raises(CheckpointError, match="neither a file nor a known name"):
        kind.convert("absent.pt", None, None)


def test_the_embedded_detector_is_pulled_like_the_others_in_the_list() -> None:
    runner = CliRunner()
    pulled = runner.invoke(command, ["pull", DEMO_NAME])
    assert pulled.exit_code == 0, pulled.output
    assert pulled.stdout.strip() == str(checkpoint_path())
    plain = runner.invoke(command, ["pull", DEMO_NAME, "--json"])
    assert json.loads(plain.stdout) == {"paths": {DEMO_NAME: str(checkpoint_path())}}
