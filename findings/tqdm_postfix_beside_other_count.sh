#!/usr/bin/env bash
# tqdm around a training loop that shows the loss of each step with set_postfix, its drawings kept in a file: step k
# has loss 10 k. Whoever has no other log reads the curve from these lines: "2/5 ..., loss=20".
#
# One would guess: the number before the total and the loss beside it belong to the same step, in the last drawing of a
# number at the latest.
# What happens: set_postfix draws at once, and the loop counts a step only when the next one is asked for. So steps that
# take longer than `mininterval` (0.1 s) are drawn twice at each count: first with their own loss, then with that of
# the step after. With shorter steps it is worse: the count that is drawn stands still for `mininterval`, while a new
# loss is drawn beside it at each step: many losses of one count, and none at most of the others.
set -euo pipefail
version=4.70.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "tqdm==$version"
cat > "$folder/bar.py" <<'PYTHON'
import io
import re

import tqdm

# To depend on no clock: mininterval 0 makes every step a slow one, and an hour makes every step a fast one.
for kind, mininterval in (("slow steps", 0), ("fast steps", 3600)):
    file = io.StringIO()
    bar = tqdm.tqdm(range(1, 6), file=file, mininterval=mininterval)
    for step in bar:
        bar.set_postfix(loss=10 * step)
    drawn = re.findall(r"(\d)/5 \[[^\r]*loss=(\d+)", file.getvalue())
    print(f"{kind}:", " ".join(f"{count}/5={loss}" for count, loss in drawn))
PYTHON
"$folder/env/bin/python" --version
echo "tqdm $("$folder/env/bin/python" -c 'import tqdm; print(tqdm.__version__)')"
seen=$("$folder/env/bin/python" "$folder/bar.py")
echo "$seen"
expected='slow steps: 0/5=10 1/5=10 1/5=20 2/5=20 2/5=30 3/5=30 3/5=40 4/5=40 4/5=50 5/5=50 5/5=50
fast steps: 0/5=10 0/5=20 0/5=30 0/5=40 0/5=50 5/5=50'
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
