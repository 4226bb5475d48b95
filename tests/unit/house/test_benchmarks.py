"""What benchmarks say of their last results is what they measured."""

from benchmarks.mysql.report import build_files


def test_tables_and_chart_of_the_mysql_benchmark_follow_from_its_results() -> None:
    for path, text in build_files().items():
        assert path.read_text() == text, (
            f"{path} is not made from results.json: run `python -m benchmarks.mysql.report`"
        )
