"""What export writes: the numbers of the run, in figures, films and tables, the same bytes each time."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from PIL import Image, ImageSequence
from support.imports import modules_after

from engine.errors import DataError
from engine.measures.friction import fit_curve
from engine.runs.directory import Run
from engine.runs.files import append_line
from engine.runs.listing import open_home
from engine.runs.records import Cell, Curve, Ended, Event, Started
from engine.settings.chain import ChainConfig
from engine.settings.probe import ProbeConfig
from engine.settings.sweep import SweepConfig
from engine.settings.train import TrainConfig
from engine.sweep.diagrams import make_sweep
from engine.sweep.summary import summarise
from springtui.cli import main
from springtui.export import figures, films
from springtui.export.export import Material, Wanted, export, export_aside, read_material, written
from springtui.state.diagram import COLOURS, grid_of, summaries_of

CURVE = [1.0, 0.4, -0.3, -1.1, -2.0]


def written_run(home: Path, settings: TrainConfig | ChainConfig | ProbeConfig, events: list[Event]) -> Run:
    """A run as a worker leaves it."""
    run = Run.create(open_home(home), settings)
    writer = run.writer()
    for event in events:
        writer.write(event)
    writer.release()
    return run


def network_events(count: int = 9) -> list[Event]:
    layers = ["input", "layer 1", "$\x1b[2Jlayer$ 2", "layer 3", "logits"]
    started = Started(pid=1, host="here", settings={}, layers=layers, total=count)
    curves = [
        Curve(
            at=i,
            step=5 * i,
            curves={"trace_ratio": [1.0, *(d * i / (count - 1) for d in CURVE[1:])], "fuzziness": [None] * 5},
            scalars={"train_loss": 2.0 / (1 + i), "test_accuracy": 0.1 * i, "train_accuracy": None},
        )
        for i in range(count)
    ]
    return [started, *curves, Ended(reason="finished", at=count)]


@pytest.fixture
def network(home: Path) -> Run:
    return written_run(home, TrainConfig(depth=4), network_events())


@pytest.fixture
def chain(home: Path) -> Run:
    curves = [
        Curve(
            at=100 * i,
            step=100 * i,
            curves={"distance": [1.0, 1 - 0.2 * i, 1 - 0.3 * i, 0.0]},
            positions=[0.2 * i, 0.3 * i],
        )
        for i in range(4)
    ]
    return written_run(home, ChainConfig(blocks=2), list(curves))


@pytest.fixture
def sweep(home: Path) -> Run:
    axes = {"x": ("data_noise", (0.0, 0.4)), "y": ("negative_slope", (0.0, 0.5, 1.0))}
    run = Run.create(open_home(home), make_sweep("data-noise", {}, axes=axes, seeds=1))
    writer = run.writer()
    for index in range(5):  # the last cell is not made yet
        curve = [1.0, 0.8 - 0.1 * index, 0.2, -0.5, -1.0]
        scalars = {"test_accuracy": 0.5 + 0.05 * index}
        writer.write(
            Cell(
                cell=index,
                member=0,
                final=True,
                at=1,
                curves={"trace_ratio": curve},
                scalars=scalars,
                done=index + 1,
            )
        )
    writer.release()
    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFiles:
    def test_network(self, network: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["export", "last", "--out", str(tmp_path / "out")]) == 0
        told = capsys.readouterr().out.split()
        expected = [f"{network.id}{end}" for end in ("-load-curve.png", "-load-curve.svg", ".csv", ".json")]
        assert sorted(Path(file).name for file in told) == names(tmp_path / "out") == sorted(expected)
        assert (tmp_path / "out" / expected[0]).stat().st_mode & 0o400
        with Image.open(tmp_path / "out" / expected[0]) as picture:
            colours = picture.convert("RGB").getcolors(1 << 20)
        assert colours is not None
        assert len(colours) > 10  # it is a picture, not a blank
        ET.fromstring((tmp_path / "out" / expected[1]).read_text())
        rows = list(csv.DictReader((tmp_path / "out" / expected[2]).read_text().splitlines()))
        assert [int(row["at"]) for row in rows] == list(range(9))
        assert [float(rows[-1][f"trace_ratio_{i}"]) for i in range(5)] == CURVE
        assert (rows[0]["train_accuracy"], rows[0]["fuzziness_2"]) == ("", "")
        record = json.loads((tmp_path / "out" / expected[3]).read_text())
        assert record["config"]["settings"]["depth"] == 4
        assert len(record["records"]) == 11

    def test_chain(self, chain: Run, tmp_path: Path) -> None:
        assert main(["export", chain.id, "--out", str(tmp_path), "--format", "svg,csv"]) == 0
        assert {f"{chain.id}-load-curve.svg", f"{chain.id}-chain.svg", f"{chain.id}.csv"} <= set(names(tmp_path))
        rows = list(csv.DictReader((tmp_path / f"{chain.id}.csv").read_text().splitlines()))
        assert float(rows[3]["distance_1"]) == pytest.approx(0.4)
        assert float(rows[3]["positions_1"]) == pytest.approx(0.9)

    def test_sweep(self, sweep: Run, tmp_path: Path) -> None:
        assert main(["export", sweep.id, "--out", str(tmp_path), "--format", "pdf,csv"]) == 0
        assert (tmp_path / f"{sweep.id}-phase.pdf").read_bytes().startswith(b"%PDF")
        rows = list(csv.DictReader((tmp_path / f"{sweep.id}.csv").read_text().splitlines()))
        assert len(rows) == 5
        assert (float(rows[3]["data_noise"]), float(rows[3]["negative_slope"])) == (0.4, 0.5)
        assert float(rows[3]["D_1"]) == pytest.approx(0.5)

    @pytest.mark.parametrize("kind", ["network", "chain", "sweep"])
    def test_the_same_bytes_each_time(self, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        run = request.getfixturevalue(kind)
        material = read_material(run)
        wanted = Wanted(formats=("png", "svg", "pdf"))
        first = [path.read_bytes() for path in export(material, wanted, tmp_path / "a")]
        second = [path.read_bytes() for path in export(material, wanted, tmp_path / "b")]
        assert first == second
        assert all(first)

    def test_a_replay_begins_and_ends_as_the_run(self, network: Run, tmp_path: Path) -> None:
        assert main(["export", "last", "--figure", "replay", "--frames", "5", "--out", str(tmp_path)]) == 0
        with Image.open(tmp_path / f"{network.id}-replay.gif") as film:
            pictures = [picture.convert("RGB").tobytes() for picture in ImageSequence.Iterator(film)]
        assert len(pictures) == len(set(pictures)) == 5

    def test_a_replay_keeps_its_range_of_colours(self, sweep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """A cell of one value has one colour, whatever else has come in."""
        material = read_material(sweep)
        settings = material.config.settings
        assert isinstance(settings, SweepConfig)
        summaries = summaries_of(settings, material.state)
        values = [s.scalars["test_accuracy"] for s in summaries]
        assert min(values) < max(values)
        ranges = []
        monkeypatch.setattr(films, "phase", lambda *_, **__: ranges.append(_[2].fixed) or figures.phase(*_, **__))
        films.replay_phase(settings, [summaries[:1], summaries], COLOURS[0])
        assert ranges == [(min(values), max(values))] * 2

    def test_a_replay_of_a_diagram(self, sweep: Run, tmp_path: Path) -> None:
        assert main(["export", sweep.id, "--format", "gif", "--out", str(tmp_path)]) == 0
        with Image.open(tmp_path / f"{sweep.id}-replay.gif") as film:
            assert len(list(ImageSequence.Iterator(film))) == 5


class TestFigures:
    """The lines are the run's numbers."""

    def state(self, run: Run) -> Material:
        return read_material(run)

    def test_load_curve(self, network: Run) -> None:
        figure = figures.load_curve(self.state(network).state, "trace_ratio")
        left, right = figure.axes
        drawn = {line.get_label(): list(line.get_ydata()) for line in left.lines}  # type: ignore[arg-type]
        assert drawn["now"] == CURVE
        assert drawn["start"] == [1.0, 0.0, 0.0, 0.0, 0.0]
        assert [bar.get_width() for bar in right.patches] == pytest.approx([0.6, 0.7, 0.8, 0.9])  # type: ignore[attr-defined]
        figures.encode(figure, "png")  # a dollar in a layer's name is no mathematics

    def test_the_twin_has_the_error_that_was_recorded(self, home: Path) -> None:
        events = network_events()
        last = events[-2]
        assert isinstance(last, Curve)
        events[-2] = msgspec.structs.replace(last, scalars={**last.scalars, "friction_error": 0.0123})
        figure = figures.load_curve(
            self.state(written_run(home, TrainConfig(depth=4), events)).state, "trace_ratio"
        )
        (label,) = [str(line.get_label()) for line in figure.axes[0].lines if "F^*" in str(line.get_label())]
        fit = fit_curve(CURVE[:-1], error=0.0123)
        assert label == f"chain, $F^*$ = {fit.effective_friction:+.3f} ± 0.012"

    def test_a_probe_that_ends_before_the_logits(self, home: Path) -> None:
        """A user's own model: its last point counts, its measures are what it took."""
        started = Started(pid=1, host="here", settings={}, layers=["input", "a", "b", "c"], total=0)
        curve = Curve(at=70, step=70, curves={"trace_ratio": [1.0, 0.5, 0.0, -0.5]})
        run = written_run(home, ProbeConfig(layers=("input", "a", "b", "c")), [started, curve])
        material = self.state(run)
        figure = figures.load_curve(material.state, "trace_ratio")
        assert figure.axes[0].get_title(loc="left") == "step 70 · balanced · CV 0"
        assert material.state.latest is not None
        assert len(figures.positions_of(material.state, material.state.latest, "trace_ratio")) == 4
        with pytest.raises(DataError, match="did not record fuzziness; --measure takes one that it did: trace"):
            figures.load_curve(material.state, "fuzziness")

    def test_chain(self, chain: Run) -> None:
        material = self.state(chain)
        assert material.state.latest is not None
        assert figures.positions_of(material.state, material.state.latest, "distance") == pytest.approx(
            [0.0, 0.6, 0.9, 1.0]
        )

    def test_numbers_are_not_written_over_each_other(self) -> None:
        assert figures.block_numbers([0.0, 0.001, 0.002, 0.3, 0.9, 0.905]) == [
            (pytest.approx(0.001), "1–3"), (0.3, "4"), (pytest.approx(0.9025), "5–6"),
        ]  # fmt: skip
        assert figures.block_numbers([]) == []

    def test_a_curve_that_rises_is_no_chain(self, network: Run) -> None:
        state = self.state(network).state
        rising = Curve(at=1, step=1, curves={"trace_ratio": [0.0, 0.5, 1.0, 2.0, 3.0]})
        with pytest.raises(DataError, match="no picture as a chain: not trained yet"):
            figures.positions_of(state, rising, "trace_ratio")

    def test_a_cells_number_stands_where_its_curve_is_not(self, sweep: Run) -> None:
        material = self.state(sweep)
        settings = material.config.settings
        assert isinstance(settings, SweepConfig)
        summaries = summaries_of(settings, material.state)
        concave = [3.0, 2.9, 2.8, 2.6, 2.0, 0.0, -1.0]
        bent = [summaries[0]._replace(curves={"trace_ratio": concave}), *summaries[1:]]
        for shown, side in ((summaries, "right"), (bent, "left")):
            axes = figures.phase(settings, shown, COLOURS[0]).axes[0]
            assert axes.texts[0].get_horizontalalignment() == side

    def test_phase(self, sweep: Run) -> None:
        material = self.state(sweep)
        settings = material.config.settings
        summaries = summarise(settings, material.state.cells.values())  # type: ignore[arg-type]
        figure = figures.phase(settings, summaries, COLOURS[0])  # type: ignore[arg-type]
        grid = grid_of(settings, summaries, COLOURS[0])  # type: ignore[arg-type]
        assert grid is not None
        axes = figure.axes[0]
        assert [list(axes.images[0].get_array()[r]) for r in range(2)] == [[0.5, 0.55], [0.6, 0.65]]  # type: ignore[index]
        assert len(axes.lines) == sum(len(curve) > 1 for curve in grid.curves) == 5
        assert {"0.50", "0.70", "–"} <= {text.get_text() for text in axes.texts}


class TestJson:
    def test_records(self, network: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """Damaged lines are passed over, records of a newer kind are kept; nothing is written."""
        append_line(network.path / "events.jsonl", b'{"seq": 12, "half\n{"kind": "newer", "seq": 13}\n[1]\n')
        before = names(tmp_path)
        assert main(["export", "last", "--records", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert list(told) == ["run", "config", "records"]
        assert told["config"]["id"] == told["run"] == network.id
        assert [r["kind"] for r in told["records"]] == ["started", *["curve"] * 9, "ended", "newer"]
        assert told["records"][9]["curves"]["trace_ratio"] == CURVE
        assert names(tmp_path) == before

    def test_cells(self, sweep: Run, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["export", "last", "--json", "--records"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert list(told) == ["run", "config", "records", "cells"]
        assert [cell["test_accuracy"] for cell in told["cells"]] == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7])

    @pytest.mark.parametrize(
        "arguments",
        [[], ["--figure", "load-curve"], ["--format", "csv,json"], ["--figure", "chain", "--format", "svg"]],
    )
    @pytest.mark.parametrize("out", [True, False])
    def test_the_same_files_with_and_without(
        self,
        arguments: list[str],
        out: bool,
        network: Run,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        contents = []
        for number, more in enumerate(([], ["--json"])):
            folder = tmp_path / str(number)
            folder.mkdir()
            monkeypatch.chdir(folder)
            where = ["--out", "o"] if out else []
            assert main(["export", "last", *arguments, *where, *more]) == 0
            told = capsys.readouterr().out
            files = [path for path in folder.rglob("*") if path.is_file()]
            contents.append({path.relative_to(folder): path.read_bytes() for path in files})
            if more:
                told_object = json.loads(told)
                assert list(told_object) == ["run", "config", "files"]
                assert told_object["config"]["id"] == told_object["run"] == network.id
                listed = told_object["files"]
            else:
                listed = told.splitlines()
            assert sorted(map(Path, listed)) == sorted(contents[-1])
        assert contents[0] == contents[1]
        assert contents[0]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], ["--records prints JSON", "--json"]),
            (["--json", "--out", "o"], ["--records writes no file", "--out"]),
            (["--json", "--figure", "chain", "--tensorboard", "o"], ["--figure, --tensorboard"]),
        ],
    )
    def test_records_write_nothing(
        self,
        arguments: list[str],
        words: list[str],
        network: Run,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        folder = tmp_path / "here"
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert main(["export", network.id, "--records", *arguments]) == 2
        said = capsys.readouterr().err
        assert all(word in said for word in words), said
        assert not list(folder.iterdir())


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--figure", "phase"], ["phase", "load-curve, chain, loss, replay"]),
            (["--format", "jpg"], ["jpg", "png, svg, pdf, gif, csv, json"]),
            (["--format", ","], ["','", "png"]),
            (["--figure", "replay", "--format", "png"], ["replay", "gif", "png"]),
            (["--figure", "loss", "--format", "gif"], ["loss", "png, svg, pdf", "gif"]),
        ],
    )
    def test_is_named(
        self,
        arguments: list[str],
        words: list[str],
        network: Run,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        assert main(["export", "last", "--out", str(tmp_path / "o"), *arguments]) == 2
        said = capsys.readouterr().err
        assert all(word in said for word in words), said
        assert not (tmp_path / "o").exists()

    def test_colour(self, sweep: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert main(["export", "last", "--out", str(tmp_path), "--colour", "mauve"]) == 2
        assert "mauve" in (said := capsys.readouterr().err)
        assert "test_accuracy" in said

    def test_nothing_recorded_yet(self, home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        run = written_run(home, TrainConfig(), [])
        assert main(["export", run.id, "--figure", "load-curve", "--format", "png", "--out", str(tmp_path)]) == 2
        assert "no load curve yet" in capsys.readouterr().err
        assert not list(tmp_path.glob("*.png"))

    def test_a_folder_that_is_a_file(
        self, network: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "taken").write_text("mine")
        assert main(["export", "last", "--format", "csv", "--out", str(tmp_path / "taken" / "in")]) == 2
        assert "--out" in capsys.readouterr().err

    def test_without_matplotlib(self, network: Run, tmp_path: Path) -> None:
        """Pictures are refused before anything is written; data is written all the same."""
        code = "import sys; sys.modules['matplotlib'] = None; from springtui.cli import main; sys.exit(main())"
        for more, status, files in (([], 2, 0), (["--format", "csv,json"], 0, 2)):
            done = subprocess.run(
                [sys.executable, "-c", code, "export", "last", "--out", str(tmp_path / "o"), *more],
                capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2],
            )  # fmt: skip
            assert done.returncode == status, done.stderr
            assert ("springtui[figures]" in done.stderr) == bool(status)
            assert len(list((tmp_path / "o").glob("*"))) == files


def test_the_app_exports_in_another_process(sweep: Run, tmp_path: Path) -> None:
    made = export_aside(sweep, tmp_path / "exports", "cv")
    assert sorted(path.suffix for path in made) == [".csv", ".json", ".png", ".svg"]
    assert written(made).endswith(str(tmp_path / "exports"))
    assert "springtui[figures]" in written([path for path in made if path.suffix == ".csv"])


def test_the_app_process_imports_no_matplotlib() -> None:
    assert "matplotlib" not in modules_after(
        "import springtui.app, springtui.export.export, springtui.phase.screen"
    )
