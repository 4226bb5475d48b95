"""What a session, or the server, is set to in mid-stream."""

from __future__ import annotations

from tests.fuzz.mysql.draw import Draw
from tests.fuzz.mysql.grammar.scene import Scene
from tests.fuzz.mysql.steps import Step

CLIENT_CHARSETS = {
    "utf8mb4": "utf-8",
    "latin1": "cp1252",
    "gbk": "gbk",
    "sjis": "shift_jis",
    "cp1251": "cp1251",
    "latin2": "iso8859_2",
    "big5": "big5",
    "koi8r": "koi8_r",
    "utf8mb3": "utf-8",
}
"""What sessions write their statements in, and the codec that does."""
SQL_MODES = ("", "ANSI_QUOTES", "STRICT_TRANS_TABLES", "NO_BACKSLASH_ESCAPES", "ALLOW_INVALID_DATES", "STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE",
             "ANSI", "PAD_CHAR_TO_FULL_LENGTH", "PIPES_AS_CONCAT", "NO_AUTO_VALUE_ON_ZERO")  # fmt: skip
ZONES = ("+00:00", "+05:30", "-11:00", "+13:00")


def session_setting(scene: Scene, draw: Draw) -> list[Step]:
    """One setting of the speaking session."""
    speaker = scene.speaker
    # What a name with quotes or beyond ASCII is worth trying with comes more often.
    wanted = 2 if '"' in scene.table else 0 if not scene.table.isascii() else draw.number(0, 7)
    match wanted if draw.chance(0.6) else draw.number(0, 7):
        case 0 | 1:
            speaker.charset = draw.pick([*CLIENT_CHARSETS] if draw.chance(0.4) else ["latin1", "gbk", "sjis"])
            return [Step("charset", f"SET NAMES {speaker.charset}", scene.session, speaker.charset)]
        case 2 | 3:
            speaker.sql_mode = draw.pick(SQL_MODES) if draw.chance(0.7) else "ANSI_QUOTES"
            extra = ",ALLOW_INVALID_DATES" if draw.chance(0.3) and speaker.sql_mode else ""
            return [Step("sql_mode", f"SET SESSION sql_mode = '{speaker.sql_mode}{extra}'", scene.session)]
        case 4:
            return [Step("time_zone", f"SET SESSION time_zone = '{draw.pick(ZONES)}'", scene.session)]
        case 5:
            return [
                Step(
                    "transaction isolation",
                    f"SET SESSION TRANSACTION ISOLATION LEVEL {draw.pick(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'])}",
                    scene.session,
                )
            ]
        case 6:
            return [
                Step(
                    "checks",
                    f"SET SESSION {draw.pick(['foreign_key_checks', 'unique_checks'])} = {draw.number(0, 1)}",
                    scene.session,
                )
            ]
        case _:
            charset, collation = draw.charset()
            return [
                Step(
                    "collation_connection",
                    f"SET SESSION collation_connection = '{collation}'"
                    if charset == "utf8mb4"
                    else "SET SESSION autocommit = 1",
                    scene.session,
                )
            ]


def server_setting(draw: Draw) -> list[Step]:
    """What concerns the whole log."""
    match draw.number(0, 9):
        case 0 | 1 | 2:
            return [Step("binlog_checksum", f"SET GLOBAL binlog_checksum = {draw.pick(['NONE', 'CRC32'])}")]
        case 3:
            return [
                Step(
                    "binlog_row_metadata", f"SET GLOBAL binlog_row_metadata = {draw.pick(['FULL'] * 30 + ['MINIMAL'])}"
                )
            ]
        case _:
            return [Step("log rotation", "FLUSH BINARY LOGS")]
