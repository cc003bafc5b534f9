"""Where frames come from."""

from __future__ import annotations

import functools
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeyolo.cli.main import group
from edgeyolo.errors import SourceError, UnsupportedError
from edgeyolo.sources import Frame, FrameSource, SourceOptions, connect, open_source
from edgeyolo.sources.capture import LiveCapture
from edgeyolo.sources.recorded import Recorded
from edgeyolo.sources.redact import redact
from edgeyolo.video_headers import is_cut_short


def gray_picture(value: int) -> NDArray[np.uint8]:
    return np.full((24, 32, 3), value, np.uint8)


def everything(source: FrameSource) -> list[Frame]:
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    source.close()
    assert source.read() is None
    return frames


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = tmp_path / "shots with ünicode"
    folder.mkdir()
    for value in (30, 10, 20):
        (folder / f"{value}.png").write_bytes(
            cv2.imencode(".png", gray_picture(value))[1].tobytes()
        )
    (folder / "notes.md").write_text("no picture")
    return folder


def test_folder_glob_list_and_picture_give_their_pictures_in_order(shots: Path) -> None:
    listed = shots / "order.txt"
    listed.write_text("# by hand\n30.png\n\n10.png\n")
    cases: list[tuple[str | Path, list[str]]] = [
        (shots, ["10.png", "20.png", "30.png"]),
        (str(shots / "[12]*.png"), ["10.png", "20.png"]),
        (listed, ["30.png", "10.png"]),
        (shots / "20.png", ["20.png"]),
    ]
    for address, names in cases:
        source = open_source(address)
        assert not source.live
        frames = everything(source)
        assert [frame.name for frame in frames] == names
        assert [frame.index for frame in frames] == list(range(len(names)))
        for frame in frames:
            assert (frame.bgr == int(frame.name.split(".")[0])).all()


def write_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    assert writer.isOpened()
    for index in range(frames):
        writer.write(np.full((48, 64, 3), 10 * index % 256, np.uint8))
    writer.release()


def test_a_video_gives_every_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.avi", 12)
    source = open_source(tmp_path / "clip.avi")
    frames = everything(source)
    assert [frame.index for frame in frames] == list(range(12))
    for frame in frames:
        assert abs(float(frame.bgr.mean()) - 10 * frame.index) < 3  # JPEG
    assert source.fps == 25.0
    assert not source.live


def write_noise(path: Path, frames: int) -> bytes:
    """A video whose frames are large; its content."""
    codec = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "MJPG"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48))
    assert writer.isOpened()
    random = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_video_that_is_cut_short_says_so_after_its_last_frame(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"cut{suffix}"
    content = write_noise(path, 5)
    path.write_bytes(content[: len(content) // 2])
    source = open_source(path)
    assert source.read() is not None
    with pytest.raises(SourceError, match=r"breaks off after [1-4] of 5 frames: .*copy it again"):
        everything(source)
    assert source.read() is None


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_whole_videos_are_not_cut_short(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"whole{suffix}"
    content = write_noise(path, 5)
    assert not is_cut_short(path)
    assert len(everything(open_source(path))) == 5
    path.write_bytes(content[:-40])
    assert is_cut_short(path)
    path.write_bytes(content + b"notes behind it, as some cameras write")
    assert not is_cut_short(path)


def test_an_unfinished_recording_of_unknown_size_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "live.avi"
    content = write_noise(path, 5)
    path.write_bytes(content[:4] + bytes(4) + content[8:])
    assert not is_cut_short(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "not a video"),
        ("text.mp4", b"no video at all" * 100, "not a video"),
        ("broken.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "not a picture"),
        ("empty.txt", b"\n# nothing\n", "names no picture"),
        ("binary.txt", b"\xff\xfe\x00", "cannot read the list"),
        ("dangling.txt", b"missing.png", "cannot read"),
    ],
)
def test_unreadable_files_are_one_line_errors(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        everything(open_source(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("no/such/file.mp4", "is no file"),
        ("no/such/*.jpg", "no picture matches"),
        (-1, "numbered from 0"),
        ("pattern:10x10", "no test pattern"),
        ("pattern:64x64@0", "never moves"),
        ("pattern:64", "no test pattern"),
    ],
)
def test_what_does_not_exist_is_refused_at_once(address: int | str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(address)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no pictures"):
        open_source(tmp_path)


def test_the_test_pattern_moves_and_ends() -> None:
    source = open_source("pattern:160x120#5")
    assert not source.live
    frames = everything(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert all(frame.bgr.shape == (120, 160, 3) for frame in frames)
    assert len({frame.bgr.tobytes() for frame in frames}) == 5


def test_a_paced_pattern_is_live_and_skips_what_nobody_took() -> None:
    source = open_source("pattern:32x32@100#60")
    assert source.live
    assert source.fps == 100
    started = time.monotonic()
    first = source.read()
    assert first is not None
    time.sleep(0.2)
    rest = everything(source)
    assert 0.4 < time.monotonic() - started < 2.0
    assert rest[0].index >= 20
    assert rest[-1].index == 59


def test_closing_wakes_a_waiting_reader() -> None:
    source = open_source("pattern:32x32@0.01")
    assert source.read() is not None
    threading.Timer(0.2, source.close).start()
    started = time.monotonic()
    assert source.read() is None
    assert time.monotonic() - started < 2


def test_a_camera_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    for address in (63, "/dev/video63"):
        source = open_source(address)
        with pytest.raises(SourceError, match="cameras here"):
            source.read()
        source.close()


def test_a_pipeline_without_gstreamer_is_an_error_that_says_so() -> None:
    if any("GStreamer" in line and "YES" in line for line in cv2.getBuildInformation().split("\n")):
        pytest.skip("this OpenCV has GStreamer")
    source = open_source("videotestsrc ! videoconvert ! appsink")
    with pytest.raises(UnsupportedError, match="without GStreamer"):
        source.read()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_stream_that_is_never_there_fails_within_its_timeout(scheme: str) -> None:
    source = open_source(
        f"{scheme}://127.0.0.1:{free_port()}/live", SourceOptions(timeout_s=1.0, reconnect_s=30)
    )
    started = time.monotonic()
    with pytest.raises(SourceError, match="no picture within 1 s"):
        source.read()
    assert 0.5 < time.monotonic() - started < 3.0


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_accepts_and_says_nothing_fails_within_the_timeout(scheme: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/live"
        source = open_source(address, SourceOptions(timeout_s=1.5))
        started = time.monotonic()
        with pytest.raises(SourceError, match="no picture within"):
            source.read()
        # 1.5 s of waiting, and a loaded test machine.
        assert time.monotonic() - started < 2.5


@contextmanager
def served(folder: Path, handler: type[QuietHandler] = QuietHandler) -> Iterator[str]:
    """The address of a folder behind a web server."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_recording_on_a_web_server_has_an_end(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.avi", 12)
    with served(tmp_path) as address:
        source = open_source(f"{address}/clip.avi")
        frames = everything(source)
    assert [frame.index for frame in frames] == list(range(12))
    assert not source.live


def test_connecting_tells_a_recording_from_a_camera_and_loses_no_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mkv", 12)
    with served(tmp_path) as address:
        sources = [open_source(f"{address}/clip.mkv"), open_source("pattern#2")]
        connect(sources)
        assert not sources[0].live
        assert [frame.index for frame in everything(sources[0])] == list(range(12))


def test_one_stream_that_is_not_there_closes_the_others(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mkv", 12)
    with served(tmp_path) as address:
        there = open_source(f"{address}/clip.mkv")
        missing = open_source(f"rtsp://127.0.0.1:{free_port()}/a", SourceOptions(timeout_s=0.5))
        with pytest.raises(SourceError, match="no picture within"):
            connect([there, missing])
        assert there.read() is None


class DyingHandler(QuietHandler):
    """Promises a whole file and hangs up in the middle of it."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        data = source.read()
        outputfile.write(data[: len(data) // 2])


@pytest.mark.parametrize("broken", ["file", "connection"])
def test_a_recording_that_breaks_off_is_an_error_after_its_frames(
    tmp_path: Path, broken: str
) -> None:
    clip = tmp_path / "clip.mkv"
    write_video(clip, 80)
    if broken == "file":
        clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with served(tmp_path, DyingHandler if broken == "connection" else QuietHandler) as address:
        source = open_source(f"{address}/clip.mkv")
        with pytest.raises(SourceError, match=r"broke off after \d\d of 80 frames"):
            everything(source)
        source.close()


@pytest.mark.skipif(not hasattr(cv2, "CAP_PROP_N_THREADS"), reason="OpenCV before 4.8")
@pytest.mark.parametrize("threads", [None, 3])
def test_a_network_stream_is_decoded_by_few_threads(tmp_path: Path, threads: int | None) -> None:
    # Every thread of FFmpeg's decoder holds a frame back.
    clip = tmp_path / "clip.ts"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (64, 48))
    for index in range(60):
        writer.write(np.full((48, 64, 3), 4 * index, np.uint8))
    writer.release()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def send() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(clip.read_bytes())

        threading.Thread(target=send, daemon=True).start()
        options = SourceOptions() if threads is None else SourceOptions(decode_threads=threads)
        source = LiveCapture(f"tcp://127.0.0.1:{server.getsockname()[1]}", options)
        assert source.read() is not None
        assert source._capture.get(cv2.CAP_PROP_N_THREADS) == (threads or 2)
        source.close()


def recorded(declared: float, times_ms: list[float]) -> str | None:
    record = Recorded(declared, 25.0)
    for time_ms in times_ms:
        record.add(time_ms)
    return record.shortfall()


def test_a_length_that_is_only_estimated_is_no_reason_for_an_error() -> None:
    every_40_ms = [40.0 * index for index in range(100)]
    assert recorded(100, every_40_ms) is None
    # Sound that goes on for a little longer than the picture.
    assert recorded(124, every_40_ms) is None
    # Half the frames of the nominal rate, to the end; and times that do not begin at zero.
    assert recorded(100, [1400 + time_ms for time_ms in every_40_ms[::2]]) is None
    # All frames, with times that OpenCV does not know.
    assert recorded(100, [0.0] * 100) is None
    assert recorded(100, every_40_ms[:60]) == "after 60 of 100 frames (2.4 of 4.0 s)"
    # Less than a tenth of a long one.
    assert recorded(1000, [40.0 * index for index in range(910)]) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:hunter2@10.0.0.5/cam?x=1", "rtsp://***@10.0.0.5/cam?x=1"),
        ("http://10.0.0.5/v?user=admin&password=hunter2&q=1", None),
        ("https://host/stream.m3u8?token=hunter2#t", None),
        ("https://host/s?api_key=hunter2", None),
        ("rtspsrc location=rtsp://a:hunter2@h/x user-id=a user-pw=hunter2 ! appsink", None),
        ('rtspsrc user-pw="hunter2 hunter2" ! appsink', None),
        ("rtsp://admin:p@ss:hunter2@host/x", "rtsp://***@host/x"),
        ("rtsp://admin:hunter/2?#2@host/x", "rtsp://***@host/x"),
        ("rtsp://admin:hun ter2@host:554/x", "rtsp://***@host:554/x"),
        (
            "rtsp://host/user=admin_password=hunter2_channel=1_stream=0.sdp?real_stream",
            "rtsp://host/user=***_channel=1_stream=0.sdp?real_stream",
        ),
        (
            "rtsp://host:554/user=a&password=p@hunter2&channel=1",
            "rtsp://host:554/user=***&channel=1",
        ),
        ("http://host/v?loginuse=hunter2&loginpas=hunter2", "http://host/v?loginuse=***"),
        ("http://host/v%3Fpwd%3Dhunter2", "http://host/v%3Fpwd%3D***"),
        ("http://host/v?hunter2", "http://host/v?***"),
        ("rtsp:/admin:hunter2@host/x", "rtsp:/***@host/x"),
        ("admin:hunter2@host/x", "***@host/x"),
        ("host/user=admin_password=hunter2", "host/user=***"),
        (
            "rtspsrc location=rtsp://host/x?token=hunter2 latency=0 ! appsink",
            "rtspsrc location=rtsp://host/x?token=***",
        ),
        (
            "rtspsrc location=rtsp://a:hunter2@host/x latency=0 ! decodebin ! appsink",
            "rtspsrc location=rtsp://***@host/x latency=0 ! decodebin ! appsink",
        ),
        ("rtsp://host/cam?channel=1&subtype=0", "rtsp://host/cam?channel=1&subtype=0"),
        ("http://host:8080/clip.mkv", "http://host:8080/clip.mkv"),
        ("pattern:64x64@30#9", "pattern:64x64@30#9"),
        (
            "v4l2src device=/dev/video0 ! video/x-raw,width=640 ! appsink",
            "v4l2src device=/dev/video0 ! video/x-raw,width=640 ! appsink",
        ),
        ("/data/film.mp4", "/data/film.mp4"),
        ("http://host/a@b.mp4", "http://host/a@b.mp4"),
    ],
)
def test_credentials_are_never_shown(text: str, shown: str | None) -> None:
    result = redact(text)
    assert "hunter2" not in result
    if shown is not None:
        assert result == shown


printable = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"))
secrets = st.text(printable, min_size=8)
ascii_secrets = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8)


@given(
    user=st.text(printable),
    password=secrets | ascii_secrets,
    scheme=st.sampled_from(["rtsp", "https"]),
)
def test_no_user_name_or_password_of_an_address_is_shown(
    user: str, password: str, scheme: str
) -> None:
    shown = redact(f"{scheme}://{user}:{password}@camera.example:554/live?channel=2")
    if "=" in user + password and shown.endswith("=***"):
        # rtsp://x/user=a_password=b@camera.example may be either form of address.
        assert password not in shown
    else:
        assert shown == f"{scheme}://***@camera.example:554/live?channel=2"


@given(
    form=st.sampled_from(
        [
            f"http://camera.example/v?{name}=%s&channel=1"
            for name in ("access_token", "usr", "loginuse", "loginpas", "pwd", "auth", "key", "sid")
        ]
        + [
            "rtsp://camera.example/user=admin_password=%s_channel=1_stream=0.sdp",
            "rtsp://camera.example/user=%s&password=&channel=1",
            "rtsp://camera.example:554/live;passwd=%s?x=1",
        ]
    ),
    secret=secrets | ascii_secrets,
)
def test_no_secret_parameter_of_an_address_is_shown(form: str, secret: str) -> None:
    shown = redact(form % secret)
    assert secret not in shown
    # With :@ in it the secret may be the end of a password, and what is before it a user name.
    assert "camera.example" in shown or ("@" in secret and shown.startswith(form[:7] + "***"))


@given(secret=secrets | ascii_secrets, name=st.sampled_from(["user-pw", "user-id", "proxy-pw"]))
def test_no_secret_property_of_a_pipeline_is_shown(secret: str, name: str) -> None:
    assume("***" not in secret)
    quoted = '"' + secret.replace("\\", "\\\\").replace('"', '\\"') + '"'
    shown = redact(f"rtspsrc location=rtsp://camera.example/x {name}={quoted} ! appsink")
    assert shown == f"rtspsrc location=rtsp://camera.example/x {name}=*** ! appsink"


@pytest.mark.parametrize(
    "address",
    [
        "RTSPX://admin:hunter2@host/x?",
        "rtsp:admin:hunter2@host",
        Path("rtsp://admin:hunter2@host/x"),
    ],
)
def test_a_mistyped_address_is_refused_without_its_password(address: str | Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(address)
    assert "hunter2" not in str(caught.value)
    assert "host" in str(caught.value)


def test_what_opencv_says_of_an_address_is_neither_shown_nor_chained() -> None:
    class Broken:
        def read(self) -> tuple[bool, None]:
            raise cv2.error("could not open rtsp://admin:hunter2@host/x?token=hunter2")

        def release(self) -> None:
            return

    source = LiveCapture("rtsp://admin:hunter2@host/x", SourceOptions())
    source._capture = Broken()
    with pytest.raises(SourceError) as caught:
        source.read()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert "rtsp://***@host/x: could not open rtsp://***@host/x" in str(caught.value)


def test_a_command_that_wants_a_file_does_not_show_an_address_with_its_password(
    tmp_path: Path,
) -> None:
    done = CliRunner().invoke(group, ["predict", str(tmp_path), "rtsp://admin:hunter2@host/x"])
    assert done.exit_code == 2
    assert "hunter2" not in done.output
    assert "rtsp://***@host/x" in done.output


def test_no_credential_reaches_the_terminal_when_a_stream_fails() -> None:
    port = free_port()
    code = f"""
import sys
from edgeyolo.errors import SourceError
from edgeyolo.sources import SourceOptions, open_source
for url in ("rtsp://admin:hunter2@127.0.0.1:{port}/a", "http://admin:hunter2@127.0.0.1:{port}/b.m3u8?token=hunter2"):
    try:
        open_source(url, SourceOptions(timeout_s=0.5)).read()
    except SourceError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("no picture within 0.5 s") == 2
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_s": 0},
        {"reconnect_s": -1},
        {"decode_threads": 0},
        {"decode_threads": 65},
        {"decode_threads": 1.5},
    ],
)
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        SourceOptions(**options)  # type: ignore[arg-type]
