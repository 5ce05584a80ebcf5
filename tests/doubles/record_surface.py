"""Record names, parameters and enum values of TensorRT's Python bindings; no text of NVIDIA's.

    pip download --no-deps --dest wheels tensorrt-cu12-bindings==10.3.0
    unzip -d unpacked wheels/*.whl
    python tests/doubles/record_surface.py unpacked tests/doubles/tensorrt_surface

    pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs
    python tests/doubles/record_surface.py --installed tests/doubles/tensorrt_surface

The bindings need three libraries of TensorRT only for nine symbols, which are called by nothing
here: empty ones are compiled, so neither TensorRT nor a GPU is needed.

What a member is: a list of its parameters ("=" marks one with a default), "overloaded" when it
takes several lists, "property", "read-only property", "value", or "abstract" for a class that only
TensorRT makes.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")


def record(unpacked: Path) -> dict[str, Any]:
    """The surface of the wheel that was unpacked there, recorded by a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        compile_stubs(Path(folder))
        result = subprocess.run(
            [sys.executable, __file__, "--print", str(unpacked)],
            env={**os.environ, "LD_LIBRARY_PATH": folder},
            check=True,
            capture_output=True,
            text=True,
        )
    surface: dict[str, Any] = json.loads(result.stdout)
    return surface


def compile_stubs(folder: Path) -> None:
    """Libraries under the names of TensorRT 10 and 11 that have the nine symbols and do nothing."""
    source = folder / "stub.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    for name in LIBRARIES:
        for major in (10, 11):
            library = folder / f"lib{name}.so.{major}"
            command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
            subprocess.run([*command, "-o", str(library), str(source)], check=True)


def surface_of(module: Any) -> dict[str, Any]:
    """The surface of an imported `tensorrt_bindings`."""
    classes = {}
    for name, value in sorted(vars(module).items()):
        if inspect.isclass(value):
            classes[name] = _class(value)
            nested = vars(value).get("Severity")
            if inspect.isclass(nested) and name == "ILogger":
                classes["ILogger.Severity"] = _class(nested)
    functions = sorted(
        name
        for name, value in vars(module).items()
        if inspect.isroutine(value) and not name.startswith("_")
    )
    return {"version": module.__version__, "functions": functions, "classes": classes}


def as_text(surface: dict[str, Any]) -> str:
    """JSON with one class per line, so that two versions can be compared line by line."""
    lines = [
        f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in surface["classes"].items()
    ]
    head = {key: value for key, value in surface.items() if key != "classes"}
    return json.dumps(head)[:-1] + ', "classes": {\n' + ",\n".join(lines) + "\n}}\n"


def _class(value: type) -> dict[str, Any]:
    members = getattr(value, "__members__", None)
    result: dict[str, Any] = {"bases": [base.__name__ for base in _bases(value)]}
    if members is not None:
        result["enum"] = dict(
            sorted(((name, int(m)) for name, m in members.items()), key=lambda m: (m[1], m[0]))
        )
    result["members"] = {
        name: _kind(value, name)
        for name in sorted(dir(value))
        if (name == "__init__" or not name.startswith("_"))
        and not (members is not None and (name in members or name in {"name", "value"}))
    }
    return result


def _bases(value: type) -> list[type]:
    return [base for base in value.__mro__[1:] if base.__module__ == value.__module__]


def _kind(owner: type, name: str) -> str | list[str]:
    value = inspect.getattr_static(owner, name)
    if isinstance(value, property):
        return "property" if value.fset is not None else "read-only property"
    if not callable(getattr(owner, name)) or inspect.isclass(getattr(owner, name)):
        return "value"
    text = (getattr(owner, name).__doc__ or "").partition("\n")[0]
    if text.startswith(f"{name}(*args"):
        return "overloaded"
    signature = re.fullmatch(rf"{name}\((.*)\) -> .*", text)
    return "abstract" if signature is None else _parameters(signature[1])


def _parameters(text: str) -> list[str]:
    """Names of "self: A, flags: B[C, D] = <E: 0>" without self."""
    flat = text
    while (shorter := re.sub(r"<[^<>]*>|\[[^\[\]]*\]|\([^()]*\)", "", flat)) != flat:
        flat = shorter
    parameters = []
    for part in filter(None, map(str.strip, flat.split(","))):
        name = part.partition(":")[0].strip()
        if name != "self":
            parameters.append(name + ("=" if "=" in part else ""))
    return parameters


def main(arguments: list[str]) -> None:
    """Record one unpacked wheel; `--print` is for the process that imports it."""
    if arguments[0] == "--installed":
        surface = surface_of(importlib.import_module("tensorrt_rtx_bindings"))
        target = Path(arguments[1]) / f"rtx-{surface['version']}.json"
        target.write_text(as_text(surface))
        return
    if arguments[0] == "--print":
        sys.path.insert(0, arguments[1])
        sys.stdout.write(json.dumps(surface_of(importlib.import_module("tensorrt_bindings"))))
        return
    surface = record(Path(arguments[0]))
    target = Path(arguments[1]) / f"{surface['version']}.json"
    target.write_text(as_text(surface))


if __name__ == "__main__":
    main(sys.argv[1:])
