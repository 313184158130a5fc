"""Models of graphs: nodes averaged to graphs, nodes as samples, and what belongs to neither."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import DataError
from engine.probe.batch.batch import ProbeBatch
from engine.probe.batch.graphs import RowSamples
from engine.probe.load_probe import LoadProbe

DRAW = torch.Generator().manual_seed(0)
GRAPHS, FEATURES, WIDTH = 40, 6, 16
SIZES = torch.randint(3, 9, (GRAPHS,), generator=DRAW)
BATCH = torch.repeat_interleave(torch.arange(GRAPHS), SIZES)
NODES = len(BATCH)
FIRST = torch.cumsum(SIZES, 0) - SIZES
X = torch.randn(NODES, FEATURES, generator=DRAW)
EDGES = torch.stack([torch.arange(NODES), FIRST[BATCH] + torch.randint(0, 3, (NODES,), generator=DRAW)])
OF_GRAPHS = torch.arange(GRAPHS) % 3
OF_NODES = torch.randint(0, 3, (NODES,), generator=DRAW)


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def separation(x: Tensor, y: Tensor) -> float:
    """log(Tr Sw / Tr Sb) of features [N, D], in double precision."""
    x = x.detach().double().flatten(1)
    within = between = 0.0
    for c in y.unique():
        z = x[y == c]
        within += float((z - z.mean(0)).pow(2).sum())
        between += len(z) * float((z.mean(0) - x.mean(0)).pow(2).sum())
    return float(np.log(within / between))


def mean_of_graphs(x: Tensor) -> Tensor:
    return torch.stack([x[graph == BATCH].double().mean(0) for graph in range(GRAPHS)])


def curve(model: nn.Module, inputs: Any, labels: Any, **options: Any) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with LoadProbe(model, inputs, labels, **options) as probe:
            return dict(zip(probe.layers, probe.curves["trace_ratio"], strict=True))


class Convolution(nn.Module):
    """Adds up the messages of a node's neighbours; messages are features of edges."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.own, self.message = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)

    def forward(self, x: Tensor, edge_index: Tensor) -> Any:
        source, target = edge_index
        own = self.own(x)
        return own.index_add(0, target, self.message(x[source]))


class OfNodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.second, self.tanh = (
            Convolution(FEATURES, WIDTH),
            nn.ReLU(),
            Convolution(WIDTH, WIDTH),
            nn.Tanh(),
        )
        self.head = nn.Linear(WIDTH, 3)

    def nodes(self, x: Tensor, edge_index: Tensor) -> Any:
        return self.tanh(self.second(self.relu(self.first(x, edge_index)), edge_index))

    def forward(self, x: Tensor, edge_index: Tensor) -> Any:
        return self.head(self.nodes(x, edge_index))


class OfGraphs(OfNodes):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:  # type: ignore[override]
        nodes = self.nodes(x, edge_index)
        graphs = torch.zeros(int(batch.max()) + 1, WIDTH, dtype=nodes.dtype)
        return self.head(graphs.index_add(0, batch, nodes) / torch.bincount(batch)[:, None])


def graph_curve(model: OfNodes) -> dict[str, float]:
    """The curve of graphs by hand."""
    with torch.no_grad():
        first = model.first(X, EDGES)
        second = model.second(torch.relu(first), EDGES)
        means = {"input": X, "first": first, "second": second}
        found = {name: separation(mean_of_graphs(x), OF_GRAPHS) for name, x in means.items()}
        return {**found, "logits": separation(model(X, EDGES, BATCH), OF_GRAPHS)}


def node_curve(model: OfNodes, nodes: Tensor, y: Tensor) -> dict[str, float]:
    """The curve of some nodes by hand."""
    with torch.no_grad():
        first = model.first(X, EDGES)
        second = model.second(torch.relu(first), EDGES)
        points = {"input": X, "first": first, "second": second, "logits": model(X, EDGES)}
        return {name: separation(x[nodes], y) for name, x in points.items()}


class TestGraphs:
    @pytest.mark.parametrize(
        ("inputs", "samples"),
        [
            ({"x": X, "edge_index": EDGES, "batch": BATCH}, None),
            ((X, EDGES, BATCH), None),
            ((X, EDGES, BATCH), BATCH),
            ({"x": X, "edge_index": EDGES, "batch": BATCH}, BATCH.numpy()),
        ],
        ids=["by name", "by place", "given", "array"],
    )
    def test_nodes_are_averaged_to_their_graph(self, inputs: Any, samples: Any) -> None:
        model = OfGraphs()
        found = curve(model, inputs, OF_GRAPHS, samples=samples, chunk=7)
        assert found == pytest.approx(graph_curve(model), abs=1e-5)

    def test_a_vector_of_another_name(self) -> None:
        model = OfGraphs()

        def forward(model: nn.Module, x: Tensor, edges: Tensor, graph_of: Tensor) -> Any:
            return model(x, edges, graph_of)

        found = curve(model, (X, EDGES, BATCH), OF_GRAPHS, samples=BATCH, forward=forward)
        assert found == pytest.approx(graph_curve(model), abs=1e-5)

    def test_nodes_in_any_order(self) -> None:
        order = torch.randperm(NODES)
        place = torch.argsort(order)
        model = OfGraphs()
        inputs = (X[order], place[EDGES], BATCH[order])
        assert curve(model, inputs, OF_GRAPHS, samples=BATCH[order]) == pytest.approx(graph_curve(model), abs=1e-5)

    def test_dense_batches_of_graphs_are_sequences_with_a_mask(self) -> None:
        class Dense(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.map, self.act, self.head = nn.Linear(FEATURES, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 3)

            def forward(self, x: Tensor, mask: Tensor) -> Any:
                return self.head((self.act(self.map(x)) * mask[..., None]).sum(1))

        x = nn.utils.rnn.pad_sequence(list(X.split(SIZES.tolist())), batch_first=True)
        mask = torch.arange(x.shape[1])[None] < SIZES[:, None]
        model = Dense()
        found = curve(model, (x, mask), OF_GRAPHS, chunk=13)
        assert found["act"] == pytest.approx(
            separation(mean_of_graphs(torch.tanh(model.map(X))), OF_GRAPHS), abs=1e-5
        )


class TestNodes:
    def test_each_node_is_a_sample(self) -> None:
        model = OfNodes()
        wanted = node_curve(model, torch.arange(NODES), OF_NODES)
        assert curve(model, (X, EDGES), OF_NODES, samples="nodes", chunk=9) == pytest.approx(wanted, abs=1e-5)
        assert curve(model, {"x": X, "edge_index": EDGES}, OF_NODES, chunk=9) == pytest.approx(wanted, abs=1e-5)

    @pytest.mark.parametrize("form", ["all labels", "some labels", "array"])
    def test_only_the_nodes_of_a_mask(self, form: str) -> None:
        model = OfNodes()
        mask = torch.rand(NODES) < 0.4
        labels = {"all labels": OF_NODES, "some labels": OF_NODES[mask], "array": OF_NODES.numpy()}[form]
        wanted = node_curve(model, mask.nonzero()[:, 0], OF_NODES[mask])
        assert curve(model, (X, EDGES), labels, samples=mask) == pytest.approx(wanted, abs=1e-5)

    def test_heads_of_attention_are_features(self) -> None:
        class Heads(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.map, self.act, self.head = nn.Linear(FEATURES, WIDTH), nn.ELU(), nn.Linear(WIDTH, 3)

            def forward(self, x: Tensor, edge_index: Tensor) -> Any:
                y = self.act(self.map(x).view(len(x), 4, -1))
                return self.head(y.flatten(1))

        model = Heads()
        found = curve(model, (X, EDGES), OF_NODES, samples="nodes")
        assert found["act"] == pytest.approx(separation(nn.functional.elu(model.map(X)), OF_NODES), abs=1e-5)


class TestNoGraphs:
    def test_an_argument_batch_of_other_inputs(self) -> None:
        """Cells of several experiments: as many labels as rows, and no edges."""

        class Cells(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.map, self.act, self.head = nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 3)

            def forward(self, x: Tensor, batch: Tensor) -> Any:
                return self.head(self.act(self.map(x)))

        model = Cells()
        found = curve(model, (X, BATCH), OF_NODES, chunk=20)
        assert found["act"] == pytest.approx(separation(torch.relu(model.map(X)), OF_NODES), abs=1e-5)
        assert not ProbeBatch((X, BATCH), names=["x", "batch"], labels=NODES).is_whole


class TestWrong:
    @pytest.mark.parametrize(
        ("samples", "words"),
        [
            ("graphs", "samples = 'graphs' is not allowed; allowed: .*'nodes'"),
            (BATCH[:9], r"samples has 9 entries, the inputs \d+ rows"),
            (BATCH.float(), "type torch.float32 is not allowed"),
            (BATCH[:, None], r"samples of shape \(\d+, 1\)"),
            (BATCH * 2, "no row belongs to sample 1 of 79"),
            (BATCH - 3, "samples holds -3"),
            (object(), "samples"),
        ],
    )
    def test_is_refused(self, samples: Any, words: str) -> None:
        with pytest.raises(DataError, match=words):
            LoadProbe(OfGraphs(), (X, EDGES, BATCH), OF_GRAPHS, samples=samples)

    def test_labels_of_another_number(self) -> None:
        with pytest.raises(DataError, match=r"labels have the shape \(39,\), inputs hold 40 samples"):
            LoadProbe(OfGraphs(), (X, EDGES, BATCH), OF_GRAPHS[:-1], samples=BATCH)

    def test_a_mask_of_tokens(self) -> None:
        with pytest.raises(DataError, match="these inputs are graphs"):
            LoadProbe(OfGraphs(), (X, EDGES, BATCH), OF_GRAPHS, mask=torch.ones(GRAPHS, 3))


def test_pooling_in_half_precision_keeps_its_digits() -> None:
    x = torch.full((4000, 2), 1.0009765625, dtype=torch.float16)
    rows = RowSamples(torch.zeros(4000, dtype=torch.long), "one")
    pooled = rows.pooled(x)
    assert pooled is not None
    assert torch.equal(pooled[0], x[0])


class TestPyTorchGeometric:
    """With the real library, where it is installed."""

    @pytest.fixture
    def geometric(self) -> Any:
        return pytest.importorskip("torch_geometric", reason="torch_geometric is not installed")

    def test_a_batch_object(self, geometric: Any) -> None:
        class Net(OfGraphs):
            def forward(self, data: Any) -> Any:  # type: ignore[override]
                return super().forward(data.x, data.edge_index, data.batch)

        graphs = []
        for graph in range(GRAPHS):
            own, edges = graph == BATCH, EDGES[:, BATCH[EDGES[0]] == graph] - FIRST[graph]
            graphs.append(geometric.data.Data(x=X[own], edge_index=edges))
        batch = geometric.data.Batch.from_data_list(graphs)
        model, plain = Net(), OfGraphs()
        plain.load_state_dict(model.state_dict())
        assert curve(model, batch, OF_GRAPHS) == pytest.approx(graph_curve(plain), abs=1e-5)
        assert batch.num_graphs == GRAPHS
        with pytest.raises(DataError, match=r"Batch\.from_data_list"):
            LoadProbe(model, graphs, OF_GRAPHS)

    def test_one_graph_whose_nodes_are_the_samples(self, geometric: Any) -> None:
        class Net(OfNodes):
            def forward(self, data: Any) -> Any:  # type: ignore[override]
                return super().forward(data.x, data.edge_index)

        model, plain = Net(), OfNodes()
        plain.load_state_dict(model.state_dict())
        data = geometric.data.Data(x=X, edge_index=EDGES)
        wanted = node_curve(plain, torch.arange(NODES), OF_NODES)
        assert curve(model, data, OF_NODES) == pytest.approx(wanted, abs=1e-5)

    @pytest.mark.parametrize("kind", ["GCNConv", "GATConv", "SAGEConv", "GINConv"])
    def test_its_layers(self, geometric: Any, kind: str) -> None:
        from torch_geometric import nn as layers

        def layer(n_in: int, n_out: int) -> Any:
            if kind == "GINConv":
                return layers.GINConv(nn.Linear(n_in, n_out))
            return getattr(layers, kind)(n_in, n_out)

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.second = layer(FEATURES, WIDTH), layer(WIDTH, WIDTH)
                self.act, self.head = nn.ReLU(), nn.Linear(WIDTH, 3)

            def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
                x = self.act(self.second(self.act(self.first(x, edge_index)), edge_index))
                return self.head(layers.global_mean_pool(x, batch))

        model = Net().eval()
        found = curve(
            model, {"x": X, "edge_index": EDGES, "batch": BATCH}, OF_GRAPHS, layers=["first", "second", "act*"]
        )
        with torch.no_grad():
            first = model.first(X, EDGES)
            act = torch.relu(first)
            second = model.second(act, EDGES)
        for name, x in {"first": first, "act": act, "second": second, "act#2": torch.relu(second)}.items():
            assert found[name] == pytest.approx(separation(mean_of_graphs(x), OF_GRAPHS), abs=1e-5), name
