"""The build: when it is done again, what it says if it fails, and Go's own tests and formatting."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from tests.localkube import build

pytestmark = [
    pytest.mark.usefixtures("local_only"),
    pytest.mark.timeout(1800),  # with an empty cache Go compiles all of Kubernetes first
]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources' names, small enough to change."""
    folder = tmp_path / "localkube"
    folder.mkdir()
    for name, text in {"main.go": "package main", "go.mod": "module x\n\ngo 1.26.0\n", "README.md": "words"}.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(build, "SOURCES", folder)
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    return folder


def test_only_go_sources_make_a_build_new(sources: Path) -> None:
    before = build.source_hash()
    (sources / "README.md").write_text("other words")
    (sources / "main_test.go").write_text("package main")
    assert build.source_hash() == before
    (sources / "more.go").write_text("package main")
    assert build.source_hash() != before
    (sources / "more.go").unlink()
    assert build.source_hash() == before
    (sources / "go.mod").write_text("module x\n\ngo 1.27.0\n")
    assert build.source_hash() != before
    assert build.wanted_go() == (1, 27)


def test_failed_build_says_why_and_leaves_nothing(sources: Path) -> None:
    (sources / "main.go").write_text("package main\n\nfunc main() { nonsense }\n")
    killed = build.BUILD / "versions" / build.source_hash() / "localkube.1"
    killed.parent.mkdir(parents=True)
    killed.touch()
    with pytest.raises(build.BuildError, match="undefined: nonsense"):
        build.ensure_binary(quiet=True)
    assert not (build.BUILD / "bin").exists()
    assert not list(build.BUILD.rglob("localkube*"))


def test_builds_at_once_are_one_and_the_link_moves_in_one_step(
    sources: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (sources / "main.go").write_text('package main\n\nfunc main() { println("one") }\n')
    threads = [threading.Thread(target=build.ensure_binary) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err.count("built in") == 1
    binary = build.ensure_binary(quiet=True)
    first = binary.resolve()
    (sources / "main.go").write_text('package main\n\nfunc main() { println("two") }\n')
    assert build.ensure_binary(quiet=True).resolve() != first
    assert subprocess.run([first], capture_output=True, text=True, check=True).stderr == "one\n"
    assert subprocess.run([binary], capture_output=True, text=True, check=True).stderr == "two\n"
    assert binary.with_name("kubectl").resolve() == binary.resolve()


def test_old_versions_are_forgotten(sources: Path) -> None:
    for number in range(6):
        (sources / "main.go").write_text(f"package main\n\nfunc main() {{ println({number}) }}\n")
        build.ensure_binary(quiet=True)
    assert len(list((build.BUILD / "versions").iterdir())) == build.KEPT_VERSIONS


def test_go_sources_are_formatted_and_pass_their_tests() -> None:
    go = build.find_go()
    gofmt = Path(go).with_name("gofmt")
    if not gofmt.exists():
        gofmt = (
            Path(subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip())
            / "bin/gofmt"
        )
    unformatted = subprocess.run([gofmt, "-l", "."], cwd=build.SOURCES, capture_output=True, text=True, check=True)
    assert unformatted.stdout == ""
    build.ensure_binary()  # what the tests share with it is then compiled
    # Without vet: for a few hundred lines it would analyse all of Kubernetes.
    command = [go, "test", "-trimpath", "-vet=off", "./..."]
    done = subprocess.run(command, cwd=build.SOURCES, env=build.go_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
