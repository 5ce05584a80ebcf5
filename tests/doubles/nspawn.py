"""A virtual machine with systemd: systemd-nspawn over a cached root file system.

The machine runs on an overlay over a cached root, never on the root of the host, and its files
vanish with it. In `booted` Python and the packages come from the environment that runs the tests;
a `bare` machine has what Debian has.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SOURCE = Path("/opt/source")
PACKAGES = "systemd,systemd-sysv,dbus,procps,python3,mosquitto,kmod,udev,logrotate"
BARE_PACKAGES = "systemd,systemd-sysv,dbus,procps,udev,python3,python3-venv,openssh-server"
_TOOLS = ("systemd-nspawn", "nsenter", "mount", "umount")


def suite() -> str:
    """Returns the Debian or Ubuntu release of this host, whose libraries its Python needs."""
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    return "bookworm"


def cached_root() -> Path:
    """Returns the folder of the root file system, which stays between runs."""
    return REPOSITORY / "build" / "nspawn" / suite()


def bare_root() -> Path:
    """Returns the folder of a Debian with Python, which is all that install.sh asks for."""
    return cached_root().with_name(f"{suite()}-bare")


def why_not(root: Path | None = None) -> str:
    """Returns the reason why no machine can start here; empty when one can."""
    if os.geteuid() != 0:
        return "needs root, for systemd-nspawn"
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)} (apt install systemd-container)"
    if not ((root or cached_root()) / "usr/bin/python3").exists():
        return "needs a root file system: make reliability builds it"
    return ""


def build_root(root: Path | None = None, packages: str = PACKAGES) -> None:
    """Makes a root file system, once; needs a minute or two and the network."""
    root = root or cached_root()
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = root.with_name(f".incomplete-{root.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    subprocess.run(
        ["mmdebstrap", "--variant=minbase", f"--include={packages}", suite(), str(unfinished)],
        check=True,
    )
    unfinished.rename(root)


class Machine:
    """A booted machine.

    Args:
        folder: for the file of its console.
        options: further ones of systemd-nspawn.

    Attributes:
        root: its file system as the host sees it.
        leader: process id of its systemd on the host.
    """

    def __init__(self, folder: Path, root: Path, options: Sequence[str] = ()) -> None:
        self.root = root
        self._console = folder / "console"
        self._command = ["systemd-nspawn", "--quiet", "-D", str(root), "--register=no"]
        self._command += ["--keep-unit", "--private-network", "--resolv-conf=off"]
        self._command += ["--timezone=off", *options, "--boot", "--console=read-only"]
        self._boot()

    @property
    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self.leader), "-m", "-p", "-n", "-i", "-u", "-C"]

    def _boot(self) -> None:
        with self._console.open("a") as console:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        try:
            self.leader = _leader(self._process)
            wait_until(self._is_up)
        except BaseException:
            self.stop()
            raise

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).strip()
        return state in {"running", "degraded"}

    def reboot(self) -> None:
        """Shuts the machine down in order, and waits until it is up again."""
        self.run("systemctl", "reboot", check=False)
        self._process.wait(120)  # with --keep-unit it leaves the restart to the caller
        self._boot()

    def stop(self) -> None:
        """Ends the machine."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def run(self, *words: str, check: bool = True) -> str:
        """Runs a command in the machine as root, and returns its output and errors."""
        done = subprocess.run(
            [*self._enter, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}")
        return done.stdout

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Runs a command in the machine until the end of the block, which ends its input."""
        pipe = subprocess.PIPE
        with subprocess.Popen([*self._enter, *words], stdin=pipe, stdout=pipe, text=True) as one:
            yield one

    def show(self, unit: str, name: str) -> str:
        """Returns a property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").strip()

    def journal(self, unit: str) -> str:
        """Returns the messages of a unit."""
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit)

    def write(self, path: str, content: str, mode: int = 0o644) -> Path:
        """Writes a file in the machine."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        target.chmod(mode)
        return target


def wait_until(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    """Polls until `condition` holds; raises AssertionError when it does not in time."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boots a machine with /opt/linewarden in it, as after an installation.

    Args:
        folder: empty folder for the files of the machine.
    """
    root = folder / "root"
    with _overlay(cached_root(), folder, root):
        _install_python(root)
        machine = Machine(folder, root, _binds())
        try:
            machine.run("ldconfig")
            yield machine
        finally:
            machine.stop()


@contextlib.contextmanager
def bare(folder: Path) -> Iterator[Machine]:
    """Boots a machine from `bare_root`.

    Args:
        folder: empty folder for the files of the machine.
    """
    root = folder / "root"
    with _overlay(bare_root(), folder, root):
        machine = Machine(folder, root)
        try:
            yield machine
        finally:
            machine.stop()


@contextlib.contextmanager
def _overlay(lower: Path, folder: Path, root: Path) -> Iterator[None]:
    layers = {"upperdir": folder / "written", "workdir": folder / "work"}
    for path in (root, *layers.values()):
        path.mkdir()
    options = ",".join(f"{k}={v}" for k, v in {"lowerdir": lower.resolve(), **layers}.items())
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def _install_python(root: Path) -> None:
    """Makes a virtual environment at /opt/linewarden around the packages of the tests."""
    home = "/usr/bin" if sys.base_prefix == "/usr" else "/opt/python/bin"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = root / "opt/linewarden/lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (root / "opt/linewarden/pyvenv.cfg").write_text(f"home = {home}\n")
    command = root / "opt/linewarden/bin/linewarden"
    command.parent.mkdir()
    (command.parent / "python").symlink_to(f"{home}/{version}")
    command.write_text(
        "#!/opt/linewarden/bin/python\n"
        f"import sys\nsys.path.insert(0, {str(SOURCE)!r})\nsys.dont_write_bytecode = True\n"
        "from tests.doubles.faulty import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    # A Python that was built elsewhere looks for its library there.
    (root / "etc/ld.so.conf.d/python.conf").write_text("/opt/python/lib\n")


def _binds() -> list[str]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = Path(sys.prefix) / "lib" / version / "site-packages"
    binds = {REPOSITORY: SOURCE, packages: f"/opt/linewarden/lib/{version}/site-packages"}
    if sys.base_prefix != "/usr":
        binds[Path(sys.base_prefix)] = "/opt/python"
    return [f"--bind-ro={source}:{target}" for source, target in binds.items()]


def _leader(process: subprocess.Popen[bytes]) -> int:
    """Waits for the first process of a machine, and returns its id on the host."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def found() -> list[str]:
        assert process.poll() is None, "the machine did not start"
        return [pid for pid in children.read_text().split() if _name(pid) in {"systemd", "init"}]

    wait_until(found)
    return int(found()[0])


def _name(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
