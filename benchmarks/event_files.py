"""Reading scalar event files to columns, beside TensorBoard's two readers with all points.

Each side is a process of its own. Counted is its user and system time from the moment at which it opens the first
file to the last column received; the start of the process and its imports are told apart. On our side that is the
process that reads and this one, which receives. Of the Rust data server it is the server's process, and the time
that this one takes to fetch all scalars by gRPC, which is less than what TensorBoard's own page costs. The
EventAccumulator is given a smaller file and its time extrapolated by the number of points, as is the time of our
parser without compiled code.

The files are those of ``add_scalar``: one number a record, 20 tags.

Usage: python benchmarks/event_files.py [MEGABYTES] [REPEATS] [MEGABYTES OF THE SMALLER FILE]
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from engine.logs import wire
from engine.logs.client import LogClient
from engine.logs.columns import Columns
from engine.logs.tensorboard.crc import crcs_of

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import tensorboard_writer as made  # noqa: E402

TAGS = [f"{group}/{name}" for group in ("train", "val", "system", "gradients")
        for name in ("loss", "accuracy", "learning_rate", "norm", "throughput")]  # fmt: skip
NAME = "events.out.tfevents.1700000000.host.7.0"
STEPS = 2000
"""Steps that are written at once."""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def write(folder: Path, megabytes: float) -> tuple[int, int]:
    """Write one file of about this size, in 10⁶ bytes; its points, and its last step."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    size, step = 0, 1
    with (folder / NAME).open("wb") as file:
        size += file.write(made.version(1.7e9))
        while size < megabytes * 1e6:
            width = len(made.varint(step))
            steps = np.arange(step, min(1 << 7 * width, step + STEPS))
            parts = []
            for i, tag in enumerate(TAGS):
                event = made.double(1, 0) + made.varint(16) + bytes(width) + made.summary([made.simple(tag, 0)])
                rows = np.tile(np.frombuffer(event, dtype=np.uint8), (len(steps), 1))
                rows[:, 1:9] = (1.7e9 + 0.1 * steps + 1e-4 * i).view(np.uint8).reshape(-1, 8)
                for j in range(width):
                    rows[:, 10 + j] = steps >> 7 * j & 127 | (128 if j < width - 1 else 0)
                rows[:, -4:] = chance.standard_normal(len(steps)).astype("<f4").view(np.uint8).reshape(-1, 4)
                head = np.frombuffer(made.record(event)[:12], dtype=np.uint8)
                parts += [np.tile(head, (len(steps), 1)), rows, crcs_of(rows)[:, None].view(np.uint8)]
            size += file.write(np.concatenate(parts, axis=1).tobytes())
            step = int(steps[-1]) + 1
    return (step - 1) * len(TAGS), step - 1


def cpu() -> float:
    """User and system seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def serve(folder: str, kind: str) -> None:
    """Our reading process, told at which moment its imports are done."""
    from engine.logs.server import Teller
    from engine.logs.source import Source
    from engine.logs.tensorboard.parser import CHOICE, WORTH
    from engine.logs.tensorboard.tags import Tags

    if kind == "compiled":
        from engine.logs.tensorboard.compiled import compile_all

        compile_all()
        CHOICE.expect(WORTH)
        CHOICE.parser(Tags())
    else:
        CHOICE.can_compile = False
    started = cpu()
    os.set_inheritable(1, False)

    def send(message: wire.Message, body: wire.Body) -> None:
        for piece in wire.frame(message, body):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(1, rest) :]
        if isinstance(message, wire.Idle):
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(json.dumps({"start": started, "cpu": cpu() - started, "peak": used.ru_maxrss}), file=sys.stderr)
            sys.stderr.flush()
            os._exit(0)

    teller = Teller(Source([Path(folder)]), send)
    while True:
        time.sleep(teller.step())


def ours(folder: Path, points: int, kind: str) -> dict[str, float]:
    """Our side: seconds of both processes, and bytes a point of what is held in the end."""
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", str(folder), kind],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        descriptor = process.stdout.fileno()
        columns = Columns()
        before = cpu()
        while (came := wire.read_frame(lambda rest: os.readv(descriptor, [rest]))) is not None:
            message, body = came
            if isinstance(message, wire.News):
                columns.take(wire.batch_of(message, body))
        received = cpu() - before
        told = json.loads(process.stderr.read())
    assert len(columns) == points
    held = sum(
        part.nbytes for tag in columns.tags for s in [columns.series(tag)] for part in (s.step, s.value, s.time)
    )
    return {
        "cpu_s": told["cpu"] + received,
        "of_it_receiving_s": received,
        "start_and_imports_s": told["start"],
        "peak_mib_of_the_reader": told["peak"] / 1024,
        "bytes_a_point": held / points,
    }


def whole_picture(folder: Path, points: int) -> float:
    """Seconds on the clock from the command to the last column, with the app's own client; nothing is loaded."""
    begin = time.perf_counter()
    client = LogClient([folder])
    client.wait(lambda client: client.is_idle and client.is_listed, 300)
    took = time.perf_counter() - begin
    (run,) = client.runs()
    assert sum(len(run.columns.series(tag)) for tag in run.columns.tags) == points
    client.close()
    return took


def accumulator(folder: str) -> None:
    """TensorBoard's reader in Python, with all points."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    started = cpu()
    reader = EventAccumulator(folder, size_guidance={"scalars": 0})
    reader.Reload()
    count = sum(len(reader.Scalars(tag)) for tag in reader.Tags()["scalars"])
    print(json.dumps({"start_and_imports_s": started, "cpu_s": cpu() - started, "points": count}))


def data_server(folder: str, last_step: int) -> None:
    """TensorBoard's reader in Rust, with all points: what its process and fetching the columns take."""
    import grpc
    import tensorboard_data_server
    from tensorboard.data.proto import data_provider_pb2 as asked
    from tensorboard.data.proto import data_provider_pb2_grpc as service

    begin = time.perf_counter()

    with tempfile.TemporaryDirectory() as place:
        port_file = Path(place) / "port"
        process = psutil.Popen(
            [tensorboard_data_server.server_binary(), f"--logdir={folder}", "--reload=1000", "--port=0",
             f"--port-file={port_file}", "--samples-per-plugin=scalars=1000000", "--die-after-stdin"],
            stdin=subprocess.PIPE,
        )  # fmt: skip
        while not port_file.exists() or not port_file.read_text().endswith("\n"):
            time.sleep(0.005)
        channel = grpc.insecure_channel(
            f"localhost:{int(port_file.read_text())}", options=[("grpc.max_receive_message_length", -1)]
        )
        stub = service.TensorBoardDataProviderStub(channel)
        which = asked.PluginFilter(plugin_name="scalars")
        while True:
            listed = stub.ListScalars(asked.ListScalarsRequest(experiment_id="x", plugin_filter=which))
            steps = [tag.metadata.max_step for run in listed.runs for tag in run.tags]
            if len(steps) == len(TAGS) and min(steps) >= last_step:
                break
            time.sleep(0.05)
        loaded = sum(process.cpu_times()[:2])
        before = cpu()
        count = 0
        for tag in TAGS:
            found = stub.ReadScalars(
                asked.ReadScalarsRequest(
                    experiment_id="x", plugin_filter=which, downsample=asked.Downsample(num_points=1_000_000),
                    run_tag_filter=asked.RunTagFilter(tags=asked.TagFilter(names=[tag])),
                )
            )  # fmt: skip
            for run in found.runs:
                for one in run.tags:
                    columns = [np.array(one.data.step), np.array(one.data.wall_time), np.array(one.data.value)]
                    count += len(columns[0])
        fetched = cpu() - before
        took = time.perf_counter() - begin
        served = sum(process.cpu_times()[:2])
        peak = process.memory_info().rss / 2**20
        process.kill()
    print(json.dumps({
        "cpu_s": served + fetched, "of_it_loading_s": loaded, "of_it_fetching_here_s": fetched, "points": count,
        "wall_s": took, "resident_mib_of_the_server": peak,
    }))  # fmt: skip


def child(*arguments: str) -> dict[str, Any]:
    """What another process of this script told."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main(megabytes: float, repeats: int, small: float) -> None:
    """Print the figures as JSON."""
    with tempfile.TemporaryDirectory() as place:
        whole, part = Path(place) / "whole", Path(place) / "part"
        points, last_step = write(whole, megabytes)
        few, _ = write(part, small)
        scale = points / few
        sides = {
            "compiled": lambda: ours(whole, points, "compiled"),
            "NumPy parser, smaller file": lambda: ours(part, few, "plain"),
            "EventAccumulator, smaller file": lambda: child("--accumulator", str(part)),
            "data server": lambda: child("--server", str(whole), str(last_step)),
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        walls = []
        chance = random.Random(0)
        for _ in range(repeats):
            for name in chance.sample(list(sides), len(sides)):
                found[name].append(sides[name]())
            walls.append(whole_picture(whole, points))
        figures = {
            name: {key: round(float(np.median([one[key] for one in runs])), 3) for key in runs[0]}
            for name, runs in found.items()
        }
        compiled, plain, slow, rust = (figures[name]["cpu_s"] for name in sides)
        print(json.dumps({
            "megabytes": round((whole / NAME).stat().st_size / 1e6, 1), "points": points,
            "megabytes_of_the_smaller": round((part / NAME).stat().st_size / 1e6, 1), "points_of_the_smaller": few,
            **figures,
            "wall_from_command_to_full_picture_s": round(float(np.median(walls)), 2),
            "times_faster_than_EventAccumulator": round(slow * scale / compiled, 1),
            "times_faster_than_data_server": round(rust / compiled, 1),
            "NumPy_times_faster_than_EventAccumulator": round(slow / plain, 1),
        }, indent=1))  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    elif sys.argv[1:2] == ["--accumulator"]:
        accumulator(sys.argv[2])
    elif sys.argv[1:2] == ["--server"]:
        data_server(sys.argv[2], int(sys.argv[3]))
    else:
        given = sys.argv[1:] + ["200", "3", "20"][len(sys.argv) - 1 :]
        main(float(given[0]), int(given[1]), float(given[2]))
