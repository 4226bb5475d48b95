"""The table of streams: which are selected, how they are, and what the status leaves out."""

import pytest

from connector_operator.kubectl.streams import build_stream_cells, list_streams, say_missing_streams
from tests.unit.kubectl.objects import connector

STREAMS = [
    {"id": f"shop.{name}", "key": ["id"], "modes": ["upsert", "append"], "columns": 4} for name in ("a", "b", "_b_new")
]


def names(made: dict[str, object], like: str = "") -> list[str]:
    return [stream["id"] for stream in list_streams(made, like)]


def test_patterns_choose_the_lines() -> None:
    made = connector(streams=STREAMS)
    assert names(made) == ["shop.a", "shop.b", "shop._b_new"]
    assert names(made, "shop.?") == ["shop.a", "shop.b"]
    assert names(made, "*new") == ["shop._b_new"]
    assert names(made, "crm.*") == []
    with pytest.raises(ValueError, match="ends with a dot"):
        list_streams(made, "shop.")


def test_the_selected_are_marked() -> None:
    made = connector(streams=STREAMS, selection={"aside": ["shop._b_new"]})
    made["spec"] = {"streams": {"include": ["shop.*"], "exclude": ["*.a"]}}
    assert {stream["id"]: stream["selected"] for stream in list_streams(made)} == {
        "shop.a": False,
        "shop.b": True,
        "shop._b_new": False,
    }
    made["spec"] = {"selectedStream": "shop.a"}
    assert [stream["id"] for stream in list_streams(made) if stream["selected"]] == ["shop.a"]
    made["spec"] = {"streams": {"include": ["shop."]}}
    assert not any(stream["selected"] for stream in list_streams(made))


def test_a_line_says_how_a_stream_is() -> None:
    progress = {
        "slowest": [{"stream": "shop._b_new", "seconds": 9}],
        "copies": [{"stream": "shop.a", "done": 40, "total": 100}],
        "failures": [{"stream": "shop.b", "reason": "KeyMissing"}],
    }
    cells = [build_stream_cells(stream) for stream in list_streams(connector(streams=STREAMS, progress=progress))]
    assert cells[0] == ("shop.a", "no", "id", "upsert,append", "4", "copying: 40 of 100")
    assert [line[-1] for line in cells[1:]] == ["failed: KeyMissing", "9s behind"]


def test_what_the_status_leaves_out_is_said() -> None:
    assert say_missing_streams(connector(streams=STREAMS, streamsTotal=3)) == ""
    assert "3 of 800" in say_missing_streams(connector(streams=STREAMS, streamsTotal=800))
    assert "why trades" in say_missing_streams(connector())
