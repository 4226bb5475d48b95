#!/usr/bin/env bash
# Hypothesis 6.170.15: with derandomize=True the examples still depend on which modules are imported, and on the folder that they lie in.
#
# derandomize is said to try the same examples each time, so one would guess that a test that passed will pass until it is changed. But Hypothesis
# also draws constants that it finds in the source of all imported modules that are neither of the standard library nor below site-packages nor
# below a folder `test` or `tests`. Which modules those are depends on what ran before in the same process: with pytest-xdist, or when one test is
# run alone, the same test with the same seed gets other examples. A property that fails for one of them fails in CI alone, and passes when it is
# run again by itself.
# What helps: import all modules before the first example, or empty the pool of these constants.
#
# Seen with hypothesis 6.170.15 on Python 3.11. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check hypothesis==6.170.15
mkdir -p "$home/code/tests"
echo amber birch cobalt dune ember > "$home/code/words.txt"
echo 'WORDS = ["amber", "birch", "cobalt", "dune", "ember"]' | tee "$home/code/words.py" > "$home/code/tests/more_words.py"
cat > "$home/code/drawing.py" << 'PYTHON'
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

for folder in sys.argv[2:]:
    sys.path.insert(0, folder)
if sys.argv[1]:
    __import__(sys.argv[1])
found = []
words = set(Path(__file__).with_name("words.txt").read_text().split())


@settings(derandomize=True, database=None, max_examples=500)
@given(st.text(max_size=20))
def collect(text):
    found.append(text)


collect()
print(len(found), hash(tuple(found)), sum(text in words for text in found))
PYTHON
draw() { PYTHONHASHSEED=0 "$home/venv/bin/python" "$home/code/drawing.py" "$@"; }
none=$(draw "")
again=$(draw "")
local=$(draw words "$home/code")
below_tests=$(draw more_words "$home/code/tests")
cp -r "$home/code" "$home/test"
elsewhere=$(PYTHONHASHSEED=0 "$home/venv/bin/python" "$home/test/drawing.py" words "$home/test")
"$home/venv/bin/python" -c 'import hypothesis; print("hypothesis", hypothesis.__version__)'
echo "examples, their hash, how many are words of the module:"
echo "nothing imported:                  $none"
echo "the same again:                    $again"
echo "a module imported before:          $local"
echo "the same module below tests/:      $below_tests"
echo "all of it in a folder named test:  $elsewhere"
[ "$none" = "$again" ] || { echo "this has changed: not even the same twice"; exit 1; }
[ "$none" != "$local" ] || { echo "this has changed: an import changes nothing"; exit 1; }
[ "${local##* }" -gt 0 ] || { echo "this has changed: no word of the module is drawn"; exit 1; }
[ "${below_tests##* }" -eq 0 ] || { echo "this has changed: words below tests/ are drawn"; exit 1; }
[ "$local" != "$elsewhere" ] || { echo "this has changed: the folder's name does not matter"; exit 1; }
echo "as described"
