"""The project's own rules, where a machine can check them: names, sizes, links, commands that the documents mention."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TRACKED = [
    ROOT / name
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    if name and (ROOT / name).is_file()
]
DOCUMENTS = [path for path in TRACKED if path.suffix == ".md"]
PYTHON = [path for path in TRACKED if path.suffix == ".py"]
MAKE_TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
LONGEST_FILE = 330  # lines; about 300 is the aim


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check() -> None:
    assert len(DOCUMENTS) > 5
    assert len(PYTHON) > 20
    assert {"demo", "test", "help"} <= MAKE_TARGETS


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), f"{name(path)} links to {target}, which is not there"


def anchors_of(document: Path) -> set[str]:
    """The names of a document's headings, as links to them are written, and of its own anchors (rows of tables)."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    titles = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    ]
    own = set(re.findall(r'<a id="([^"]+)"></a>', text))
    return own | {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_to_a_heading_find_it(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
        document = path.parent / target if target else path
        if "://" not in target and document.suffix == ".md":
            assert anchor in anchors_of(document), (
                f"{name(path)} links to #{anchor} of {name(document.resolve())}, which is not there"
            )


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_make_targets_in_documents_exist(path: Path) -> None:
    mentioned = set(re.findall(r"(?:^|[`$\s])make ([a-z][a-z-]+)(?=[`\s]|$)", "\n".join(code_of(path.read_text()))))
    assert mentioned <= MAKE_TARGETS, f"{name(path)} names make targets that don't exist"


def code_of(text: str) -> list[str]:
    """Fenced blocks and code spans of a document."""
    return re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.DOTALL) + re.findall(r"`([^`\n]+)`", text)


def test_an_environment_that_is_gone_is_installed_anew(tmp_path: Path) -> None:
    command = ["make", "--dry-run", "venv", f"VENV={tmp_path / 'gone'}"]
    assert "pip install" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_no_name_that_says_nothing() -> None:
    empty = [
        name(path)
        for path in PYTHON
        if {part.removesuffix(".py") for part in path.relative_to(ROOT).parts} & EMPTY_NAMES
    ]
    assert empty == []


def test_files_stay_readable() -> None:
    long = {name(path): lines for path in PYTHON if (lines := path.read_text().count("\n")) > LONGEST_FILE}
    assert long == {}


def test_operator_folder_is_no_package() -> None:
    packages = [name(path) for path in TRACKED if path.name == "__init__.py" and path.parent.name == "operator"]
    assert packages == [], "the standard library has a module named operator; a package of that name breaks Python"


def test_nothing_tracked_carries_a_path_of_one_machine_or_a_registry() -> None:
    pattern = re.compile(r"/(?:work|home|root)/(?!\.)\w+|/Users/\w+|registry\.npmjs|files\.pythonhosted|repo1\.maven")
    binary = {".png", ".gz", ".svg", ".sum", ".bin", ".jsonl"}
    found = {
        f"{name(path)}:{number}"
        for path in TRACKED
        if path.suffix not in binary and path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").split("\n"), 1)
        if pattern.search(line)
    }
    assert found == set()


@pytest.mark.parametrize("path", [path for path in TRACKED if path.name == "Dockerfile"], ids=name)
def test_dockerfiles_copy_what_is_there_and_not_ignored(path: Path) -> None:
    admitted = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    sources = [
        source
        for line in path.read_text().split("\n")
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any((ROOT / source).is_relative_to(ROOT / start) for start in admitted), source
