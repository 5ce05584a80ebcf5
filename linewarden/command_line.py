"""The command `linewarden`: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import argparse
import ast
import difflib
import errno
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType, TracebackType
from typing import NamedTuple

from inspection.errors import LinewardenError
from inspection.names import ESCAPES
from inspection.redaction import redacted
from linewarden import exit_codes
from linewarden.memory import HINT, lacks_memory
from linewarden.parser import Parser


class Command(NamedTuple):
    """A subcommand: its module, its purpose, and the extra of this package that it needs."""

    module: str
    summary: str
    extra: str


COMMANDS = {
    "teach": Command(
        "linewarden.commands.teach",
        "make a calibrated bundle from good parts, in seconds or in given minutes",
        "export",
    ),
    "train": Command("linewarden.commands.train", "learn good parts from images", "train"),
    "build": Command(
        "linewarden.commands.build",
        "find the fastest way of this machine to run a bundle, or build TensorRT engines",
        "tensorrt-cu13",
    ),
    "bench": Command(
        "linewarden.commands.bench",
        "time every engine, artefact and precision of this machine",
        "onnxruntime",
    ),
    "doctor": Command(
        "linewarden.commands.doctor",
        "list what this machine lacks, and how to get it",
        "onnxruntime",
    ),
    "convert": Command(
        "linewarden.commands.convert",
        "write a bundle for Triton, DeepStream or OpenVINO",
        "export",
    ),
    "camera": Command(
        "linewarden.commands.camera", "find, show and focus a camera, save its images", "pylon"
    ),
    "dataset": Command(
        "linewarden.commands.dataset",
        "show a data set, or convert it to another layout",
        "onnxruntime,calibration",
    ),
    "export": Command(
        "linewarden.commands.export", "turn a trained model into a bundle for devices", "export"
    ),
    "acceptance": Command(
        "linewarden.commands.acceptance",
        "test a bundle in an acceptance study, with a report to sign",
        "onnxruntime,calibration",
    ),
    "calibrations": Command(
        "linewarden.commands.calibrations",
        "list, compare and restore the calibrations of a bundle",
        "onnxruntime,calibration",
    ),
    "calibrate": Command(
        "linewarden.commands.calibrate",
        "set thresholds from images of good parts",
        "onnxruntime,calibration",
    ),
    "layout": Command(
        "linewarden.commands.layout",
        "try another layout of a recipe on parts, and make it active",
        "onnxruntime,calibration",
    ),
    "evaluate": Command(
        "linewarden.commands.evaluate", "measure a calibrated bundle on labelled images", "train"
    ),
    "inspect": Command("linewarden.commands.inspect", "inspect single images", "onnxruntime"),
    "run": Command("linewarden.commands.run", "inspect the parts on a line", "onnxruntime"),
    "line": Command(
        "linewarden.commands.line",
        "check that a line has everything that it needs",
        "onnxruntime",
    ),
    "simulate": Command(
        "linewarden.commands.simulate",
        "simulate PLC, broker and camera, or a whole line, without hardware",
        "onnxruntime,modbus,mqtt",
    ),
    "trigger": Command(
        "linewarden.commands.trigger", "trigger one part on a running line", "onnxruntime"
    ),
    "recipe": Command(
        "linewarden.commands.recipe",
        "change a running line over to another recipe",
        "onnxruntime",
    ),
    "check": Command(
        "linewarden.commands.check",
        "check a running line with its reference parts",
        "onnxruntime",
    ),
    "records": Command(
        "linewarden.commands.records",
        "list, count and label the parts that a line has inspected",
        "onnxruntime",
    ),
    "service": Command(
        "linewarden.commands.service", "make a line a service of systemd", "onnxruntime"
    ),
    "panel": Command(
        "linewarden.commands.panel",
        "serve web pages: live view, review, teaching, zones, health, audit log",
        "panel",
    ),
    "verify": Command(
        "linewarden.commands.verify",
        "check that a bundle is complete and gives its golden scores",
        "onnxruntime",
    ),
    "bundle": Command(
        "linewarden.commands.bundle",
        "install, activate, roll back, sign and authenticate bundles",
        "signing",
    ),
    "example": Command(
        "linewarden.commands.example",
        "list the examples of configurations, or print one of them",
        "onnxruntime",
    ),
    "study": Command("linewarden.commands.study", "measure the whole chain on data sets", "export"),
    "demo": Command(
        "linewarden.commands.demo", "run the whole chain on drawn parts or on a folder", "export"
    ),
}

# The packages of this program, and the name of an error that has none.
_PACKAGES = frozenset(
    ["", "linewarden", "edge", "inspection", "calibration", "reports", "training", "export"]
)
# Errors of disks and folders, which a command meets only when it writes.
_OF_THE_MACHINE = frozenset(
    [
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM),
        errno.EIO,
        *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST),  # a file where a folder should be, or reverse
    ]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns the exit code.

    Args:
        arguments: words behind the name of the program; None for those of this process.
    """
    sys.excepthook = _print_uncaught
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ESCAPES)  # a path that a command prints may have any bytes
    parser = _top_level_parser()
    if not words or words[0].startswith("-"):
        parser.parse_args(words)
        parser.print_help()
        return 0
    name = words[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        parser.error(f"unknown command {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return _run(name, words[1:], _imported if arguments is None else import_module)


def _imported(module: str) -> ModuleType:
    """Imports a module for the life of this process.

    The garbage collector then leaves its objects out. It walks through all of them otherwise: 30 ms
    while a line inspects, and three times when a process ends.
    """
    gc.disable()
    imported = import_module(module)
    gc.freeze()
    gc.enable()
    return imported


def _run(name: str, words: list[str], load: Callable[[str], ModuleType]) -> int:
    command = COMMANDS[name]
    try:
        module = load(command.module)
        parser = Parser(
            prog=f"linewarden {name}",
            description=module.__doc__,
            epilog=exit_codes.epilog(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(words)))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _PACKAGES:
            raise  # a mistake of this program is not a missing package
        if not {"-h", "--help"}.isdisjoint(words):
            sys.stdout.write(_manual(command.module) + "\n")
        _complain(
            f"linewarden {name} needs the package {missing}, and it is not installed: "
            f"pip install 'linewarden[{command.extra}]'"
        )
        return 1
    except LinewardenError as error:
        _complain(f"{error}; {HINT}" if lacks_memory(error) else str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("stopped")
        return 130
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (MemoryError, ImportError, RuntimeError, OSError) as error:
        complaint = _of_the_machine(error)
        if complaint is None:
            raise  # most likely a mistake of this program
        _complain(complaint)
        return 1


def _manual(module: str) -> str:
    """Returns the manual page of a command that cannot be imported here."""
    spec = find_spec(module)
    source = "" if spec is None or spec.origin is None else Path(spec.origin).read_text("utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _print_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _of_the_machine(error: Exception) -> str | None:
    """Returns a message about an error of memory, disk or folders; None for any other error."""
    if lacks_memory(error):
        return HINT
    if not isinstance(error, OSError):
        return None
    path = error.filename2 or error.filename  # of a copy, the target
    is_name = isinstance(path, str)
    if error.errno == errno.ENOENT and is_name and not Path(path).parent.exists():
        return f"{path}: its folder does not exist; make it, or choose another place"
    if error.errno in _OF_THE_MACHINE:
        where = f"{path}: " if path else ""
        return f"{where}{os.strerror(error.errno)}; free some space, or choose another place"
    return None


def _complain(message: str) -> None:
    sys.stderr.write(f"linewarden: {redacted(message)}\n")


def _top_level_parser() -> Parser:
    width = max(map(len, COMMANDS))
    table = "\n".join(f"  {name:<{width}}  {entry.summary}" for name, entry in COMMANDS.items())
    parser = Parser(
        prog="linewarden",
        usage="linewarden COMMAND [options]",
        description=f"Inspect parts on a production line: good parts in, verdicts out.\n\n"
        f"commands:\n{table}\n\n'linewarden COMMAND --help' explains each.",
        epilog=exit_codes.epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"linewarden {version('linewarden')}"
    )
    return parser
