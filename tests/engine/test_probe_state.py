"""Training with a probe is the same bit for bit, whatever a forward pass changes in its model."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import ConfigError, ProbeWarning
from engine.probe.load_probe import LoadProbe
from engine.probe.state.state import ModelState
from engine.runs.directory import Run
from engine.runs.records import Note

Y = torch.arange(64) % 4
X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) + torch.eye(4, 16)[Y] * 2


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(state)


@dataclass(frozen=True, slots=True)
class Frozen:
    n: int = 0


class WithSlots:
    __slots__ = ("frozen", "late", "n")

    def __init__(self) -> None:
        self.n, self.frozen = 0, Frozen()


class Slotted(WithSlots):
    """Has slots, and fields beside them."""

    extra: int


class Net(nn.Module):
    """One hidden layer; ``change`` is what a forward pass does beside."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.act, self.b = nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4)

    def change(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        self.change()
        out: Tensor = self.b(self.act(self.a(x)))
        return out


def bits(value: Any) -> Any:
    """A value in a form that compares bit by bit."""
    if isinstance(value, Tensor):
        return (tuple(value.shape), str(value.dtype), value.detach().clone().numpy().tobytes())
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, torch.Generator):
        return bits(value.get_state())
    if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
        return value.random()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    if isinstance(value, Kept):
        return bits(vars(value))
    return value if isinstance(value, int | float | str | set | type(None)) else type(value).__name__


def contents(model: nn.Module) -> Any:
    """All that the modules of a model hold, in order."""
    internal = vars(nn.Module()).keys()
    return [
        (
            name,
            list(module.state_dict()),
            bits(dict(module.named_buffers(recurse=False))),
            bits(dict(module.named_parameters(recurse=False))),
            {key: bits(value) for key, value in vars(module).items() if key not in internal and key != "plain"},
        )
        for name, module in model.named_modules()
    ]


def train(make: Callable[[], nn.Module], *, probed: bool, steps: int = 3) -> tuple[list[float], Any, float]:
    """Losses, all that the model holds at the end, and the next random number."""
    torch.manual_seed(1)
    model = make()
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    probe = LoadProbe(model, X, Y, every=1) if probed else None
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(X), Y)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
        if probe is not None:
            probe.step(loss=loss)
    if probe is not None:
        probe.close()
        assert len(probe.curves["trace_ratio"]) == len(probe.layers)
    return losses, contents(model), float(torch.rand(()))


def require_same(make: Callable[[], nn.Module]) -> list[str]:
    """Train with and without a probe, require the same, and return the warnings."""
    alone = train(make, probed=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProbeWarning)
        assert train(make, probed=True) == alone
    assert {one.filename for one in caught} <= {__file__}
    return [str(one.message) for one in caught]


class TestBuffers:
    """Buffers are put back in silence, each with its shape."""

    def test_changed_through_data(self) -> None:
        class Centred(Net):
            centre: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("centre", torch.zeros(24))

            def forward(self, x: Tensor) -> Tensor:
                z = self.act(self.a(x))
                self.centre.data.mul_(0.9).add_(z.detach().mean(0), alpha=0.1)
                out: Tensor = self.b(z - self.centre)
                return out

        assert require_same(Centred) == []

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.ao.quantization about itself
    @pytest.mark.filterwarnings("ignore::UserWarning")
    @pytest.mark.parametrize("version", [0, 1], ids=["resized", "fused"])
    def test_quantisation_aware_training(self, version: int) -> None:
        import torch.ao.quantization as q

        def make() -> nn.Module:
            model = nn.Sequential(q.QuantStub(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4), q.DeQuantStub())
            model.qconfig = q.get_default_qat_qconfig("fbgemm", version=version)  # type: ignore[no-untyped-call]
            prepared: nn.Module = q.prepare_qat(model.train())  # type: ignore[no-untyped-call]
            return prepared

        assert require_same(make) == []

    def test_resized_replaced_deleted_made_and_shared(self) -> None:
        class All(Net):
            resized: Tensor
            replaced: Tensor
            view: Tensor
            whole: Tensor
            empty: Tensor | None

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("resized", torch.zeros(0))
                self.register_buffer("replaced", torch.full((3,), torch.nan))
                self.register_buffer("deleted", torch.zeros(2))
                self.register_buffer("lost", torch.zeros(2), persistent=False)
                self.register_buffer("whole", torch.arange(9.0))
                self.register_buffer("view", self.whole[2:5])
                self.act.register_buffer("shared", self.whole)
                shared = self.act.shared
                assert isinstance(shared, Tensor)
                self.shared = [shared]
                self.register_buffer("empty", None)

            def change(self) -> None:
                self.resized.resize_(5).fill_(torch.nan)
                self.replaced = self.replaced + 1
                del self.deleted
                self.register_buffer("deleted", torch.ones(3), persistent=False)
                self.register_buffer("made", torch.ones(1))
                self.view.neg_()
                self.shared[0][7] = -0.0
                self.empty = torch.ones(2)

        def make() -> nn.Module:
            model = All()
            model.change = lambda: None if model.training else All.change(model)  # type: ignore[method-assign]
            return model

        model = make()
        before = contents(model)
        probe = LoadProbe(model, X, Y)
        probe.measure()
        assert contents(model) == before
        assert model.whole.untyped_storage().data_ptr() == model.view.untyped_storage().data_ptr()  # type: ignore[operator]
        assert model.act.shared is model.whole  # type: ignore[union-attr]
        assert model._non_persistent_buffers_set == {"lost"}

    def test_large_ones(self) -> None:
        """Beyond a MiB they are copied where an operation writes to them; the first look copies them all."""

        class Queue(Net):
            queue: Tensor
            unseen: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("queue", torch.arange(float(1 << 19)))
                self.register_buffer("unseen", torch.arange(float(1 << 19)))

            def change(self) -> None:
                self.queue.copy_(self.queue.roll(1))
                self.unseen.numpy()[:] *= 1.5

        assert require_same(Queue) == []

    def test_a_large_one_that_only_a_later_chunk_writes_to(self) -> None:
        """As a memory bank that samples of one kind enter."""

        class Bank(Net):
            bank: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("bank", torch.zeros(1 << 19))

            def forward(self, x: Tensor) -> Tensor:
                if bool((x > 50).any()):
                    self.bank.add_(1)
                return super().forward(x)

        model, inputs = Bank(), X.clone()
        inputs[40] = 100
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            probe = LoadProbe(model, inputs, Y, every=1, chunk=16)
            probe.step()
        assert not model.bank.any()

    def test_changes_that_begin_late(self) -> None:
        """As observers and weight constraints that are switched on, or act, only later in training."""

        class Late(Net):
            large: Tensor
            small: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("large", torch.zeros(1 << 19))
                self.register_buffer("small", torch.zeros(3))
                self.acts = False

            def change(self) -> None:
                if self.acts:
                    self.large.data.add_(1)
                    self.small.data.add_(1)
                    self.a.weight.data.renorm_(2, 0, 0.1)

        model = Late()
        probe = LoadProbe(model, X, Y, every=1)
        model.acts = True
        before = contents(model)
        with pytest.warns(ProbeWarning, match=r"changes 'Late.a.weight', in eval mode too"):
            probe.step()
        probe.step()
        assert contents(model) == before

    def test_one_that_cannot_be_put_back_is_named_and_stops_no_other(self) -> None:
        class Both(Net):
            large: Tensor
            small: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.acts = False
                self.register_buffer("large", torch.zeros(1 << 19))
                self.register_buffer("small", torch.zeros(3))

            def change(self) -> None:
                if self.acts:
                    self.large.numpy()[:] += 1
                    self.small.numpy()[:] += 1

        model = Both()
        probe = LoadProbe(model, X, Y, every=1)
        model.acts = True
        with pytest.warns(ProbeWarning, match=r"could not put back 'Both.large' \(.*not the same as without"):
            probe.step()
        assert model.small.sum() == 0
        changed = bits(model.large)
        probe.step()  # from now on it is copied
        assert bits(model.large) == changed
        notes = [event for event in Run(probe.path).events() if isinstance(event, Note)]  # type: ignore[arg-type]
        assert len(notes) == 1
        assert "'Both.large'" in notes[0].text


class Kept:
    """State in an object of a class of the user's."""

    def __init__(self) -> None:
        self.h, self.n = torch.zeros(3), 0


class TestOtherState:
    def test_a_hidden_state(self) -> None:
        class Recurrent(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.cell, self.act, self.head = nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4)
                self.h: Tensor | None = None

            def forward(self, x: Tensor) -> Tensor:
                h = torch.zeros(len(x), 16) if self.h is None or len(self.h) != len(x) else self.h
                h = self.act(self.cell(torch.cat([x, h], 1)))
                self.h = h.detach()
                out: Tensor = self.head(h)
                return out

        (said,) = require_same(Recurrent)
        assert said.startswith(
            "the forward pass of Recurrent changes 'Recurrent.h', in eval mode too. The load probe"
        )
        assert "as without the probe" in said
        assert "forward=" in said

    def test_a_hidden_state_is_the_same_for_each_chunk(self) -> None:
        class Adding(Net):
            def __init__(self) -> None:
                super().__init__()
                self.sum = torch.zeros(16)

            def forward(self, x: Tensor) -> Tensor:
                out = super().forward(x + self.sum)
                self.sum = self.sum + x.detach().mean(0)
                return out

        model = Adding()
        with pytest.warns(ProbeWarning, match="'Adding.sum'"):
            whole = LoadProbe(model, X, Y, chunk=64)
        with pytest.warns(ProbeWarning, match="'Adding.sum'"):
            small = LoadProbe(model, X, Y, chunk=7)
        assert small.curves["trace_ratio"] == pytest.approx(whole.curves["trace_ratio"], abs=1e-5)

    def test_generators_of_its_own(self) -> None:
        class Noise(Net):
            def __init__(self) -> None:
                super().__init__()
                self.draw = torch.Generator().manual_seed(0)
                self.others = [np.random.default_rng(0), np.random.RandomState(0), random.Random(0)]

            def forward(self, x: Tensor) -> Tensor:
                noise = torch.randn(x.shape, generator=self.draw) + sum(one.random() for one in self.others)  # type: ignore[attr-defined]
                return super().forward(x + 0.1 * noise)

        (said,) = require_same(Noise)
        assert "'Noise.draw', 'Noise.others[0]', 'Noise.others[1]' and 'Noise.others[2]'" in said

    @pytest.mark.parametrize("how", ["replaced", "in place"])
    def test_weights_that_are_constrained(self, how: str) -> None:
        class MaxNorm(nn.Linear):
            def forward(self, x: Tensor) -> Tensor:
                if how == "replaced":
                    self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.5)
                else:
                    self.weight.data.renorm_(2, 0, 0.5)
                return super().forward(x)

        wide = 2000  # beyond what is copied before each look
        (said,) = require_same(lambda: nn.Sequential(MaxNorm(16, wide), nn.ReLU(), MaxNorm(wide, 4)))
        assert "'Sequential.0.weight' and 'Sequential.2.weight'" in said

    def test_counters_containers_arrays_and_objects(self) -> None:
        class Many(Net):
            def __init__(self) -> None:
                super().__init__()
                self.calls, self.losses, self.names = 0, [1.0], {"a"}
                self.table: dict[str, Any] = {"a": torch.zeros(2), "inner": [torch.zeros(2)]}
                self.array, self.kept, self.plain = np.zeros(3), Kept(), [nn.BatchNorm1d(2)]

            def change(self) -> None:
                self.calls += 1
                self.losses.append(float(self.calls))
                self.names.add(str(self.calls))
                self.table["a"].data += 1
                self.table["b"] = self.calls
                self.table["inner"][0] = self.table["inner"][0] + 1
                self.array += 1
                self.kept.h += 1
                self.kept.n += 1
                assert self.plain[0].running_mean is not None
                self.plain[0].running_mean += 1

        (said,) = require_same(Many)
        assert "'Many.calls'" in said
        assert "more, in eval mode too" in said

    def test_slots(self) -> None:
        class Many(Net):
            def __init__(self) -> None:
                super().__init__()
                self.own, self.calls = Slotted(), 0

            def change(self) -> None:
                self.own.n += 1
                object.__setattr__(self.own.frozen, "n", self.own.frozen.n + 1)
                self.own.late = self.own.n
                self.own.extra = self.own.n

        model = Many()
        with pytest.warns(ProbeWarning, match=r"'Many.own.n'.* in eval mode too"):
            probe = LoadProbe(model, X, Y, every=1, chunk=16)
        probe.step()
        assert (model.own.n, model.own.frozen.n) == (0, 0)
        assert not hasattr(model.own, "late")
        assert not hasattr(model.own, "extra")

    def test_hooks_that_are_made_and_removed(self) -> None:
        class Hooking(Net):
            def __init__(self) -> None:
                super().__init__()
                self.handle = self.b.register_forward_pre_hook(lambda *_: None)

            def change(self) -> None:
                self.a.register_forward_hook(lambda *_: None)
                self.handle.remove()

        model = Hooking()
        own = dict(model.b._forward_pre_hooks)
        with pytest.warns(ProbeWarning, match=r"changes 'Hooking.a._forward_hooks', in eval"):
            probe = LoadProbe(model, X, Y, every=1, chunk=16)
        probe.step()
        assert not model.a._forward_hooks
        assert dict(model.b._forward_pre_hooks) == own

    def test_what_is_made_once_is_put_back_in_silence(self) -> None:
        class Cached(Net):
            table: Tensor | None = None

            def forward(self, x: Tensor) -> Tensor:
                if self.table is None or len(self.table) < len(x):
                    self.table = torch.randn(len(x), 1)
                return super().forward(x + self.table[: len(x)])

        assert require_same(Cached) == []

    def test_weight_norm_of_the_old_kind_makes_its_weight_anew(self) -> None:
        def make() -> nn.Module:
            model = Net()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                nn.utils.weight_norm(model.a)
            return model

        assert require_same(make) == []

    def test_modules_made_in_the_first_pass(self) -> None:
        class Lazy(Net):
            def change(self) -> None:
                if not hasattr(self, "late"):
                    self.late = nn.Linear(2, 2)

        model = Lazy()
        with pytest.raises(ConfigError, match=r"makes 'Lazy.late'.*run one batch through the model first"):
            LoadProbe(model, X, Y)
        assert not hasattr(model, "late")
        model(X)
        LoadProbe(model, X, Y)

    def test_it_is_put_back_where_the_model_raises(self) -> None:
        class Raising(Net):
            seen: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.calls, self.raises = 0, False
                self.register_buffer("seen", torch.zeros(()))

            def change(self) -> None:
                self.calls += 1
                self.seen.data += 1
                if self.raises:
                    raise RuntimeError("not today")

        model = Raising()
        with pytest.warns(ProbeWarning, match="'Raising.calls'"):
            probe = LoadProbe(model, X, Y, every=1)
        model.raises = True
        with pytest.warns(ProbeWarning, match="not today"):
            probe.step()
        assert model.calls == 0
        assert float(model.seen) == 0.0


def test_state_of_inference_mode_and_sparse_and_meta_tensors() -> None:
    class Odd(Net):
        inferred: Tensor
        sparse: Tensor
        meta: Tensor

    model = Odd()
    with torch.inference_mode():
        model.register_buffer("inferred", torch.zeros(2))
    model.register_buffer("sparse", torch.eye(3).to_sparse())
    model.register_buffer("meta", torch.zeros(3, device="meta"))
    state = ModelState(model)
    with state.kept():
        model.inferred = torch.ones(2)
        model.sparse = torch.eye(3).to_sparse() * 2
        model.meta = torch.zeros(2, device="meta")
    assert bits(model.inferred) == bits(torch.zeros(2))
    assert float(model.sparse.to_dense().sum()) == 3.0
    assert model.meta.shape == (3,)
    assert state.take_news() == []


class TestGradientsWithinForward:
    """Energies with forces, gradient penalties: what a forward pass takes gradients of leaves none behind."""

    class Energy(nn.Module):
        def __init__(self, of: str) -> None:
            super().__init__()
            self.of = of
            self.net = nn.Sequential(nn.Linear(16, 24), nn.SiLU(), nn.Linear(24, 24), nn.SiLU(), nn.Linear(24, 1))

        def forward(self, x: Tensor) -> Any:
            if self.of == "inputs":
                x = x.requires_grad_(True)
            energy = self.net(x)
            if self.of == "parameters":
                weight = next(self.net.parameters())
                inner = torch.autograd.grad(energy.sum(), weight, create_graph=True)[0]
                return energy - inner.mean()
            if self.of == "given":
                assert x.requires_grad
            force = torch.autograd.grad(energy.sum(), x, create_graph=True)[0]
            return energy, -force

    @pytest.mark.parametrize("of", ["inputs", "given", "parameters"])
    def test_is_measured(self, of: str) -> None:
        model = self.Energy(of)
        x = X.clone().requires_grad_(of == "given")
        plain = LoadProbe(model.net, X, Y)
        marks = [torch.full_like(p, 7.0) for p in model.parameters()]
        for parameter, mark in zip(model.parameters(), marks, strict=True):
            parameter.grad = mark
        probe = LoadProbe(model, x, Y)
        probe.measure()
        assert probe.layers == ["input", "net.1", "net.3", "logits"]
        assert probe.curves["trace_ratio"][:3] == pytest.approx(plain.curves["trace_ratio"][:3], abs=1e-5)
        assert all(p.requires_grad for p in model.parameters())
        assert all(p.grad is mark for p, mark in zip(model.parameters(), marks, strict=True))
        assert all(bool((mark == 7.0).all()) for mark in marks)

    def test_a_backward_within_forward_adds_nothing(self) -> None:
        class Backward(Net):
            def forward(self, x: Tensor) -> Tensor:
                x = x.detach().requires_grad_(True)
                super().forward(x).sum().backward()  # type: ignore[no-untyped-call]
                assert x.grad is not None
                return super().forward(x.detach() - 0.1 * x.grad)

        model = Backward()
        LoadProbe(model, X, Y)
        assert all(p.grad is None for p in model.parameters())
