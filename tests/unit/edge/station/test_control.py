"""Commands to a running line over a real socket: answers, refusals, leftovers, permissions."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.station.control import ControlSocket, ask
from inspection.errors import CameraError, LineError
from tests.doubles.waiting import wait_for


def refuse(_request: Mapping[str, Any]) -> Mapping[str, Any]:
    raise CameraError("the camera is lost")


def fail(_request: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ZeroDivisionError("a mistake")


COMMANDS = {
    "echo": lambda request: {"said": request.get("word")},
    "refuse": refuse,
    "fail": fail,
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
    "line", [b"", b"{", b"[1]", b'"echo"', b"{}", b'{"command": []}', b"\xff\xfe", b"x" * 70_000]
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
