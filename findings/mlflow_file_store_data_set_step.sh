#!/usr/bin/env bash
# MLflow with its file store: the same value at the same step is logged twice, once plainly and once with the data set
# that it was measured on (log_metric(..., dataset=...)). The values of steps 10, 30 and 20 come in this order.
#
# One would guess: the data set is more about the same point, which has the same value, step and time as the other.
# What happens: MLflow writes the right step and reads 0. A line of the metric's file is "time value step", and with a
# data set "time value step name digest"; but the reader takes the step only from a line of exactly three words. The
# history of a metric that knows its data set is one heap of points at step 0, and the latest value, which should be
# that of the greatest step, is the one that came last.
set -euo pipefail
version=3.17.2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "mlflow-skinny==$version" numpy
cat > "$folder/metrics.py" <<'PYTHON'
from pathlib import Path

import mlflow
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset

mlflow.set_tracking_uri(Path("mlruns").absolute().as_uri())
digits = MetaDataset(HTTPDatasetSource("https://example.org/digits"), name="digits", digest="1")
accuracies = {10: 0.5, 30: 0.75, 20: 0.625}
with mlflow.start_run() as run:
    for time, (step, accuracy) in enumerate(accuracies.items(), start=1):
        mlflow.log_metric("plain", accuracy, step=step, timestamp=time)
        mlflow.log_metric("with_data_set", accuracy, step=step, timestamp=time, dataset=digits)
client = mlflow.MlflowClient()
for key in ("plain", "with_data_set"):
    (file,) = Path("mlruns").glob(f"*/*/metrics/{key}")
    written = [int(line.split()[2]) for line in file.read_text().splitlines()]
    read = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
    latest = client.get_run(run.info.run_id).data.metrics[key]
    print(f"{key}: steps logged {list(accuracies)}, written {written}, read {read}, latest value {latest}")
PYTHON
"$folder/env/bin/python" --version
cd "$folder"
export HOME="$folder" MLFLOW_ALLOW_FILE_STORE=true
echo "mlflow-skinny $("$folder/env/bin/python" -c 'import mlflow; print(mlflow.__version__)')"
seen=$("$folder/env/bin/python" metrics.py)
echo "$seen"
expected='plain: steps logged [10, 30, 20], written [10, 30, 20], read [10, 30, 20], latest value 0.75
with_data_set: steps logged [10, 30, 20], written [10, 30, 20], read [0, 0, 0], latest value 0.625'
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
