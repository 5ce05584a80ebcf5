"""Teach: parts, collecting, uploads, imports, jobs; what is refused, and what a disk refuses."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.panel.jobs import State
from edge.panel.services import Panel
from edge.panel.teach.frames import LiveFrames
from edge.panel.teach.promises import Promise, Promises, PromiseTable
from edge.station.commands import FrameMessage
from edge.station.control import Command, ControlSocket
from inspection.errors import LineError, LinewardenError
from inspection.images import encode_jpeg, encode_png, read_image
from tests.doubles.line_folder import RECORDS, write_line
from tests.doubles.panel import Browser, config_of, opened, raising

PAGE = "/lines/line/teach/flange"
SHAPE = (600, 500)  # more than one piece
CHANGES = ("collect", "remove", "restore", "upload", "import", "start", "cancel")


def image(number: int, shape: tuple[int, ...] = SHAPE) -> Any:
    return np.random.default_rng(number).integers(1, 255, shape, dtype=np.uint8)


class CollectingLine:
    """The control socket of a line with one newest part."""

    def __init__(self) -> None:
        self.trigger_id, self.image = "p-1", image(1)

    def listening(self, socket: Path) -> ControlSocket:
        return ControlSocket(socket, {"frame": Command(FrameMessage, self._frame)})

    def _frame(self, request: FrameMessage) -> dict[str, Any]:
        if request.trigger_id not in {None, self.trigger_id}:
            raise LineError("another reader came between")
        pixels = self.image.tobytes()[request.offset : request.offset + (1 << 18)]
        return {
            "trigger_id": self.trigger_id,
            "view": "main",
            "shape": list(self.image.shape),
            "pixels": base64.b64encode(pixels).decode(),
        }


@pytest.fixture
def config(tmp_path: Path) -> Any:
    line = write_line(
        tmp_path, "camera: {kind: replay, path: parts}\ncontrol_socket: line.sock\n", RECORDS
    )
    teach = {"import_root": tmp_path / "stills", "min_free_bytes": 0}
    # No runner: these tests look at what is asked of it.
    return config_of(tmp_path, line, teach=teach, jobs="service")


@pytest.fixture
def now() -> list[float]:
    """The clock of the frames, in seconds."""
    return [0.0]


@pytest.fixture
def panel(config: Any, now: list[float]) -> Iterator[Panel]:
    with opened(config) as panel:
        yield with_known_promises(panel, now)


def with_known_promises(panel: Panel, now: list[float]) -> Panel:
    """Spares the tests the process that tells the promises, and the time between frames."""
    table = PromiseTable(
        lambda start, end: [
            Promises(parts=n, taught=None, calibrated=None) for n in range(start, end)
        ]
    )
    frames = LiveFrames(lambda: now[0])
    return replace(panel, teach=replace(panel.teach, promises=table, frames=frames))


@pytest.fixture
def line(tmp_path: Path, panel: Panel) -> Iterator[CollectingLine]:
    line = CollectingLine()
    with line.listening(tmp_path / "line.sock"):
        yield line


@pytest.fixture
def engineer(panel: Panel) -> Browser:
    engineer = Browser(panel).log_in("engineer")
    assert engineer.post("/lines/line/teach/new", {"name": "flange"}).status_code == 303
    return engineer


def good(panel: Panel) -> list[Path]:
    part = panel.teach.parts.find("line", "flange")
    return [part.collection.good / one.name for one in reversed(part.collection.images())]


def upload(browser: Browser, *files: tuple[str, bytes], to: str = f"{PAGE}/upload") -> Any:
    return browser.post(to, files=[("images", file) for file in files])


def test_the_newest_part_is_judged_and_collected_pixel_for_pixel(
    panel: Panel, line: CollectingLine, engineer: Browser, now: list[float]
) -> None:
    shown = engineer.get(f"{PAGE}/live").json()
    assert (shown["trigger_id"], shown["focus"], shown["exposure"]) == ("p-1", "unknown", "good")
    assert "from the third on" in shown["words"]["focus"]
    assert shown["near"] is None
    picture = engineer.get(shown["picture"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert engineer.post(f"{PAGE}/collect", {"trigger_id": "p-1"}).status_code == 303
    (path,) = good(panel)
    assert np.array_equal(read_image(path), image(1))
    itself = engineer.get(f"{PAGE}/live").json()
    assert (itself["near"], itself["words"]["near"][2:6]) == (path.name, "This")
    line.trigger_id = "p-2"  # the same part comes again
    assert engineer.get(f"{PAGE}/live").json()["trigger_id"] == "p-1"  # a moment ago
    now[0] += 1.0
    assert engineer.get(f"{PAGE}/live").json()["words"]["near"].startswith("▲ Nearly the same")
    line.trigger_id = "p-1"
    again = engineer.post(f"{PAGE}/collect", {"trigger_id": "p-1"})
    assert again.status_code == 409
    assert "in the collection already" in again.text
    thumbnail = engineer.get(f"{PAGE}/images/{path.name}?size=160")
    assert (thumbnail.status_code, thumbnail.headers["content-type"]) == (200, "image/jpeg")
    assert "1 of 20" in engineer.get(f"{PAGE}/status").text


def test_a_promise_without_a_bound_is_told_as_an_average(
    panel: Panel, line: CollectingLine
) -> None:
    few = Promise(
        images=3, judging=3, bound=1.0, average=0.25, confidence=0.95, is_approximate=False
    )
    some = few.model_copy(update={"bound": 0.4507})
    table = PromiseTable(lambda start, _: [Promises(parts=start, taught=few, calibrated=some)])
    browser = Browser(replace(panel, teach=replace(panel.teach, promises=table)))
    browser.log_in("engineer").post("/lines/line/teach/new", {"name": "flange"})
    told = browser.get(f"{PAGE}/status").text
    assert "At most 25.0 % of good parts are rejected on average over sets" in told
    assert "At most 45.1 % of good parts are rejected, with 95 % confidence; 25.0 %" in told
    assert "100.0" not in told


def test_a_bound_of_parts_that_judge_each_other_is_an_approximation(
    panel: Panel, line: CollectingLine
) -> None:
    """As `linewarden teach` says it: 5 to 20 parts are all learnt, and judged by the others."""
    eight = Promise(
        images=8, judging=8, bound=0.3123, average=1 / 9, confidence=0.95, is_approximate=True
    )
    table = PromiseTable(lambda start, _: [Promises(parts=start, taught=eight, calibrated=None)])
    browser = Browser(replace(panel, teach=replace(panel.teach, promises=table)))
    browser.log_in("engineer").post("/lines/line/teach/new", {"name": "flange"})
    told = browser.get(f"{PAGE}/status").text
    assert "At most 11.1 % of good parts are rejected on average over sets" in told
    assert "For this set about 31.2 % at most with 95 % confidence, an approximation" in told


def test_a_part_that_is_no_longer_held_is_not_collected(
    panel: Panel, line: CollectingLine, engineer: Browser
) -> None:
    assert engineer.post(f"{PAGE}/collect", {"trigger_id": "p-0"}).status_code == 409
    assert engineer.get(f"{PAGE}/live/p-0").status_code == 409
    assert good(panel) == []


def test_without_a_line_the_page_is_there_and_says_so(engineer: Browser) -> None:
    assert engineer.get(PAGE).status_code == 200
    answer = engineer.get(f"{PAGE}/live", headers={"accept": "application/json"})
    assert answer.status_code == 503
    assert "no answer" in answer.json()["message"]


def test_an_image_is_taken_out_and_brought_back(
    panel: Panel, line: CollectingLine, engineer: Browser
) -> None:
    upload(engineer, ("1.png", encode_png(image(1))))
    name = good(panel)[0].name
    assert engineer.post(f"{PAGE}/remove", {"name": name}).status_code == 303
    assert good(panel) == []
    undo = panel.audit.entries()[0].change.undo
    assert undo is not None
    assert engineer.post(undo.path, dict(undo.form)).status_code == 303
    assert [path.name for path in good(panel)] == [name]
    for wrong in ("../about/x", "/etc/passwd", "none.frame.png"):
        assert engineer.post(f"{PAGE}/remove", {"name": wrong}).status_code == 404


def test_uploads_are_written_without_loss_and_bad_ones_are_named(
    panel: Panel, engineer: Browser
) -> None:
    lossy = encode_jpeg(image(2), 90)
    assert upload(engineer, ("1.png", encode_png(image(1))), ("2.jpg", lossy)).status_code == 303
    first, second = good(panel)
    assert np.array_equal(read_image(first), image(1))
    assert second.read_bytes().startswith(b"\x89PNG")
    bomb = bytearray(encode_png(image(3)))
    bomb[16:24] = (100_000).to_bytes(4, "big") * 2  # the head promises 10 billion pixels
    answer = upload(
        engineer,
        ("3.png", encode_png(image(3))),
        ("1.png", encode_png(image(1))),
        ("<b>.txt", b"hello"),
        ("bomb.png", bytes(bomb)),
        ("cut.png", encode_png(image(4))[:900]),
        ("colour.png", encode_png(image(5, (*SHAPE, 3)))),
    )
    assert answer.status_code == 400
    assert "1 images were collected, 1 were there already" in answer.text
    assert "&lt;b&gt;.txt is not a PNG, JPEG or BMP file" in answer.text
    assert "bomb.png has more than 25 million pixels" in answer.text
    assert "cut.png: the image is damaged or cut off" in answer.text
    assert "colour.png has other colour channels" in answer.text
    assert len(good(panel)) == 3
    assert engineer.post(f"{PAGE}/upload").status_code == 400


def test_a_huge_upload_is_refused(panel: Panel, engineer: Browser) -> None:
    answer = upload(engineer, ("huge.png", bytes(64_000_001)))
    assert answer.status_code == 413
    assert good(panel) == []


def test_a_folder_below_the_root_is_imported_once(
    tmp_path: Path, panel: Panel, engineer: Browser
) -> None:
    folder = tmp_path / "stills/monday"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.png").write_bytes(encode_png(image(number)))
    (folder / "notes.png").write_text("not an image")
    assert "<option>monday</option>" in engineer.get(PAGE).text
    monday = {"folder": "monday", "start": "0"}
    done = engineer.post(f"{PAGE}/import", monday).json()
    assert (done["added"], done["known"], done["left"]) == (3, 0, 0)
    assert done["refused"] == ["notes.png is not a PNG, JPEG or BMP file."]
    assert engineer.post(f"{PAGE}/import", monday).json()["known"] == 3
    assert len(good(panel)) == 3


def test_a_huge_file_of_a_folder_is_not_read(
    tmp_path: Path, panel: Panel, engineer: Browser
) -> None:
    folder = tmp_path / "stills/monday"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(encode_png(image(0)))
    with (folder / "huge.png").open("wb") as huge:
        huge.truncate(80_000_001)
    done = engineer.post(f"{PAGE}/import", {"folder": "monday", "start": "0"}).json()
    assert (done["added"], done["refused"]) == (1, ["huge.png is larger than 80 MB."])


def test_each_step_of_an_import_begins_where_the_one_before_ended(
    tmp_path: Path, panel: Panel, engineer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stills/monday"
    folder.mkdir(parents=True)
    for number in (0, 0, 1):
        path = folder / f"{len(list(folder.iterdir()))}.png"
        path.write_bytes(encode_png(image(number)))
    monkeypatch.setattr("edge.panel.pages.teach._STEP_S", -1.0)  # one file a step
    steps, start = [], 0
    for _ in range(3):
        monday = {"folder": "monday", "start": str(start)}
        step = engineer.post(f"{PAGE}/import", monday).json()
        steps.append((step["added"], step["known"], step["next"], step["left"]))
        start = step["next"]
    assert steps == [(1, 0, 1, 2), (0, 1, 2, 1), (1, 0, 3, 0)]
    beyond = engineer.post(f"{PAGE}/import", {"folder": "monday", "start": "9"}).json()
    assert (beyond["added"], beyond["left"]) == (0, 0)
    wrong = engineer.post(f"{PAGE}/import", {"folder": "monday", "start": "-1"})
    assert wrong.status_code == 400


@pytest.mark.parametrize("folder", ["..", "../other", "/etc", "link", "none", "monday/\0"])
def test_no_folder_outside_of_the_root_is_imported(
    tmp_path: Path, panel: Panel, engineer: Browser, folder: str
) -> None:
    (tmp_path / "stills").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/1.png").write_bytes(encode_png(image(1)))
    (tmp_path / "stills/link").symlink_to(tmp_path / "other")
    answer = engineer.post(f"{PAGE}/import", {"folder": folder, "start": "0"})
    assert (answer.status_code, "There is no folder" in answer.text) == (400, True)
    assert good(panel) == []


def test_a_full_disk_takes_no_image(
    tmp_path: Path, config: Any, engineer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach = config.teach.model_copy(update={"min_free_bytes": 1 << 60})
    with opened(config.model_copy(update={"teach": teach, "folder": tmp_path / "other"})) as panel:
        browser = Browser(panel).log_in("engineer")
        browser.post("/lines/line/teach/new", {"name": "flange"})
        answer = upload(browser, ("1.png", encode_png(image(1))))
        assert answer.status_code == 507
        assert "kept for the lines" in answer.text
        assert good(panel) == []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "1.png")

    monkeypatch.setattr("edge.panel.teach.collection.write_bytes", full)
    assert upload(engineer, ("1.png", encode_png(image(1)))).status_code == 507


def test_teaching_is_asked_for_with_the_images_of_now(panel: Panel, engineer: Browser) -> None:
    nothing = engineer.post(f"{PAGE}/start", start())
    assert nothing.status_code == 409
    assert "Collect good parts first" in nothing.text
    upload(engineer, ("1.png", encode_png(image(1))), ("2.png", encode_png(image(2))))
    assert engineer.post(f"{PAGE}/start", start(minutes="2.5")).status_code == 303
    (job,) = panel.jobs.of("line/flange")
    (taught,) = panel.teach.parts.find("line", "flange").taught()
    assert job.state is State.WAITING
    assert job.asked.words == [
        *("teach", "--good", str(taught.good), "--out", str(taught.bundle)),
        *("--minutes", "2.5", "--report", str(taught.report)),
    ]
    engineer.post(f"{PAGE}/remove", {"name": good(panel)[0].name})
    assert len(list(taught.good.iterdir())) == 2
    second = engineer.post(f"{PAGE}/start", start())
    assert second.status_code == 409
    assert "waits or runs already" in second.text
    assert len(panel.teach.parts.find("line", "flange").taught()) == 1
    assert "waits for its turn" in engineer.get(f"{PAGE}/job").text
    assert engineer.post(f"{PAGE}/cancel").status_code == 303
    assert panel.jobs.find(job.name).state is State.CANCELLED
    assert engineer.post(f"{PAGE}/start", start()).status_code == 303


@pytest.mark.parametrize(
    ("error", "taught"), [(OSError(28, "No space left"), 0), (LinewardenError("it waits"), 1)]
)
def test_a_result_stays_when_its_job_waits(
    panel: Panel,
    engineer: Browser,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    taught: int,
) -> None:
    upload(engineer, ("1.png", encode_png(image(1))))
    monkeypatch.setattr(panel.jobs, "_wake", raising(error))
    assert engineer.post(f"{PAGE}/start", start()).status_code in {503, 507}
    assert len(panel.teach.parts.find("line", "flange").taught()) == taught


def start(kind: str = "teach", **fields: str) -> dict[str, str]:
    empty = {"kind": kind, "minutes": "", "smallest-defect-px": "", "false-reject-rate": ""}
    return {**empty, **fields}


def test_calibration_takes_a_bundle_of_the_line_alone(
    panel: Panel, engineer: Browser, tiny_bundle: Any
) -> None:
    upload(engineer, ("1.png", encode_png(image(1))))
    calibrate = start("calibrate", recipe="--json", bundle="/etc")
    assert engineer.post(f"{PAGE}/start", calibrate).status_code == 400
    calibrate["bundle"] = str(tiny_bundle.folder)
    assert engineer.post(f"{PAGE}/start", calibrate).status_code == 303
    (job,) = panel.jobs.of("line/flange")
    assert job.asked.words[:2] == ["calibrate", str(tiny_bundle.folder)]
    assert {"--recipe=--json", "--author=engineer", "--reason=a test"} < set(job.asked.words)


@pytest.mark.parametrize(
    "fields", [{"kind": "run"}, {"minutes": "--add"}, {"false-reject-rate": "1; rm"}]
)
def test_a_wrong_field_starts_nothing(
    panel: Panel, engineer: Browser, fields: dict[str, str]
) -> None:
    upload(engineer, ("1.png", encode_png(image(1))))
    assert engineer.post(f"{PAGE}/start", {**start(), **fields}).status_code == 400
    assert panel.jobs.of("line/flange") == []


def test_a_device_that_cannot_teach_says_where_to(
    panel: Panel, engineer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(engineer, ("1.png", encode_png(image(1))))
    monkeypatch.setattr("edge.panel.teach.tools.find_spec", lambda _name: None)
    page = engineer.get(PAGE).text
    assert "it lacks torch, timm, onnx, onnxscript, scipy. Teach on another machine" in page
    answer = engineer.post(f"{PAGE}/start", start())
    assert answer.status_code == 409
    assert "install the bundle here" in answer.text


def test_names_of_parts(panel: Panel, engineer: Browser) -> None:
    new = "/lines/line/teach/new"
    for wrong in ("", "..", "a/b", ".hidden", "x" * 42, "-rf", "a b"):
        assert engineer.post(new, {"name": wrong}).status_code == 400
    assert engineer.post(new, {"name": "flange"}).status_code == 409
    assert engineer.post(new, {"name": "disc", "view": "top"}).status_code == 400
    assert engineer.get("/lines/line/teach/none").status_code == 404
    assert engineer.get("/lines/line/teach/..%2Fother").status_code == 404


@pytest.mark.parametrize("change", CHANGES)
def test_who_may_change_what(panel: Panel, engineer: Browser, change: str) -> None:
    viewer, operator = (Browser(panel).log_in(name) for name in ("viewer", "operator"))
    stranger = Browser(panel)
    path = f"{PAGE}/{change}"
    assert stranger.post(path).status_code == 401
    assert viewer.post(path).status_code == 403
    expected = change in {"start", "cancel"}
    assert (operator.post(path).status_code == 403) == expected
    assert engineer.post(path, {"csrf": "another"}).status_code == 403
    assert engineer.post(path, origin="http://evil.test").status_code == 403
    assert engineer.post(path, {"why": ""}).status_code == 400


def test_a_viewer_sees_and_changes_nothing(panel: Panel, engineer: Browser) -> None:
    upload(engineer, ("1.png", encode_png(image(1))))
    page = Browser(panel).log_in("viewer").get(PAGE).text
    assert "1 of 20" in page
    assert f'action="{PAGE}' not in page
