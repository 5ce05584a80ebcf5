"""List the examples of configurations, or print one of them.

Lines with each camera, trigger and output, the panel, layouts, training, monitoring,
rollouts, containers: the files of the folder 'configs' of the source. NAME is the path of
one, or its last part without the ending where that is clear. Paths in an example are
relative to the file: change them to yours.

examples:
  linewarden example
  linewarden example modbus --out press3.yaml
  linewarden example panel/panel.yaml
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from inspection.errors import ConfigError
from inspection.files import write_text
from linewarden.text_table import aligned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="example (default: list all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it to this new file")


def run(args: argparse.Namespace) -> int:
    """Lists, prints or writes."""
    folder = _folder()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    if args.name is None:
        if args.out is not None:
            raise ConfigError("--out: give the name of an example, too")
        for line in aligned([(name, _purpose(folder / name)) for name in names]):
            print(line)
        return 0
    content = (folder / _named(args.name, names)).read_text("utf-8")
    if args.out is None:
        sys.stdout.write(content)
        return 0
    if args.out.exists():
        raise ConfigError(f"--out {args.out}: exists; give a new file")
    write_text(args.out, content)
    return 0


def _folder() -> Path:
    """Returns the folder `configs`: in the installed package, or beside it in a working copy."""
    package = Path(__file__).parents[1]
    folders = (package / "configs", package.parent / "configs")
    return next(folder for folder in folders if folder.is_dir())


def _purpose(example: Path) -> str:
    """Returns the comment in the first line of an example; empty without one."""
    first = example.read_text("utf-8").partition("\n")[0]
    return first.removeprefix("# ") if first.startswith("# ") else ""


def _named(name: str, names: Iterable[str]) -> str:
    """Returns the one example of this name; raises ConfigError for none or several."""
    words = {known: _words_for(known) for known in names}
    matching = [known for known, its_words in words.items() if name in its_words]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise ConfigError(f"example {name!r}: is one of {', '.join(matching)}; give its path")
    every = sorted(set().union(*words.values()))
    near = difflib.get_close_matches(name, every, n=1)
    mend = f"did you mean {near[0]!r}?" if near else "'linewarden example' lists them"
    raise ConfigError(f"example {name!r}: there is none; {mend}")


def _words_for(example: str) -> set[str]:
    path = PurePosixPath(example)
    return {example, path.with_suffix("").as_posix(), path.name, path.stem}
