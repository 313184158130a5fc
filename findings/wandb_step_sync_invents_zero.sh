#!/usr/bin/env bash
# wandb without a server: define_metric("loss", step_metric="global_step") draws the loss over global_step. The loss
# of a training that goes on at global step 100 is logged in rows of its own, once before any global step.
#
# One would guess: rows hold what was logged. Or, as the documentation of step_sync says (true if there is a step
# metric), "the last value of step_metric" is put into rows that lack it; a row before the first value then gets none.
# What happens: each row with the loss gets the last global step, so global_step has more points than were logged; and
# the loss before the first one gets global step 0, a value that was never logged. The curve so begins at 0, with a
# straight line to 100.
set -euo pipefail
version=0.31.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "wandb==$version"
cat > "$folder/rows.py" <<'PYTHON'
import json
import struct
import time
from pathlib import Path

import wandb
from wandb.proto.wandb_internal_pb2 import Record

FIRST, LAST, WHOLE = 2, 4, 1


def records(data):
    """Records of a .wandb file: after 7 bytes come blocks of 32 KiB with fragments, as in a log of LevelDB."""
    place, record = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        _, size, kind = struct.unpack_from("<IHB", data, place) if left >= 7 else (0, 0, 0)
        if kind == 0:
            place += left
            continue
        record = (b"" if kind in (WHOLE, FIRST) else record) + data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (WHOLE, LAST):
            yield Record.FromString(record)


logged = [{"loss": 9.5}]
for step in (100, 110, 120):
    logged += [{"global_step": step}, {"loss": step / 1000}]
with wandb.init(project="project") as run:
    run.define_metric("loss", step_metric="global_step")
    for row in logged:
        run.log(row)
(file,) = Path("wandb").glob("offline-run-*/run-*.wandb")
end = time.monotonic() + 60
while not any(record.HasField("exit") for record in records(file.read_bytes())) and time.monotonic() < end:
    time.sleep(0.1)  # the file may still be without all its records when the run has been finished
written = []
for record in records(file.read_bytes()):
    if record.WhichOneof("record_type") == "history":
        row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        written.append({key: row[key] for key in sorted(row) if not key.startswith("_")})
for before, after in zip(logged, written, strict=True):
    print(f"logged {before}, written {after}")
PYTHON
"$folder/env/bin/python" --version
cd "$folder"
export HOME="$folder" WANDB_MODE=offline WANDB_SILENT=true
echo "wandb $("$folder/env/bin/python" -c 'import wandb; print(wandb.__version__)')"
seen=$("$folder/env/bin/python" rows.py)
echo "$seen"
expected="logged {'loss': 9.5}, written {'global_step': 0, 'loss': 9.5}
logged {'global_step': 100}, written {'global_step': 100}
logged {'loss': 0.1}, written {'global_step': 100, 'loss': 0.1}
logged {'global_step': 110}, written {'global_step': 110}
logged {'loss': 0.11}, written {'global_step': 110, 'loss': 0.11}
logged {'global_step': 120}, written {'global_step': 120}
logged {'loss': 0.12}, written {'global_step': 120, 'loss': 0.12}"
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
