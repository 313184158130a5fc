#!/usr/bin/env bash
# CSVLogger of Lightning Fabric without a step: log_metrics(metrics) leaves it to the logger to number the rows.
#
# One would guess: rows are numbered 0, 1, 2 and on, and `flush_logs_every_n_steps` only says when they reach the disk.
# What happens: the number is that of the rows which are not yet on the disk. It begins again at 0 after each flush, so
# with the default of 100 the steps of a long training go from 0 to 99 time after time; and with a flush after every
# row, all of them have step 0.
set -euo pipefail
version=2.6.6
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "lightning-fabric==$version" "torch==2.13.0" numpy
cat > "$folder/rows.py" <<'PYTHON'
import csv
from pathlib import Path

from lightning_fabric.loggers import CSVLogger

for every in (100, 4, 1):
    logger = CSVLogger("logs", name=f"every_{every}", flush_logs_every_n_steps=every)
    for loss in range(250 if every == 100 else 10):
        logger.log_metrics({"loss": loss})
    logger.finalize("success")
    with Path(logger.log_dir, "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    shown = steps if len(steps) <= 10 else f"0 to {max(steps)}, each up to {max(map(steps.count, steps))} times"
    print(f"flushed every {every}: {len(rows)} rows, steps {shown}")
PYTHON
"$folder/env/bin/python" --version
cd "$folder"
echo "lightning-fabric $("$folder/env/bin/python" -c 'import lightning_fabric; print(lightning_fabric.__version__)')"
seen=$("$folder/env/bin/python" rows.py)
echo "$seen"
expected='flushed every 100: 250 rows, steps 0 to 99, each up to 3 times
flushed every 4: 10 rows, steps [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
flushed every 1: 10 rows, steps [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]'
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
