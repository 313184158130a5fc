#!/usr/bin/env bash
# ClearML without a server (CLEARML_OFFLINE_MODE=1): a loss that becomes NaN and infinite is reported as a scalar, and
# the best accuracy is reported as a single value, which has no step.
#
# One would guess: the file metrics.jsonl says that the loss was not a number, as NaN, null or a missing value, so that
# whoever reads it later can tell a training that broke from one that did not. A value without a step has no step.
# What happens: NaN, inf and -inf all stand there as 0.0, which is the best loss there can be, in lines like any other.
# Two notices on the console say so, one a kind however many values follow; the file says nothing. The single value is
# an ordinary scalar of step -2147483648: drawn with the others, it makes an axis of two thousand million steps.
set -euo pipefail
version=2.1.12
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "clearml==$version" "six==1.17.0"
cat > "$folder/report.py" <<'PYTHON'
import json
import math
from pathlib import Path

from clearml import Task

task = Task.init(
    "project",
    "task",
    auto_connect_frameworks=False,
    auto_connect_arg_parser=False,
    auto_connect_streams=False,
    auto_resource_monitoring=False,
)
losses = [1.5, math.nan, math.inf, -math.inf, math.nan, 2.5]
for step, loss in enumerate(losses):
    task.get_logger().report_scalar("loss", "train", value=loss, iteration=step)
task.get_logger().report_single_value("best accuracy", 0.75)
folder = Path(task.get_offline_mode_folder())
task.close()
for line in (folder / "metrics.jsonl").read_text().splitlines():
    for event in json.loads(line):
        logged = losses[event["iter"]] if event["variant"] == "train" else 0.75
        print(f"{event['variant']}: logged {logged}, written {event['value']} at step {event['iter']}")
PYTHON
"$folder/env/bin/python" --version
echo "clearml $("$folder/env/bin/python" -c 'import clearml; print(clearml.__version__)')"
cd "$folder"
export HOME="$folder" CLEARML_CACHE_DIR="$folder/cache" CLEARML_OFFLINE_MODE=1
output=$("$folder/env/bin/python" report.py 2>&1)
seen=$(grep -E '^(train|best accuracy): ' <<< "$output" && echo "notices: $(grep -c 'value encountered' <<< "$output")")
echo "$seen"
expected='train: logged 1.5, written 1.5 at step 0
train: logged nan, written 0.0 at step 1
train: logged inf, written 0.0 at step 2
train: logged -inf, written 0.0 at step 3
train: logged nan, written 0.0 at step 4
train: logged 2.5, written 2.5 at step 5
best accuracy: logged 0.75, written 0.75 at step -2147483648
notices: 2'
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
