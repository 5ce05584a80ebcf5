"""Commands to a running line over a real socket: answers, refusals, leftovers, permissions."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edge.peers.connections import ConnectionLimits
from edge.peers.messages import Message
from edge.recipe.changeover import RecipeStatus
from edge.station.commands import station_commands
from edge.station.control import REQUEST_MAX_BYTES, Command, ControlSocket, ask
from inspection.errors import CameraError, LineError
from tests.doubles.waiting import wait_for

GENEROUS_S = 30.0


class Word(Message):
    word: str | int | None = None


def refuse(_request: Word) -> Mapping[str, Any]:
    raise CameraError("the camera is lost")


def fail(_request: Word) -> Mapping[str, Any]:
    raise ZeroDivisionError("a mistake")


COMMANDS = {
    "echo": Command(Word, lambda request: {"said": request.word}),
    "refuse": Command(Word, refuse),
    "fail": Command(Word, fail),
}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with ControlSocket(tmp_path / "line.sock", COMMANDS):
        yield tmp_path / "line.sock"


def raw(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        with connection.makefile("rwb") as stream:
            answers = []
            for line in lines:
                stream.write(line + b"\n")
                stream.flush()
                answers.append(json.loads(stream.readline()))
            return answers


def test_a_command_is_answered(path: Path) -> None:
    assert ask(path, "echo", word="hello") == {"ok": True, "said": "hello"}


def test_a_refusal_and_a_defect_leave_the_line_running(path: Path) -> None:
    with pytest.raises(LineError, match="the line refuses: the camera is lost"):
        ask(path, "refuse")
    with pytest.raises(LineError, match="ZeroDivisionError"):
        ask(path, "fail")
    assert ask(path, "echo")["ok"]


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"",
            b"{",
            b"[1]",
            b'"echo"',
            b"{}",
            b'{"command": []}',
            b"\xff\xfe",
            b"x" * (REQUEST_MAX_BYTES + 1),
        ),
        *(b"[" * 4000, b"9" * 4000, b'{"command": "echo", "word": true}'),
        *(b'{"command": "echo", "words": "a"}', b'{"command": "echo", "word": NaN}'),
    ],
    ids=lambda line: line[:40],
)
def test_nonsense_is_refused(path: Path, line: bytes) -> None:
    assert not raw(path, line)[0]["ok"]
    assert ask(path, "echo")["ok"]


def test_an_unknown_command_is_named_with_the_known(path: Path) -> None:
    with pytest.raises(LineError, match="no command 'stopp': known are echo, fail, refuse"):
        ask(path, "stopp")


def test_several_requests_over_one_connection(path: Path) -> None:
    request = json.dumps({"command": "echo", "word": 1}).encode()
    assert raw(path, request, b"{", request)[2] == {"ok": True, "said": 1}


def test_owner_and_group_may_write(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_the_socket_is_gone_at_the_end(tmp_path: Path) -> None:
    with ControlSocket(tmp_path / "line.sock", COMMANDS):
        pass
    assert not (tmp_path / "line.sock").exists()
    with pytest.raises(LineError, match="check that `linewarden run` runs"):
        ask(tmp_path / "line.sock", "echo")


def answers(path: Path) -> bool:
    try:
        return bool(ask(path, "echo", word="hello")["ok"])
    except LineError:
        return False


def test_a_removed_socket_is_made_anew(path: Path) -> None:
    for _ in range(2):
        path.unlink()
        wait_for(lambda: answers(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_removed_folder_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "run" / "line.sock"
    path.parent.mkdir()
    with ControlSocket(path, COMMANDS):
        path.unlink()
        path.parent.rmdir()
        wait_for(lambda: "is gone: No such file" in caplog.text)
        path.parent.mkdir()
        wait_for(lambda: answers(path))
    assert not path.exists()
    assert caplog.text.count("is gone") == 1


def test_the_socket_of_another_process_is_left(path: Path) -> None:
    with ControlSocket(path.with_name("other.sock"), COMMANDS):
        path.with_name("other.sock").rename(path)
        with ControlSocket(path.with_name("third.sock"), COMMANDS):
            path.replace(path.with_name("third.sock"))
        assert path.with_name("third.sock").exists()


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "line.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with ControlSocket(path, COMMANDS):
        assert ask(path, "echo")["ok"]


def test_a_line_that_runs_is_not_pushed_aside(path: Path) -> None:
    second = ControlSocket(path, COMMANDS)
    with pytest.raises(LineError, match="another process answers there"):
        second.__enter__()
    assert ask(path, "echo")["ok"]


def test_a_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(LineError, match="the file there is not a socket"):
        ControlSocket(path, COMMANDS).__enter__()
    assert path.read_text() == "mine"


def test_a_missing_folder_and_a_long_path_are_named(tmp_path: Path) -> None:
    with pytest.raises(LineError, match="its folder must exist"):
        ControlSocket(tmp_path / "no" / "line.sock", COMMANDS).__enter__()
    with pytest.raises(LineError, match="Linux takes 107"):
        ask(Path("/" + "x" * 110), "echo")


def test_a_client_that_is_gone_hurts_nobody(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b'{"command": "echo"}\n{"comm')
    assert ask(path, "echo")["ok"]
    assert os.path.lexists(path)


class Line:
    """Stands for a pipeline and a changeover, and notes their calls."""

    numbers = (1, 2)

    def __init__(self) -> None:
        self.fired: list[str | None] = []
        self.requested: list[int] = []
        self.status = RecipeStatus(1)

    def fire(self, part_id: str | None) -> str:
        self.fired.append(part_id)
        return "a-000001"

    def request(self, number: int) -> None:
        self.requested.append(number)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line()
    commands = station_commands(
        line,  # type: ignore[arg-type]
        line,  # type: ignore[arg-type]
        dict,
        newest=line,  # type: ignore[arg-type]
        labelling=line,  # type: ignore[arg-type]
        signals=dict,
    )
    with ControlSocket(tmp_path / "line.sock", commands):
        yield line


def test_a_recipe_is_a_whole_number_and_nothing_else(line: Line, tmp_path: Path) -> None:
    path = tmp_path / "line.sock"
    for wrong in (True, "2", 2.0, 2.5, -1, 65536, [2], {"number": 2}):
        with pytest.raises(LineError, match="the line refuses: 'number': Input should be"):
            ask(path, "recipe", number=wrong)
    with pytest.raises(LineError, match="the line refuses: 'recipe': Extra inputs"):
        ask(path, "recipe", recipe=2)
    assert line.requested == []
    assert ask(path, "recipe", number=2)["active"] == 1
    assert ask(path, "recipe", number=None)["numbers"] == [1, 2]
    assert line.requested == [2]


def test_a_part_id_is_a_text_or_a_number(line: Line, tmp_path: Path) -> None:
    path = tmp_path / "line.sock"
    for wrong in (True, 1.5, ["A"], {"a": 1}):
        with pytest.raises(LineError, match="'part_id': Input should be a valid string"):
            ask(path, "trigger", part_id=wrong)
    for given in ("A-17", 17, "", None, "x" * 200):
        ask(path, "trigger", part_id=given)
    assert line.fired == ["A-17", "17", None, None, "x" * 128]


def test_the_end_of_a_long_line_is_not_a_command(line: Line, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(tmp_path / "line.sock"))
        connection.sendall(b"x" * (REQUEST_MAX_BYTES + 1) + b'{"command": "trigger"}\n')
        with connection.makefile("rb") as stream:
            assert (
                f"longer than {REQUEST_MAX_BYTES} bytes" in json.loads(stream.readline())["error"]
            )
    assert ask(tmp_path / "line.sock", "recipe")["ok"]
    assert line.fired == []


def test_an_answer_that_is_not_json_is_an_error(tmp_path: Path) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"[" * 999 + b"\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "line.sock"))
        listener.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LineError, match=r"no answer .*not JSON"):
            ask(tmp_path / "line.sock", "state")
        thread.join()


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(GENEROUS_S)
    connection.connect(str(path))
    return connection


def test_silent_clients_leave_room_for_a_command(tmp_path: Path) -> None:
    path = tmp_path / "line.sock"
    with ControlSocket(path, COMMANDS, ConnectionLimits(max=4)), ExitStack() as stack:
        silent = [stack.enter_context(connected(path)) for _ in range(20)]
        assert ask(path, "echo", word="hello")["said"] == "hello"
        assert all(one.recv(1) == b"" for one in silent[:16])


def test_a_client_that_drips_is_idle(tmp_path: Path) -> None:
    path = tmp_path / "line.sock"
    limits = ConnectionLimits(max=4, idle_s=0.5)
    dripped: list[int] = []
    with ControlSocket(path, COMMANDS, limits), connected(path) as connection:

        def is_cut() -> bool:
            assert ask(path, "echo")["ok"]
            dripped.append(1)
            try:
                connection.sendall(b" ")
            except OSError:
                return True
            return False

        wait_for(is_cut, GENEROUS_S)
        assert len(dripped) < 4096  # by its time, not by the length of its line


def test_a_client_that_asks_now_and_then_stays(tmp_path: Path) -> None:
    path = tmp_path / "line.sock"
    limits = ConnectionLimits(max=6, idle_s=GENEROUS_S)
    with ControlSocket(path, COMMANDS, limits), ExitStack() as stack:
        keeper = stack.enter_context(connected(path)).makefile("rwb")
        stack.enter_context(keeper)
        for _ in range(20):
            stack.enter_context(connected(path))
            assert ask(path, "echo")["ok"]  # the server has taken in the one before
            keeper.write(b'{"command": "echo"}\n')
            keeper.flush()
            assert json.loads(keeper.readline())["ok"]
