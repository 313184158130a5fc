#!/usr/bin/env bash
# An option that tests/conftest.py adds to pytest, given in two words with a file's name: --tally FILE.
#
# One would guess: it works, or it does not, whatever lies on the disk; `--tally FILE` and `--tally=FILE` mean the same.
# What happens: in two words it works as long as FILE does not exist, and fails from the moment that it does. To find
# the conftest files, pytest reads its arguments before the option is known, takes every word that names an existing
# path for a test, looks for conftest.py beside it, and then knows no such option ("unrecognized arguments"). A tool
# that writes FILE itself so works once and never again. In one word (--tally=FILE) both runs work.
set -euo pipefail
version=8.4.2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "pytest==$version"
mkdir "$folder/project" "$folder/project/tests"
cd "$folder/project"
printf '[pytest]\ntestpaths = tests\n' > pytest.ini
cat > tests/conftest.py <<'PYTHON'
def pytest_addoption(parser):
    parser.addoption("--tally")


def pytest_sessionfinish(session):
    with open(session.config.getoption("tally"), "a") as file:
        file.write("a session\n")
PYTHON
printf 'def test_nothing():\n    pass\n' > tests/test_nothing.py

run() {
  local status=0
  "$folder/env/bin/python" -m pytest -q -p no:cacheprovider "$@" > output.txt 2>&1 || status=$?
  echo "pytest $*: exit status $status: $(grep -E 'passed|unrecognized' output.txt | tail -n 1 | sed 's/ in [0-9.]*s//')"
}

"$folder/env/bin/python" --version
"$folder/env/bin/python" -m pytest --version
seen=$(
  rm -f tally && run --tally tally && run --tally tally
  rm -f tally && run --tally=tally && run --tally=tally
)
echo "$seen"
[ "$(grep -o 'exit status [0-9]' <<< "$seen" | tr '\n' ' ')" = "exit status 0 exit status 4 exit status 0 exit status 0 " ] ||
  { echo "this is no longer what was seen"; exit 1; }
