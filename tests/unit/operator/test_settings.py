"""Settings: flags over environment over defaults; every bad value told."""

import pytest

from connector_operator.cli import main
from connector_operator.settings import OPTIONS, SettingError, describe_settings, read_settings

GOOD = {"CONNECTOR_OPERATOR_RUNNER_IMAGE": "runner:1"}


def test_a_flag_wins_over_the_environment() -> None:
    settings = read_settings({"workers": "3"}, {**GOOD, "CONNECTOR_OPERATOR_WORKERS": "4", "OTHER": "x"})
    assert (settings.workers, settings.resync, settings.runner_image) == (3, 600, "runner:1")


def test_names_are_split() -> None:
    assert read_settings({"namespaces": "a, b,"}, GOOD).namespaces == ("a", "b")


@pytest.mark.parametrize(
    ("field", "text"),
    [("workers", "none"), ("workers", "0"), ("log_format", "xml"), ("listen", "8080"), ("listen", "h:99999")],
)
def test_a_bad_value_is_told_with_its_flag(field: str, text: str) -> None:
    with pytest.raises(SettingError, match="--" + field.replace("_", "-")):
        read_settings({field: text}, GOOD)


def test_all_bad_values_are_told_at_once() -> None:
    with pytest.raises(SettingError) as refused:
        read_settings({"workers": "x"}, {"CONNECTOR_OPERATOR_RESYNC": "y"})
    assert all(part in str(refused.value) for part in ("--workers", "CONNECTOR_OPERATOR_RESYNC", "--runner-image"))


def test_every_setting_is_documented() -> None:
    table = describe_settings()
    assert all(f"`{option.flag}`" in table and option.meaning in table for option in OPTIONS)


def test_what_happens_to_one_of_several_namespaces_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "If one of several is deleted, or the operator loses its rights there" in said
    assert "watched again when it is back" in said


def test_a_bad_start_ends_with_a_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTOR_OPERATOR_RUNNER_IMAGE", raising=False)
    assert main(["run"]) == 2
    assert "--runner-image" in capsys.readouterr().err


def test_crds_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crds"]) == 0
    assert "connectors.apperate.io" in capsys.readouterr().out
