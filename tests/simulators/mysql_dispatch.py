"""Replaces the runner's image in the shared test cluster: the real runner for MYSQL, the null runner for everything else."""

import os
import sys
from pathlib import Path

from connector_runner.schemas.manifest import read_variables

NULL_RUNNER = Path(__file__).parent / "null_runner" / "__main__.py"


def main() -> None:
    if '"connectorType":"MYSQL"' in read_variables(os.environ).replace(": ", ":"):
        runner = Path(sys.executable).with_name("connector-runner")
        os.execv(runner, [str(runner), *sys.argv[1:]])  # noqa: S606 - the whole purpose
    os.execv(sys.executable, [sys.executable, "-I", "-S", str(NULL_RUNNER), *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    main()
