"""How many samples go through a model at once: as many as fit, and half of them where memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.errors import ProbeWarning
from engine.probe.load_probe import LoadProbe
from engine.probe.state.memory import amount, is_out_of_memory, samples_at_once
from engine.probe.state.operations import Operations
from engine.runs.directory import Run
from engine.settings.probe import ProbeConfig

MIB = 1 << 20
Y = torch.arange(64) % 4
X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + torch.eye(4, 16)[Y] * 2


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(state)


class Counting(nn.Module):
    """Counts the samples of each pass, and runs out of memory where there are more than ``room``."""

    def __init__(self, room: int = 10**9) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))
        self.room = room

    def forward(self, x: Tensor) -> Tensor:
        PASSES.append(len(x))
        if len(x) > self.room:
            torch.empty(1 << 55)  # more than any machine has
        out: Tensor = self.net(x)
        return out


PASSES: list[int] = []


def chunk_of(probe: LoadProbe) -> int:
    settings = Run(probe.path).config().settings  # type: ignore[arg-type]
    assert isinstance(settings, ProbeConfig)
    return settings.chunk


def test_memory_in_use_is_that_of_tensors_alive() -> None:
    weight = torch.zeros(1000, 1000)
    with torch.no_grad(), Operations(lambda _: None, counts_memory=True) as operations:
        a = torch.ones(1000, 250)
        b = weight @ a  # 1 MB each
        del a
        c = b.T[:10].relu()
        d = weight.view(-1)[5:]  # a view takes none
        b.add_(1)
        e = b * 2
    assert operations.peak == 4 * (250_000 + 250_000 + 10_000)
    assert (c.numel(), d.numel(), e.numel()) == (10_000, 999_995, 250_000)


def test_samples_that_fit() -> None:
    model = nn.Linear(1000, 1000, bias=False)  # 4 MB
    assert samples_at_once(MIB, 256 * MIB, model) == 256
    assert samples_at_once(300 * MIB, 256 * MIB, model) == 1
    assert samples_at_once(10, 256 * MIB, model) == 1024
    assert samples_at_once(0, 256 * MIB, model) == 128
    assert samples_at_once(100_000, 100_000, model) == 10  # a quarter of the weights
    assert samples_at_once(100_000, 100_000, model.requires_grad_(False)) == 1


def test_a_vocabulary_is_not_run_all_at_once() -> None:
    """Of 64 sequences the logits alone would take 64 x 16 x 50,000 numbers, 195 MiB."""

    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.act, self.head = nn.Embedding(50_000, 8), nn.ReLU(), nn.Linear(8, 50_000)

        def forward(self, ids: Tensor) -> Tensor:
            PASSES.append(len(ids))
            out: Tensor = self.head(self.act(self.tokens(ids)))
            return out

    ids = torch.randint(0, 9, (64, 16))
    model = Language()
    PASSES.clear()
    probe = LoadProbe(model, ids, memory=16)
    assert chunk_of(probe) == 5  # of 3.05 MiB each
    assert max(PASSES) == 5
    whole = LoadProbe(model, ids, memory=16, chunk=64)
    assert probe.curves["trace_ratio"] == pytest.approx(whole.curves["trace_ratio"], abs=1e-5)


def test_small_models_are_run_all_at_once() -> None:
    PASSES.clear()
    probe = LoadProbe(Counting(), X, Y)
    assert chunk_of(probe) == 1024
    assert PASSES[-1] == 64


@pytest.mark.parametrize("room", [40, 20, 3, 1])
def test_the_chunk_is_halved_where_memory_runs_out(room: int) -> None:
    model = Counting()
    wanted = LoadProbe(model, X, Y)
    probe = LoadProbe(model, X, Y, every=1)
    model.room = room
    PASSES.clear()
    probe.step()
    assert probe.curves["trace_ratio"] == pytest.approx(wanted.curves["trace_ratio"], abs=1e-5)
    assert PASSES[0] == 64
    assert max(PASSES[-2:]) <= room
    PASSES.clear()
    probe.measure()
    probe.step()
    assert max(PASSES) <= room


@pytest.mark.parametrize("chunk", [None, 64])
def test_so_it_is_in_the_first_look(chunk: int | None) -> None:
    probe = LoadProbe(Counting(room=10), X, Y, chunk=chunk)
    assert len(probe.curves["trace_ratio"]) == 3
    assert chunk_of(probe) <= 15


def test_memory_that_runs_out_for_good_is_said_once() -> None:
    model = Counting()
    probe = LoadProbe(model, X, Y, every=1)
    model.room = 0
    with pytest.warns(ProbeWarning, match="can't allocate memory"):
        probe.step()
    model.room = 64
    probe.step()
    assert len(probe.curves["trace_ratio"]) == 3


def test_which_errors_say_that_memory_ran_out() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (816, "816 bytes"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1024.0 KiB"),
        (2**21, "2.0 MiB"),
        (3 * 2**30, "3.0 GiB"),
    ],
)
def test_a_number_of_bytes_in_words(size: int, words: str) -> None:
    assert amount(size) == words
