"""A probe batch from a training's own loader, which then gives what it would have given."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_sequence
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from engine.errors import ConfigError, DataError, ProbeWarning
from engine.probe.batch.loader import gather
from engine.probe.load_probe import LoadProbe

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(200, 8, generator=DRAW)
Y = torch.arange(200) % 4


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    torch.manual_seed(0)
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


class Net(nn.Module):
    """A model of named inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Any:
        return self.net(x if scale is None else x * scale)


class Noisy(Dataset[Any]):
    """Augments its samples by random numbers of every kind, and counts."""

    def __init__(self) -> None:
        self.own, self.numpy, self.python = (
            torch.Generator().manual_seed(5),
            np.random.default_rng(5),
            random.Random(5),
        )
        self.served = 0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        self.served += 1
        noise = (
            torch.rand(8) + torch.rand(8, generator=self.own) + float(self.numpy.random()) + self.python.random()
        )
        noise = noise + float(np.random.rand()) + random.random() + self.served % 7
        return X[index] + 0.1 * noise, Y[index]


def seen(loader: Any, epochs: int = 2) -> list[Tensor]:
    return [batch[0].clone() for _ in range(epochs) for batch in loader]


LOADERS: dict[str, Callable[[], Any]] = {
    "in order": lambda: DataLoader(Noisy(), 32),
    "shuffled": lambda: DataLoader(Noisy(), 32, shuffle=True),
    "own generator": lambda: DataLoader(Noisy(), 32, shuffle=True, generator=torch.Generator().manual_seed(3)),
    "own sampler": lambda: DataLoader(
        Noisy(), 32, sampler=RandomSampler(Noisy(), generator=torch.Generator().manual_seed(3))
    ),
    "weighted": lambda: DataLoader(Noisy(), 32, sampler=WeightedRandomSampler([1.0] * 200, 200)),
    "one by one": lambda: DataLoader(Noisy(), batch_size=None, shuffle=True),
    "a list": lambda: [(X[i : i + 32], Y[i : i + 32]) for i in range(0, 200, 32)],
}


class TestTheTrainingStaysTheSame:
    @pytest.mark.parametrize("kind", [kind for kind in LOADERS if kind != "one by one"])
    def test_batches_and_random_numbers(self, kind: str) -> None:
        def batches(*, probed: bool) -> tuple[list[Tensor], list[float]]:
            torch.manual_seed(1)
            np.random.seed(1)
            random.seed(1)
            loader = LOADERS[kind]()
            if probed:
                probe = LoadProbe.from_loader(net(), loader, n=64)
                assert probe.path is not None
                probe.close()
                torch.manual_seed(1)  # of the model's weights, which took some
            got = seen(loader)
            return got, [torch.rand(1).item(), np.random.rand(), random.random()]

        plain, told = batches(probed=False)
        again, retold = batches(probed=True)
        assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
        assert told == retold

    def test_gathering_alone_draws_nothing(self) -> None:
        loader, model = LOADERS["shuffled"](), net()
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index,union-attr]
        first = gather(model, loader, 64)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index]
        assert random.getstate() == before[2]
        assert torch.equal(first.inputs, gather(model, loader, 64).inputs)
        assert torch.equal(first.inputs[:32], next(iter(loader))[0])  # those that the training sees first

    def test_persistent_workers_are_not_started(self) -> None:
        loader = DataLoader(TensorDataset(X, Y), 32, shuffle=True, num_workers=2, persistent_workers=True)
        gather(net(), loader, 64)
        assert loader._iterator is None

    def test_a_sampler_that_counts_its_epochs(self) -> None:
        class Counting(RandomSampler):
            epoch = 0

            def __iter__(self) -> Iterator[int]:
                self.epoch += 1
                return iter(torch.randperm(200, generator=torch.Generator().manual_seed(self.epoch)).tolist())

        dataset = TensorDataset(X, Y)
        loader = DataLoader(dataset, 32, sampler=Counting(dataset))
        gather(net(), loader, 64)
        assert torch.equal(
            next(iter(loader))[1], Y[torch.randperm(200, generator=torch.Generator().manual_seed(1))][:32]
        )

    def test_random_numbers_of_the_system_have_no_state(self) -> None:
        class Drawn(TensorDataset):
            def __init__(self) -> None:
                super().__init__(X, Y)
                self.chance = random.SystemRandom()

        gathered = gather(net(), DataLoader(Drawn(), batch_size=50), 100)
        assert torch.equal(gathered.inputs, X[:100])


class TestForms:
    def batches(self, form: Callable[[Tensor, Tensor], Any]) -> list[Any]:
        return [form(X[i : i + 20], Y[i : i + 20]) for i in range(0, 200, 20)]

    @pytest.mark.parametrize(
        "form",
        [
            lambda x, y: (x, y),
            lambda x, y: [x, y],
            lambda x, y: ((x,), y),
            lambda x, y: (x.numpy(), y.numpy()),
            lambda x, y: {"x": x, "labels": y},
            lambda x, y: {"x": x, "label": y},
            lambda x, y: {"image": x, "target": y},
            lambda x, y: {"x": x, "y": y, "index": torch.arange(len(x)), "name": ["a"] * len(x), "none": None},
            lambda x, y: dataclasses.make_dataclass("Batch", ["x", "labels"])(x, y),
            lambda x, y: ({"x": x}, y),
            lambda x, y: (x, torch.ones(len(x), 1), y),
            lambda x, y: (x, torch.ones(len(x), 1), y, torch.arange(len(x))),
            lambda x, y: (x, y.tolist()),
        ],
    )
    def test_of_batches(self, form: Callable[[Tensor, Tensor], Any]) -> None:
        with LoadProbe.from_loader(Net(), self.batches(form), n=64, chunk=64) as probe:
            found = probe.curves["trace_ratio"]
        torch.manual_seed(0)
        with LoadProbe(Net(), X[:64], Y[:64], chunk=64) as plain:
            assert found[0] == pytest.approx(plain.curves["trace_ratio"][0], abs=1e-6)

    def test_a_model_of_two_inputs_collated_by_default(self) -> None:
        class Pairs(Dataset[Any]):
            def __len__(self) -> int:
                return 200

            def __getitem__(self, i: int) -> Any:
                return (X[i], torch.ones(1)), int(Y[i])

        inputs, labels = gather(Net(), DataLoader(Pairs(), 16), 50)
        assert isinstance(inputs, tuple)
        assert [tuple(value.shape) for value in inputs] == [(50, 8), (50, 1)]
        assert torch.equal(labels, Y[:50])

    def test_another_form_is_split_by_the_user(self) -> None:
        batches = self.batches(lambda x, y: {"data": {"picture": x}, "meta": {"kind": y}})
        inputs, labels = gather(
            net(), batches, 64, lambda batch: (batch["data"]["picture"], batch["meta"]["kind"])
        )
        assert torch.equal(inputs, X[:64])
        assert torch.equal(labels, Y[:64])

    def test_targets_of_a_regression_and_token_labels(self) -> None:
        target = X[:, 0]
        inputs, labels = gather(net(), DataLoader(TensorDataset(X, target), 30), 70)
        assert torch.equal(labels, target[:70])
        tokens = torch.randint(0, 9, (200, 5))
        inputs, labels = gather(net(), [{"input_ids": tokens[:50], "labels": tokens[:50]}], 40)
        assert torch.equal(inputs, tokens[:40])  # a model of one input takes it by any name
        assert torch.equal(labels, tokens[:40])

    def test_an_iterable_data_set(self) -> None:
        class Stream(IterableDataset[Any]):
            def __iter__(self) -> Iterator[Any]:
                yield from zip(X, Y, strict=True)

        inputs, _ = gather(net(), DataLoader(Stream(), 30), 70)
        assert torch.equal(inputs, X[:70])


class TestClasses:
    def test_each_has_at_least_two_samples(self) -> None:
        """The loader is sorted: the first 64 samples hold the third class once, and the fourth not at all."""
        order = torch.cat([torch.arange(0, 40), torch.arange(40, 63), torch.arange(63, 120)])
        y = torch.repeat_interleave(torch.arange(4), torch.tensor([40, 23, 40, 17]))
        inputs, labels = gather(net(), DataLoader(TensorDataset(X[order], y), 8), 64)
        assert torch.bincount(labels).tolist() == [40, 23, 2]
        assert torch.equal(inputs, X[:65])

    def test_a_class_with_one_sample_in_all_is_left_out(self) -> None:
        y = Y.clone()
        y[5] = 9
        _, labels = gather(net(), DataLoader(TensorDataset(X, y), 32), 50)
        assert sorted(set(labels.tolist())) == [0, 1, 2, 3]
        assert len(labels) == 49

    def test_text(self) -> None:
        words = [["cat", "dog", "owl", "fox"][i] for i in Y]
        batches = [(X[i : i + 20], words[i : i + 20]) for i in range(0, 200, 20)]
        _, labels = gather(net(), batches, 64)
        assert labels == words[:64]


class TestDifferentLengths:
    def texts(self, n: int, length: int) -> dict[str, Tensor]:
        lengths = torch.randint(2, length + 1, (n,))
        lengths[0] = length
        mask = torch.arange(length)[None] < lengths[:, None]
        return {"input_ids": torch.randint(3, 60, (n, length)) * mask, "attention_mask": mask.long()}

    def test_padded_by_each_batch(self) -> None:
        batches = [{**self.texts(10, length), "labels": torch.arange(10) % 2} for length in (5, 9, 7)]
        inputs, labels = gather(Texts(), batches, 30)
        assert inputs["input_ids"].shape == (30, 9)
        assert inputs["attention_mask"][:10].sum() == batches[0]["attention_mask"].sum()
        assert not inputs["attention_mask"][:10, 5:].any()
        assert len(labels) == 30

    def test_by_place_with_a_padding_mask(self) -> None:
        class Placed(Texts):
            def forward(self, ids: Tensor, padding_mask: Tensor) -> Any:  # type: ignore[override]
                return super().forward(ids, ~padding_mask)

        parts = [self.texts(10, length) for length in (5, 9)]
        batches = [(part["input_ids"], part["attention_mask"] == 0, torch.arange(10) % 2) for part in parts]
        (_, padding), _ = gather(Placed(), batches, 20)
        assert padding[:10, 5:].all()

    def test_token_labels_are_ignored_there(self) -> None:
        batches = []
        for length in (5, 9):
            part = self.texts(10, length)
            batches.append({**part, "labels": part["input_ids"].masked_fill(part["attention_mask"] == 0, -100)})
        _, labels = gather(Texts(), batches, 20)
        assert (labels[:10, 5:] == -100).all()

    def test_without_a_mask_they_are_refused(self) -> None:
        batches = [
            {"input_ids": self.texts(10, length)["input_ids"], "labels": torch.arange(10) % 2} for length in (5, 9)
        ]
        with pytest.raises(DataError, match="'input_ids' of 5, 9 tokens, and no mask that tells padding"):
            gather(Texts(), batches, 20)

    def test_packed_and_nested_ones(self) -> None:
        rows = [torch.randn(2 + i % 5, 3) for i in range(40)]
        packed = [(pack_sequence(rows[i : i + 10], enforce_sorted=False), Y[i : i + 10]) for i in range(0, 40, 10)]
        inputs, _ = gather(net(), packed, 25)
        x, lengths = torch.nn.utils.rnn.pad_packed_sequence(inputs, batch_first=True)
        assert lengths.tolist() == [len(row) for row in rows[:25]]
        assert torch.equal(x, pad_sequence(rows[:25], batch_first=True))
        nested = [
            (torch.nested.nested_tensor(rows[i : i + 10], layout=torch.jagged), Y[i : i + 10])
            for i in range(0, 40, 10)
        ]
        inputs, _ = gather(net(), nested, 25)
        assert all(torch.equal(a, b) for a, b in zip(inputs.unbind(), rows, strict=False))


class Texts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.act, self.head = nn.Embedding(64, 8), nn.Tanh(), nn.Linear(8, 4)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        return self.head((self.act(self.embedding(input_ids)) * attention_mask[..., None]).sum(1))


class TestRefused:
    def test_what_can_be_iterated_once(self) -> None:
        class Once:
            def __iter__(self) -> Any:
                return self

            def __next__(self) -> Any:
                return X[:9], Y[:9]

        class Stream(Once, IterableDataset[Any]):  # type: ignore[misc]
            pass

        class Kept:
            def __init__(self) -> None:
                self.stream = iter([(X, Y)])

            def __iter__(self) -> Any:
                return self.stream

        for loader in ((batch for batch in [(X, Y)]), iter([(X, Y)]), Once(), Kept(), DataLoader(Stream(), 9)):
            with pytest.raises(ConfigError, match="can be iterated once only: the training would miss"):
                LoadProbe.from_loader(net(), loader)

    @pytest.mark.parametrize(
        ("loader", "n", "error", "words"),
        [
            (7, 64, ConfigError, "loader is a int; allowed: a DataLoader"),
            ([], 64, DataError, "loader gave no batch"),
            ([(X, Y)], 2, ConfigError, "n = 2 is not allowed; allowed: a whole number >= 3"),
            ([(X, Y)], 64.0, ConfigError, "n = 64.0 is not allowed"),
            ([object()], 64, DataError, "batches of type object; allowed: "),
            ([()], 64, DataError, "batches that are empty"),
            (
                [(x, y) for x, y in zip(X, Y, strict=True)],
                64,
                DataError,
                "single samples; give the loader a batch_size=",
            ),
            ([{"x": X[:5], "labels": Y[:5]}, {"z": X[:5], "labels": Y[:5]}], 64, DataError, "different names"),
            ([(X[:5, :3], Y[:5]), (X[:5], Y[:5])], 64, DataError, "'inputs' of 3, 8 tokens, and no mask"),
        ],
    )
    def test_with_words(self, loader: Any, n: Any, error: type[Exception], words: str) -> None:
        class Anything(Net):
            def forward(self, **inputs: Tensor) -> Any:  # type: ignore[override]
                return self.net(next(iter(inputs.values())))

        with pytest.raises(error, match=words):
            LoadProbe.from_loader(Anything(), loader, n=n)


class TestRealLibraries:
    def test_collated_by_transformers(self) -> None:
        from transformers import BertConfig, BertForSequenceClassification
        from transformers.data.data_collator import default_data_collator

        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=64,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            num_labels=4,
        )
        samples = [
            {
                "input_ids": [1 + i % 50] * 6,
                "attention_mask": [1] * (3 + i % 4) + [0] * (3 - i % 4),
                "label": i % 4,
            }
            for i in range(60)
        ]
        loader = DataLoader(samples, 8, shuffle=True, collate_fn=default_data_collator)  # type: ignore[arg-type]
        with LoadProbe.from_loader(BertForSequenceClassification(config), loader, n=40) as probe:
            assert probe.layers == ["input", "bert.encoder.layer.0", "bert.encoder.layer.1", "logits"]
            assert all(value == value for value in probe.curves["trace_ratio"][1:])

    def test_an_encoder_decoder_keeps_its_labels(self) -> None:
        from transformers import T5Config, T5ForConditionalGeneration

        config = T5Config(
            vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0
        )
        model = T5ForConditionalGeneration(config)
        ids = torch.randint(2, 60, (20, 6))
        inputs, labels = gather(model, [{"input_ids": ids, "labels": ids[:, :4]}], 20)
        assert set(inputs) == {"input_ids", "labels"}
        assert labels is None

    @pytest.mark.parametrize("tokens", [4, 6])
    def test_the_usual_batch_of_source_and_target(self, tokens: int) -> None:
        from transformers import T5Config, T5ForConditionalGeneration

        config = T5Config(
            vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0
        )
        ids = torch.randint(2, 12, (20, 6))
        batch = {"input_ids": ids, "labels": torch.randint(2, 60, (20, tokens))}
        with pytest.warns(ProbeWarning, match="leaves out 'decoder.block"):
            probe = LoadProbe.from_loader(T5ForConditionalGeneration(config), [batch], n=20)
        assert probe.layers == ["input", "encoder.block.0", "encoder.block.1"]

    def test_batches_of_pytorch_geometric(self) -> None:
        geometric = pytest.importorskip("torch_geometric", reason="torch_geometric is not installed")
        from torch_geometric.loader import DataLoader as Graphs

        graphs = []
        for i in range(50):
            n = 3 + i % 4
            edges = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
            graphs.append(geometric.data.Data(x=torch.randn(n, 8), edge_index=edges, y=torch.tensor([i % 3])))

        class Graph(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.map, self.act, self.head = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)

            def forward(self, data: Any) -> Any:
                x = self.act(self.map(data.x))
                pooled = torch.zeros(data.num_graphs, 16).index_add(0, data.batch, x)
                return self.head(pooled)

        loader = Graphs(graphs, batch_size=8, shuffle=True)  # type: ignore[arg-type]
        torch.manual_seed(3)
        wanted = [batch.x for batch in loader]
        model = Graph()
        torch.manual_seed(3)
        inputs, labels = gather(model, loader, 30)
        assert inputs.num_graphs == 30
        assert torch.equal(labels, inputs.y)
        assert torch.equal(inputs.x[: len(wanted[0])], wanted[0])
        assert all(torch.equal(batch.x, x) for batch, x in zip(loader, wanted, strict=True))
        with LoadProbe.from_loader(Graph(), loader, n=30) as probe:
            assert probe.layers == ["input", "act", "logits"]
