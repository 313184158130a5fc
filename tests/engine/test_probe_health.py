"""Layer health of the load probe: known answers, every kind of optimiser, and no trace in the training."""

from __future__ import annotations

import copy
import gc
import io
import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, TensorDataset

from engine.errors import ConfigError, ProbeWarning
from engine.measures.registry import HEALTH, OF_OPTIMISER
from engine.measures.saturated import ends_of
from engine.probe.activations import Activations
from engine.probe.load_probe import LoadProbe
from engine.probe.points.layers import Point
from engine.probe.points.reductions import Rows
from engine.runs.directory import Run
from engine.runs.records import Health, Note, Started

NAN = math.nan
Make = Callable[[Any], torch.optim.Optimizer]


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(state)


@pytest.fixture
def task() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(120, 6, generator=draw)
    return x, x[:, :3].argmax(1)


def net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(6, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(16, 12),
        nn.Tanh(),
        nn.Linear(12, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def layer(probe: LoadProbe, name: str) -> list[float]:
    """The newest values of a measure of layer health, at every point."""
    return [probe.metrics(prefix="").get(f"{name}/{point}", NAN) for point in probe.layers]


def train(
    model: nn.Module,
    optimiser: Any,
    task: tuple[Tensor, Tensor],
    steps: int,
    after: Callable[[], object] = lambda: None,
    before: Callable[[], object] = lambda: None,
) -> None:
    """Full-batch steps; ``before`` is called before the optimiser's step, ``after`` once it is over."""
    x, y = task
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        before()
        optimiser.step()
        after()


class Kept:
    """Weights and gradients of every step, kept whole beside the probe."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.old: list[dict[str, Tensor]] = []
        self.new: list[dict[str, Tensor]] = []
        self.gradients: list[dict[str, Tensor]] = []

    def before(self) -> None:
        self.old.append({name: p.detach().clone() for name, p in self.model.named_parameters()})
        self.gradients.append(
            {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
        )

    def after(self) -> None:
        self.new.append({name: p.detach().clone() for name, p in self.model.named_parameters()})

    def norm(self, step: int, *names: str) -> float:
        return math.hypot(*(float(self.gradients[step][name].double().norm()) for name in names))

    def ratio(self, step: int, *names: str) -> float:
        old, new = self.old[step], self.new[step]
        change = math.hypot(*(float((new[name] - old[name]).double().norm()) for name in names))
        return change / math.hypot(*(float(old[name].double().norm()) for name in names))


class TestGradients:
    def test_of_a_linear_network_by_hand(self, task: tuple[Tensor, Tensor]) -> None:
        """Of the mean of |W₂ W₁ x|² / 2, the gradients are products of W₁, W₂ and the second moment of x."""
        x = task[0].double()
        model = nn.Sequential(nn.Linear(6, 4, bias=False), nn.Identity(), nn.Linear(4, 3, bias=False)).double()
        first, second = model[0].weight.detach().clone(), model[2].weight.detach().clone()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, x, task[1], every=1, layers=["0", "1"], health=["grad_norm"], optimizer=optimiser)
        (model(x).square().sum() / 2 / len(x)).backward()
        optimiser.step()
        probe.step()
        moment = x.T @ x / len(x)
        wanted = [(second.T @ second @ first @ moment).norm(), (second @ first @ moment @ first.T).norm()]
        assert probe.layers == ["input", "0", "1", "logits"]
        found = layer(probe, "grad_norm")
        assert math.isnan(found[0])
        assert math.isnan(found[2]), "an identity has no parameters"
        assert [found[1], found[3]] == pytest.approx([float(w) for w in wanted], rel=1e-12)

    @pytest.mark.parametrize(
        "after",
        ["nothing", "zero_grad", "zero_grad in place", "another backward"],
    )
    def test_of_the_last_step_are_known_at_the_end_while_they_are_kept(self, task: Any, after: str) -> None:
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=4, health="grad_norm", optimizer=optimiser)
        for _ in range(6):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(task[0]), task[1]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimiser.step()
            probe.step()
        wanted = torch.cat([p.grad.flatten() for p in model[8].parameters() if p.grad is not None]).norm().item()
        if after.startswith("zero_grad"):
            optimiser.zero_grad(set_to_none=after == "zero_grad")
        elif after == "another backward":
            nn.functional.cross_entropy(model(task[0]), task[1]).backward()
        probe.close()
        found = layer(probe, "grad_norm")
        if after == "nothing":
            assert found[-1] == pytest.approx(wanted, rel=1e-5)
            assert not any(map(math.isnan, found[1:]))
        else:
            assert all(map(math.isnan, found))

    def test_are_of_the_step_that_leads_to_the_measurement_after_clipping(self, task: Any) -> None:
        model = net()
        kept, optimiser = Kept(model), torch.optim.Adam(model.parameters(), 1e-2)
        probe = LoadProbe(model, *task, every=4, health="grad_norm", optimizer=optimiser)

        def clipped() -> None:
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            kept.before()

        train(model, optimiser, task, 8, probe.step, clipped)
        wanted = [
            kept.norm(7, "0.weight", "0.bias", "1.weight", "1.bias"),
            kept.norm(7, "4.weight", "4.bias"),
            kept.norm(7, "6.weight", "6.bias"),
            kept.norm(7, "8.weight", "8.bias"),
        ]
        assert probe.layers == ["input", "2", "5", "7", "logits"]
        assert layer(probe, "grad_norm")[1:] == pytest.approx(wanted, rel=1e-5)
        assert math.hypot(*wanted) <= 0.0501

    def test_accumulated(self, task: Any) -> None:
        x, y = task
        model = net().eval()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=1, health="grad_norm", optimizer=optimiser)
        nn.functional.cross_entropy(model(x), y).backward()
        assert model[8].weight.grad is not None
        wanted = math.hypot(float(model[8].weight.grad.norm()), float(model[8].bias.grad.norm()))
        optimiser.zero_grad(set_to_none=True)
        for part in (slice(0, 60), slice(60, 120)):
            (nn.functional.cross_entropy(model(x[part]), y[part]) / 2).backward()
        optimiser.step()
        probe.step()
        assert layer(probe, "grad_norm")[-1] == pytest.approx(wanted, rel=1e-5)

    def test_of_a_closure_are_those_that_it_made(self, task: Any) -> None:
        """Before the step the parameters still have the gradients of the step before."""
        x, y = task
        model = net().eval()
        kept, optimiser = Kept(model), torch.optim.SGD(model.parameters(), 0.5)
        probe = LoadProbe(model, *task, every=1, health="grad_norm", optimizer=optimiser)

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            kept.before()
            return loss

        for step in range(3):
            optimiser.step(closure)
            probe.step()
            wanted = kept.norm(step, "8.weight", "8.bias")
            assert layer(probe, "grad_norm")[-1] == pytest.approx(wanted, rel=1e-5)

    @pytest.mark.parametrize("fused", [False, True])
    @pytest.mark.parametrize("unscaled", [False, True])
    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_are_without_the_factor_of_a_gradient_scaler(self, task: Any, fused: bool, unscaled: bool) -> None:
        x, y = task
        model = net().eval()
        optimiser = torch.optim.SGD(model.parameters(), 0.1, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        probe = LoadProbe(model, *task, every=1, health="grad_norm", optimizer=optimiser)
        wanted = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), model[8].weight)[0].norm()
        scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
        model[8].bias.grad = None
        if unscaled:
            scaler.unscale_(optimiser)
        scaler.step(optimiser)
        scaler.update()
        probe.step()
        assert layer(probe, "grad_norm")[-1] == pytest.approx(float(wanted), rel=1e-5)

    @pytest.mark.parametrize("fused", [False, True])
    def test_of_a_step_that_the_scaler_skips_are_unknown(self, task: Any, fused: bool) -> None:
        x, y = task
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.1, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        with (
            LoadProbe(model, *task, every=1, health=OF_OPTIMISER, optimizer=optimiser) as probe,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # a skipped step of an optimiser that is not fused is no step
            for factor in (1.0, math.inf):
                optimiser.zero_grad()
                scaler.scale(factor * nn.functional.cross_entropy(model(x), y)).backward()
                scaler.step(optimiser)
                scaler.update()
                probe.step()
            assert all(map(math.isnan, layer(probe, "grad_norm")))
        assert not any("finite" in text for text in notes(probe))

    def test_not_finite_is_infinite_and_said(self, task: Any) -> None:
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=1, health="all", optimizer=optimiser)
        with torch.no_grad():
            model[6].weight.fill_(NAN)
        train(model, optimiser, task, 1, probe.step)
        record = records(probe, Health)[-1]
        assert record.measures["grad_norm"][-1] == math.inf
        first, *others = record.measures["scale"]  # the step makes every weight NaN
        assert math.isfinite(first)
        assert others == [math.inf] * len(others)
        assert any("values that are not finite since step 1" in text for text in notes(probe))


class TestUpdates:
    def test_of_plain_sgd_are_rate_times_gradient_over_weight(self, task: Any) -> None:
        """In float64, where the rounding of w - lr g is 1e-16 of w."""
        x, y = task[0].double(), task[1]
        model = net().double()
        kept, optimiser = Kept(model), torch.optim.SGD(model.parameters(), 0.05)
        probe = LoadProbe(model, x, y, every=4, health=OF_OPTIMISER, optimizer=optimiser)
        train(model, optimiser, (x, y), 4, probe.step, kept.before)
        names = [
            ("0.weight", "0.bias", "1.weight", "1.bias"),
            ("4.weight", "4.bias"),
            ("6.weight", "6.bias"),
            ("8.weight", "8.bias"),
        ]
        found = layer(probe, "update_ratio")[1:]
        for turn, own in enumerate(names):  # four layers take turns over the four steps
            w = math.hypot(*(float(kept.old[turn][name].norm()) for name in own))
            assert found[turn] == pytest.approx(0.05 * kept.norm(turn, *own) / w, rel=1e-10)

    @pytest.mark.parametrize("every", [1, 3, 10])
    def test_of_adam_are_the_difference(self, task: Any, every: int) -> None:
        """Every layer's value is one of the last steps' before the measurement, as exactly as float32 allows."""
        model = net()
        kept, optimiser = Kept(model), torch.optim.AdamW(model.parameters(), 1e-2)
        probe = LoadProbe(model, *task, every=every, health="update_ratio", optimizer=optimiser)

        def after() -> None:
            kept.after()
            probe.step()

        train(model, optimiser, task, 30, after, kept.before)
        names = [
            ("0.weight", "0.bias", "1.weight", "1.bias"),
            ("4.weight", "4.bias"),
            ("6.weight", "6.bias"),
            ("8.weight", "8.bias"),
        ]
        used = set()
        for found, own in zip(layer(probe, "update_ratio")[1:], names, strict=True):
            ratios = [kept.ratio(step, *own) for step in range(26, 30)]
            near = min(range(4), key=lambda k: abs(ratios[k] - found))
            assert found == pytest.approx(ratios[near], rel=1e-5)
            used.add(near)
        assert len(used) == 4, "one layer a step"

    def test_one_layer_is_copied_at_a_time(self, task: Any) -> None:
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=8, health="all", optimizer=optimiser)
        watch = probe._health._watch
        assert watch is not None
        copied = []
        optimiser.register_step_pre_hook(lambda *_: copied.append([tuple(p.shape) for p in watch._turn.old]))
        train(model, optimiser, task, 8, probe.step)
        assert copied[:4] == [[]] * 4, "far from a measurement nothing is copied"
        assert copied[4:] == [[(16, 6), (16,), (16,), (16,)], [(12, 16), (12,)], [(8, 12), (8,)], [(3, 8), (3,)]]
        assert not watch._turn.old
        size, words = probe._health.memory()
        assert size == 4 * (12 * 16 + 12)
        assert words == "a copy of one layer's weights at a time, at most 816 bytes"
        assert "the probe keeps a copy of one layer's weights at a time" in " ".join(str(probe.describe()).split())
        assert "Layer health" not in str(LoadProbe(model, *task).describe())

    def test_schedules_and_groups(self, task: Any) -> None:
        """Each group has its own rate, and the schedule changes both."""
        x, y = task[0].double(), task[1]
        model = net().double().eval()
        groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[8].parameters(), "lr": 0.001}]
        optimiser = torch.optim.SGD(groups)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.1)
        kept = Kept(model)
        probe = LoadProbe(model, x, y, every=6, health="update_ratio", optimizer=optimiser)

        def after() -> None:
            schedule.step()
            probe.step()

        train(model, optimiser, (x, y), 6, after, kept.before)
        found = layer(probe, "update_ratio")
        assert math.isnan(found[0])
        assert math.isnan(found[2]), "of no group"
        w = math.hypot(float(kept.old[5]["8.weight"].norm()), float(kept.old[5]["8.bias"].norm()))
        assert found[-1] == pytest.approx(0.001 * 0.1**5 * kept.norm(5, "8.weight", "8.bias") / w, rel=1e-6)

    def test_frozen_layers_are_unknown_and_unfrozen_ones_follow(self, task: Any) -> None:
        model = net()
        model[4].requires_grad_(False)
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=4, health=OF_OPTIMISER, optimizer=optimiser)
        train(model, optimiser, task, 4, probe.step)
        for name in OF_OPTIMISER:
            assert [math.isnan(value) for value in layer(probe, name)] == [True, False, True, False, False]
        model[4].requires_grad_(True)
        train(model, optimiser, task, 4, probe.step)
        for name in OF_OPTIMISER:
            assert [math.isnan(value) for value in layer(probe, name)] == [True, False, False, False, False]


OPTIMISERS: dict[str, Make] = {
    "sgd with momentum": lambda ps: torch.optim.SGD(ps, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda ps: torch.optim.Adam(ps, 1e-2),
    "adamw, foreach": lambda ps: torch.optim.AdamW(ps, 1e-2, foreach=True),
    "adamw, fused": lambda ps: torch.optim.AdamW(ps, 1e-2, fused=True),
    "rmsprop": lambda ps: torch.optim.RMSprop(ps, 1e-3),
    "adafactor": lambda ps: torch.optim.Adafactor(ps, 1e-2),
    "maximising": lambda ps: torch.optim.SGD(ps, 1e-3, maximize=True, foreach=True),
}


class TestBitForBit:
    """Training with all measures is the same as without a probe."""

    def trained(
        self, make: Make, *, probed: bool, every: int = 2, autocast: bool = False, closure: bool = False
    ) -> Any:
        model = net()
        draw = torch.Generator().manual_seed(1)
        x = torch.randn(120, 6, generator=draw)
        y = x[:, :3].argmax(1)
        optimiser = make(model.parameters())
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 12)
        probe = LoadProbe(model, x, y, every=every, health="all", optimizer=optimiser) if probed else None

        def loss_of(rows: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                return nn.functional.cross_entropy(model(x[rows]), y[rows])

        for _ in range(12):
            rows = torch.randperm(120)[:40]

            def compute(rows: Tensor = rows) -> Tensor:
                optimiser.zero_grad()
                loss = loss_of(rows)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                return loss

            if closure:
                optimiser.step(compute)
            else:
                compute()
                optimiser.step()
            schedule.step()
            if probe is not None:
                probe.step()
        state = optimiser.state_dict()["state"]
        moments = [value for one in state.values() for value in one.values() if isinstance(value, Tensor)]
        if probe is not None:
            assert not all(map(math.isnan, layer(probe, "grad_norm")))
            assert not all(map(math.isnan, layer(probe, "update_ratio")))
        return [*model.state_dict().values(), *moments, torch.get_rng_state()]

    def check(self, make: Make, **options: Any) -> None:
        plain, probed = (self.trained(make, probed=probed, **options) for probed in (False, True))
        assert len(plain) == len(probed)
        assert all(torch.equal(a, b) for a, b in zip(plain, probed, strict=True))

    @pytest.mark.parametrize("make", OPTIMISERS.values(), ids=list(OPTIMISERS))
    def test_with_every_optimiser(self, make: Make) -> None:
        self.check(make)

    @pytest.mark.parametrize("every", [1, 5, 100])
    def test_at_any_distance_of_measurements(self, every: int) -> None:
        if every < 100:
            self.check(OPTIMISERS["adam"], every=every)
        else:
            model = net()
            LoadProbe(model, torch.randn(30, 6), torch.arange(30) % 3, every=every, health="dead")

    def test_under_autocast(self) -> None:
        self.check(OPTIMISERS["adamw, fused"], autocast=True)

    def test_with_a_closure(self) -> None:
        self.check(OPTIMISERS["adam"], closure=True)

    def test_with_lbfgs(self) -> None:
        self.check(lambda ps: torch.optim.LBFGS(ps, max_iter=3), closure=True)


class TestActivations:
    def test_dead_units_of_a_relu(self, task: Any) -> None:
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
        with torch.no_grad():
            model[0].bias[:3] = -1e3
            model[2].weight[1] = 0.0
            model[2].bias[1] = 0.7  # constant, and not zero
        probe = LoadProbe(model, *task, health="dead", chunk=50)
        assert layer(probe, "dead") == pytest.approx([NAN, 3 / 8, layer(probe, "dead")[2], NAN], nan_ok=True)
        assert layer(probe, "dead")[2] >= 1 / 5

    @pytest.mark.parametrize("reduction", ["spatial_mean", "auto"])
    def test_a_channel_is_alive_where_any_position_responds(self, reduction: str) -> None:
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)
        )
        with torch.no_grad():
            model[0].weight.zero_()
            model[0].weight[0, 0, 1, 1] = 1.0
        x = torch.zeros(20, 1, 8, 8)
        x[3, 0, 2, 2] = 1.0
        x[5:, 0, 0, 0] = torch.rand(15)
        probe = LoadProbe(model, x, torch.arange(20) % 2, health="dead", reductions=reduction)
        assert layer(probe, "dead")[1] == 0.5
        point = probe.describe().points[1]
        assert point.reduction == ("flatten" if reduction == "auto" else reduction)

    def test_saturated_and_scale_by_hand(self, task: Any) -> None:
        model = net()
        with torch.no_grad():
            model[4].weight *= 30.0
        probe = LoadProbe(model, *task, health=["saturated", "scale"], chunk=32)
        model.eval()
        with torch.no_grad():
            hidden = model[:6](task[0])
            wanted = [task[0], model[:3](task[0]), hidden, model[:8](task[0]), model(task[0])]
        assert layer(probe, "saturated") == pytest.approx(
            [NAN, NAN, float((hidden.abs() >= 0.98).double().mean()), NAN, NAN], nan_ok=True
        )
        assert 0 < layer(probe, "saturated")[2] < 1
        assert layer(probe, "scale") == pytest.approx([float(x.square().mean().sqrt()) for x in wanted], rel=1e-5)

    def test_pooling_and_blocks_hand_on_their_activation(self) -> None:
        class Block(nn.Module):
            def __init__(self, last: nn.Module) -> None:
                super().__init__()
                self.fc, self.last = nn.Linear(6, 6), last

            def forward(self, x: Tensor) -> Tensor:
                return self.last(self.fc(x))  # type: ignore[no-any-return]

        y = torch.arange(40) % 2
        model = nn.Sequential(Block(nn.Tanh()), Block(nn.LayerNorm(6)), nn.Linear(6, 2))
        found = layer(LoadProbe(model, 9 * torch.randn(40, 6), y, health="saturated"), "saturated")
        assert [math.isnan(value) for value in found] == [True, False, True, True]
        for pool, known in ((nn.MaxPool2d(2), True), (nn.AvgPool2d(2), False)):
            cnn = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), pool, nn.Flatten(), nn.Linear(18, 2))
            found = layer(LoadProbe(cnn, torch.randn(40, 1, 8, 8), y, health="saturated"), "saturated")
            assert math.isnan(found[1]) != known

    def test_effective_rank_of_the_features(self, task: Any) -> None:
        model = net().eval()
        probe = LoadProbe(model, *task, health="effective_rank")
        with torch.no_grad():
            x = model[:6](task[0]).double()
        values = torch.linalg.eigvalsh(torch.cov(x.T))
        assert layer(probe, "effective_rank")[2] == pytest.approx(
            float(values.sum() ** 2 / values.square().sum()), rel=1e-4
        )

    def test_in_slices_it_is_the_same(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 9000), nn.ReLU(), nn.Linear(9000, 2))
        x, y = torch.randn(200, 6), torch.arange(200) % 2
        whole, sliced = (
            LoadProbe(model, x, y, health="all", optimizer=torch.optim.SGD(model.parameters(), 1.0), memory=m)
            for m in (256, 1)
        )
        for name in HEALTH:
            assert layer(sliced, name) == pytest.approx(layer(whole, name), rel=1e-4, nan_ok=True), name

    def test_a_pass_that_begins_anew_counts_once(self) -> None:
        """As in smaller chunks, where memory ran out."""
        point = Point("a", "after", (4, 3), role="activation")
        seen = Activations([point], [ends_of(nn.Tanh())], ["dead", "saturated", "scale"])
        x = torch.tensor([[0.99, 0.0, 3.0], [0.5, 0.0, 3.0], [0.5, 0.0, 3.0], [0.5, 0.0, 3.0]])
        for bounds in ([(0, 3)], [(0, 1), (1, 2), (2, 4)]):
            for start, stop in bounds:
                seen.see(0, start, x[start:stop], Rows())
        found = seen.values([0])
        assert found["dead"] == [pytest.approx(2 / 3)]
        assert found["saturated"] == [5 / 12]
        assert found["scale"] == [pytest.approx(float(x.square().mean().sqrt()))]

    def test_a_layer_of_rank_one_is_noted(self, task: Any) -> None:
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.0)
        probe = LoadProbe(model, *task, every=1, health="all", optimizer=optimiser)
        with torch.no_grad():
            model[4].weight[:] = torch.outer(torch.rand(12), torch.tensor([1.0, -1.0]).repeat(8)) / 99
        train(model, optimiser, task, 2, probe.step)
        assert layer(probe, "effective_rank")[2] == pytest.approx(1.0, abs=0.05)
        assert [text for text in notes(probe) if "collapsed" in text and text.startswith("layers 5")], notes(probe)

    def test_padding_counts_nowhere(self) -> None:
        class Words(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.fc, self.act = nn.Embedding(9, 4), nn.Linear(4, 4), nn.ReLU()
                self.head = nn.Linear(4, 2)

            def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
                x = self.act(self.fc(self.embedding(input_ids)))
                return self.head((x * attention_mask[..., None]).sum(1))  # type: ignore[no-any-return]

        model = Words()
        with torch.no_grad():
            model.embedding.weight[0] = 100.0  # of padding
        ids = torch.randint(1, 9, (40, 5))
        mask = torch.ones_like(ids)
        mask[:20, 3:] = 0
        ids[mask == 0] = 0
        probe = LoadProbe(model, {"input_ids": ids, "attention_mask": mask}, torch.arange(40) % 2, health="scale")
        with torch.no_grad():
            x = model.act(model.fc(model.embedding(ids)))[mask.bool()]
        assert layer(probe, "scale")[1] == pytest.approx(float(x.square().mean().sqrt()), rel=1e-5)


class TestWhoseParameters:
    """The parameters of a layer are those used after the previous point, up to its own."""

    def held(self, model: nn.Module, x: Any, y: Tensor) -> dict[str, set[str]]:
        probe = LoadProbe(model, x, y, health="all", optimizer=torch.optim.SGD(model.parameters(), 0.1))
        names: dict[int, str] = {id(p): name for name, p in model.named_parameters()}
        assert probe._probed is not None
        return {
            point: {names[id(p)] for p in own}
            for point, own in zip(probe.layers, probe._probed.parameters[0], strict=True)
        }

    def test_of_blocks_embeddings_and_heads(self) -> None:
        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
                self.norm, self.gain = nn.LayerNorm(8), nn.Parameter(torch.ones(8))

            def forward(self, x: Tensor) -> Tensor:
                return self.norm(x + self.gain * self.attention(x, x, x)[0])  # type: ignore[no-any-return]

        class Encoder(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.position, self.blocks = nn.Parameter(torch.zeros(1, 5, 8)), nn.ModuleList([Block(), Block()])

            def forward(self, x: Tensor) -> Tensor:
                x = x + self.position
                for block in self.blocks:
                    x = block(x)
                return x

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.encoder = nn.Embedding(20, 8), Encoder()
                self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 20)
                self.head.weight = self.embedding.weight

            def forward(self, ids: Tensor) -> Tensor:
                return self.head(self.norm(self.encoder(self.embedding(ids))).mean(1))  # type: ignore[no-any-return]

        found = self.held(Model(), torch.randint(20, (40, 5)), torch.arange(40) % 2)
        inner = [
            "gain", "norm.weight", "norm.bias", "attention.in_proj_weight", "attention.in_proj_bias",
            "attention.out_proj.weight", "attention.out_proj.bias",
        ]  # fmt: skip
        assert found == {
            "input": {"embedding.weight"},
            "encoder.blocks.0": {f"encoder.blocks.0.{name}" for name in inner},
            "encoder.blocks.1": {f"encoder.blocks.1.{name}" for name in inner},
            "logits": {"norm.weight", "norm.bias", "embedding.weight", "head.bias"},
        }, "a tied weight counts in both of its layers, a position embedding in none"

    def test_of_activations(self, task: Any) -> None:
        found = self.held(net(), *task)
        assert found["2"] == {"0.weight", "0.bias", "1.weight", "1.bias"}
        assert found["logits"] == {"8.weight", "8.bias"}
        assert found["input"] == set()

    def test_of_a_module_that_is_called_again(self, task: Any) -> None:
        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.start, self.fc, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

            def forward(self, x: Tensor) -> Tensor:
                x = torch.relu(self.start(x))
                return self.head(torch.relu(self.fc(torch.relu(self.fc(x)))))  # type: ignore[no-any-return]

        found = self.held(Twice(), *task)
        assert found["fc"] == found["fc#2"] == {"fc.weight", "fc.bias"}

    def test_of_parametrised_weights(self, task: Any) -> None:
        model = net()
        parametrizations.weight_norm(model[4])
        found = self.held(model, *task)
        weights = {f"4.parametrizations.weight.original{i}" for i in (0, 1)}
        assert found["5"] == {"4.bias", *weights}

    def test_of_towers(self) -> None:
        """Each tower has the parameters that lead to its own points, though all are called one after the other."""

        class Encoder(nn.Module):
            def __init__(self, width: int) -> None:
                super().__init__()
                self.first, self.second = nn.Linear(width, 8), nn.Linear(8, 8)
                self.act1, self.act2, self.out = nn.ReLU(), nn.ReLU(), nn.Linear(8, 4)

            def forward(self, x: Tensor) -> Tensor:
                return self.out(self.act2(self.second(self.act1(self.first(x)))))  # type: ignore[no-any-return]

        class Pair(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.image, self.text, self.head = Encoder(6), Encoder(5), nn.Linear(8, 2)

            def forward(self, image: Tensor, text: Tensor) -> Tensor:
                return self.head(torch.cat([self.image(image), self.text(text)], 1))  # type: ignore[no-any-return]

        model = Pair()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        inputs, y = (torch.randn(40, 6), torch.randn(40, 5)), torch.arange(40) % 2
        probe = LoadProbe(model, inputs, y, every=1, health="all", optimizer=optimiser, notes={"dead_units": 0.0})
        assert probe.towers == ["image", "text"]
        assert probe._probed is not None
        names = {id(p): name for name, p in model.named_parameters()}
        held = [[{names[id(p)] for p in own} for own in tower] for tower in probe._probed.parameters]
        for own, path in zip(held, probe.towers, strict=True):
            assert own[0] == set()
            assert own[1] == {f"{path}.first.weight", f"{path}.first.bias"}
            assert own[2] == {f"{path}.second.weight", f"{path}.second.bias"}
        nn.functional.cross_entropy(model(*inputs), y).backward()
        optimiser.step()
        probe.step()
        found = [record for record in records(probe, Health) if record.step == 1]
        assert [record.path for record in found] == ["image", "text"]
        assert [record.layers for record in found] == [probe.tower(path).layers for path in probe.towers]
        weight = model.text.second
        assert weight.weight.grad is not None
        wanted = math.hypot(float(weight.weight.grad.norm()), float(weight.bias.grad.norm()))
        assert found[1].measures["grad_norm"][2] == pytest.approx(wanted, rel=1e-5)
        assert f"text/grad_norm/{found[1].layers[2]}" in probe.metrics(prefix="")


class TestOptimisers:
    def test_without_one_the_remedy_is_named(self, task: Any) -> None:
        with pytest.raises(
            ConfigError, match="'update_ratio' cannot be measured without the optimiser: add optimizer="
        ):
            LoadProbe(net(), *task, health=["dead", "update_ratio"])
        with pytest.raises(ConfigError, match="'grad_norm', 'update_ratio'"):
            LoadProbe(net(), *task, health="all", optimizer=[])
        assert LoadProbe(net(), *task, health=["dead", "scale"]).layers

    def test_of_another_model_it_is_refused(self, task: Any) -> None:
        other = torch.optim.SGD(net().parameters(), 0.1)
        with pytest.raises(ConfigError, match="SGD holds no parameter of the model's layers"):
            LoadProbe(net(), *task, health="all", optimizer=other)

    def test_one_without_hooks_is_refused(self, task: Any) -> None:
        class Own:
            def step(self) -> None: ...

        with pytest.raises(ConfigError, match="optimizer is a Own, which takes no step hooks"):
            LoadProbe(net(), *task, health="all", optimizer=Own())

    @pytest.mark.parametrize("name", ["gradnorm", "dead_units", ""])
    def test_unknown_measures_are_refused(self, task: Any, name: str) -> None:
        with pytest.raises(ConfigError, match=f"health: '{name}' is not allowed.*allowed: grad_norm, .* or 'all'"):
            LoadProbe(net(), *task, health=[name])

    @pytest.mark.filterwarnings("ignore")  # of the libraries about themselves
    def test_wrappers_of_lightning_and_accelerate(self, task: Any) -> None:
        wrappers = [
            pytest.importorskip("lightning.pytorch.core.optimizer").LightningOptimizer,
            pytest.importorskip("accelerate").Accelerator(cpu=True).prepare_optimizer,
        ]
        for wrap in wrappers:
            model = net()
            optimiser = torch.optim.SGD(model.parameters(), 0.1)
            probe = LoadProbe(model, *task, every=1, health="all", optimizer=wrap(optimiser))
            train(model, optimiser, task, 1, probe.step)
            assert not any(map(math.isnan, layer(probe, "grad_norm")[1:]))

    def test_several(self, task: Any) -> None:
        """As Muon for matrices beside Adam for the rest: a layer's parameters are in both."""
        model = net()
        matrices = [p for p in model.parameters() if p.ndim > 1]
        rest = [p for p in model.parameters() if p.ndim < 2]
        both = [torch.optim.SGD(matrices, 0.1), torch.optim.Adam(rest, 1e-2)]

        class Both:
            def zero_grad(self) -> None:
                for one in both:
                    one.zero_grad()

            def step(self) -> None:
                for one in both:
                    one.step()

        kept = Kept(model)
        probe = LoadProbe(model, *task, every=4, health="all", optimizer=both)

        def after() -> None:
            kept.after()
            probe.step()

        train(model, Both(), task, 4, after, kept.before)
        names = ("6.weight", "6.bias")
        assert layer(probe, "grad_norm")[3] == pytest.approx(kept.norm(3, *names), rel=1e-5)
        assert layer(probe, "update_ratio")[3] == pytest.approx(kept.ratio(2, *names), rel=1e-5)

    def test_sparse_gradients(self) -> None:
        model = nn.Sequential(
            nn.Embedding(20, 4, sparse=True), nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 2)
        )
        x, y = torch.randint(20, (40, 3)), torch.arange(40) % 2
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, x, y, every=1, health="all", optimizer=optimiser)
        train(model, optimiser, (x, y), 1, probe.step)
        assert layer(probe, "grad_norm")[0] > 0

    def test_an_optimiser_of_ones_own(self, task: Any) -> None:
        """A subclass is hooked by PyTorch itself, also where it changes the gradients in place, as Muon."""

        class Sign(torch.optim.Optimizer):
            def __init__(self, parameters: Any) -> None:
                super().__init__(parameters, {})

            @torch.no_grad()
            def step(self, closure: Any = None) -> None:
                for group in self.param_groups:
                    for p in group["params"]:
                        p -= 0.01 * p.grad.sign_()

        model = net()
        kept, optimiser = Kept(model), Sign(model.parameters())
        probe = LoadProbe(model, *task, every=1, health="grad_norm", optimizer=optimiser)
        train(model, optimiser, task, 1, probe.step, kept.before)
        assert layer(probe, "grad_norm")[-1] == pytest.approx(kept.norm(0, "8.weight", "8.bias"), rel=1e-5)

    def test_hooks_are_gone_with_the_probe(self, task: Any) -> None:
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        hooks = (optimiser._optimizer_step_pre_hooks, optimiser._optimizer_step_post_hooks)
        for end in ("close", "drop"):
            probe = LoadProbe(model, *task, health="all", optimizer=optimiser)
            assert [len(one) for one in hooks] == [1, 1]
            if end == "close":
                probe.close()
                assert [len(one) for one in hooks] == [0, 0]
            gone = weakref.ref(probe)
            del probe
            gc.collect()
            assert gone() is None, "the optimiser keeps no probe alive"
            assert [len(one) for one in hooks] == [0, 0]

    def test_is_copied_and_saved_as_ever(self, task: Any) -> None:
        model = net()
        optimiser = torch.optim.Adam(model.parameters(), 0.1)
        plain = optimiser.state_dict()
        probe = LoadProbe(model, *task, every=1, health="all", optimizer=optimiser)
        assert optimiser.state_dict() == plain
        copy.deepcopy(optimiser).step()
        torch.save(optimiser, io.BytesIO())
        train(model, optimiser, task, 1, probe.step)
        assert layer(probe, "grad_norm")[1] > 0

    def test_an_error_in_a_hook_warns_once_and_the_training_goes_on(
        self, task: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=1, health="all", optimizer=optimiser)

        def broken(*_: Any) -> Any:
            raise RuntimeError("out of memory")

        monkeypatch.setattr("engine.probe.optimiser.length", broken)
        with pytest.warns(
            ProbeWarning, match="layer health: the optimiser's steps cannot be read.*out of memory"
        ) as seen:
            train(model, optimiser, task, 3, probe.step)
        assert len(seen) == 1
        assert all(map(math.isnan, layer(probe, "grad_norm")))
        assert not math.isnan(layer(probe, "scale")[1])

    def counted(self, probe: LoadProbe, steps: int) -> None:
        for _ in range(steps):
            probe.step()

    def test_a_step_that_is_not_seen_warns_once(self, task: Any) -> None:
        """As of a compiled step, where PyTorch calls no hooks."""
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=2, health="all", optimizer=optimiser)
        with pytest.warns(
            ProbeWarning, match="no step of the optimiser was seen between two measurements"
        ) as seen:
            self.counted(probe, 6)
        assert len(seen) == 1

    @pytest.mark.filterwarnings("ignore")
    def test_a_compiled_step_is_not_disturbed(self, task: Any) -> None:
        ends = []
        for probed in (False, True):
            torch.compiler.reset()
            model = net()
            optimiser = torch.optim.SGD(model.parameters(), 0.1)
            if probed:
                probe = LoadProbe(model, *task, every=1, health="all", optimizer=optimiser)

            class Compiled:
                zero_grad = optimiser.zero_grad
                step = staticmethod(torch.compile(optimiser.step, backend="eager"))

            train(model, Compiled(), task, 3, probe.step if probed else lambda: None)
            ends.append([p.detach().clone() for p in model.parameters()])
        assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
        assert all(map(math.isnan, layer(probe, "grad_norm")))

    def test_measurements_at_steps_of_ones_own(self, task: Any) -> None:
        """They are not foreseen: from the third one on every step is read."""
        model = net()
        kept, optimiser = Kept(model), torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=10**9, health="all", optimizer=optimiser)
        for _ in range(3):
            train(model, optimiser, task, 5, probe.step, kept.before)
            probe.measure()
        assert layer(probe, "grad_norm")[-1] == pytest.approx(kept.norm(14, "8.weight", "8.bias"), rel=1e-5)
        assert not math.isnan(layer(probe, "update_ratio")[-1])

    def test_steps_that_are_numbered_in_strides(self, task: Any) -> None:
        model = net()
        kept, optimiser = Kept(model), torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=40, health="all", optimizer=optimiser)
        at = iter(range(10, 1000, 10))
        train(model, optimiser, task, 8, lambda: probe.step(step=next(at)), kept.before)
        assert [record.step for record in records(probe, Health)] == [0, 40, 80]
        assert layer(probe, "grad_norm")[-1] == pytest.approx(kept.norm(7, "8.weight", "8.bias"), rel=1e-5)


class TestRecords:
    def test_one_a_measurement_beside_the_curve(self, task: Any) -> None:
        model = net()
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        with LoadProbe(model, *task, every=4, health="all", optimizer=optimiser) as probe:
            train(model, optimiser, task, 8, probe.step)
            newest = {name: layer(probe, name) for name in HEALTH}
        found = records(probe, Health)
        assert [record.step for record in found] == [0, 4, 8]
        for record in found:
            assert record.layers == probe.layers
            assert list(record.measures) == list(HEALTH)
            assert all(len(values) == len(probe.layers) for values in record.measures.values())
        assert all(map(math.isnan, found[0].measures["grad_norm"])), "before the first step nothing is known"
        for name in HEALTH:
            assert found[-1].measures[name] == pytest.approx(newest[name], nan_ok=True)
        (started,) = records(probe, Started)
        assert started.settings["health"] == list(HEALTH)

    def test_without_health_there_is_none(self, task: Any) -> None:
        probe = LoadProbe(net(), *task)
        assert records(probe, Health) == []
        assert not any(name.split("/")[1] in HEALTH for name in probe.metrics())

    def test_the_curve_is_the_same_with_and_without(self, task: Any) -> None:
        model = net()
        plain, full = (
            LoadProbe(model, *task, health=health, optimizer=torch.optim.SGD(model.parameters(), 1.0), chunk=50)
            for health in ((), "all")
        )
        assert plain.curves == full.curves

    def test_no_pass_is_added(self, task: Any) -> None:
        calls = [0]
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 1.0)
        model.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
        counts = []
        for health in ((), "all"):
            before = calls[0]
            LoadProbe(model, *task, health=health, optimizer=optimiser, chunk=50)
            counts.append(calls[0] - before)
        assert counts[0] == counts[1]


class TestNotes:
    def test_limits_are_settings(self, task: Any) -> None:
        model = net()
        with torch.no_grad():
            model[0].bias[:8] = -1e3
        model[1] = nn.Identity()
        said = {}
        for limit in (0.4, 0.6):
            probe = LoadProbe(model, *task, health="dead", notes={"dead_units": limit}, every=1)
            probe.step()
            assert notes(probe) == [], "it must hold twice"
            probe.step()
            said[limit] = notes(probe)
            (started,) = records(probe, Started)
            assert started.settings["dead_units"] == limit
        assert said == {0.4: ["layer 2 is dead: 50 % of its units do not respond since step 1"], 0.6: []}
        silent = LoadProbe(model, *task, health="dead", notes=False, every=1)
        for _ in range(3):
            silent.step()
        assert notes(silent) == []

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"dead": 0.5}, "notes: 'dead' is no limit.*allowed: note_measurements"),
            ({"dead_units": 1.5}, "dead_units"),
            ({"idle_measurements": 0}, "idle_measurements"),
            ({"every": 3}, "'every' is no limit"),
            (3, "notes is a int"),
        ],
    )
    def test_wrong_ones_are_refused(self, task: Any, given: Any, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            LoadProbe(net(), *task, notes=given)

    def test_are_warnings_in_the_run_and_no_python_warnings(self, task: Any) -> None:
        model = net()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        probe = LoadProbe(model, *task, every=1, health="all", optimizer=optimiser)
        with torch.no_grad():
            model[4].weight.mul_(1e6)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            train(model, optimiser, task, 2, probe.step)
        (note,) = [note for note in records(probe, Note) if "saturated" in note.text]
        assert note.level == "warning"
        assert note.text.startswith("layer 5 is saturated: 100 % of its activations since step 1")

    def test_gradients_vanish_through_saturated_layers(self) -> None:
        draw = torch.Generator().manual_seed(0)
        x, y = torch.randn(60, 6, generator=draw), torch.arange(60) % 2
        model = nn.Sequential(
            nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)
        )
        with torch.no_grad():
            model[4].weight.mul_(1e-7)
        optimiser = torch.optim.SGD(model.parameters(), 1e-9)
        probe = LoadProbe(model, x, y, every=1, health="all", optimizer=optimiser)
        train(model, optimiser, (x, y), 2, probe.step)
        assert "gradients vanish below layer 5 since step 1" in notes(probe)


@pytest.mark.filterwarnings("ignore")  # of the libraries about themselves
class TestTrainers:
    """Both trainers' optimisers are taken by themselves."""

    def test_lightning_steps_with_a_closure(self, task: Any, tmp_path: Path) -> None:
        pl = pytest.importorskip("lightning.pytorch")
        from springtui.adapters.lightning import LoadProbeCallback

        class Module(pl.LightningModule):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.net = net()

            def forward(self, x: Tensor) -> Any:
                return self.net(x)

            def training_step(self, batch: Any, index: int) -> Any:
                return nn.functional.cross_entropy(self(batch[0]), batch[1])

            def configure_optimizers(self) -> Any:
                return torch.optim.Adam(self.parameters(), 1e-2)

        def fit(*callbacks: Any) -> Any:
            pl.seed_everything(3, verbose=False)
            module = Module()
            trainer = pl.Trainer(
                max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, callbacks=list(callbacks),
                logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
            trainer.fit(module, DataLoader(TensorDataset(*task), batch_size=20, shuffle=True))
            return module

        callback = LoadProbeCallback(*task, health="all")
        probed, plain = fit(callback), fit()
        assert all(torch.equal(a, b) for a, b in zip(probed.parameters(), plain.parameters(), strict=True))
        assert callback.probe is not None
        found = records(callback.probe, Health)
        assert [record.step for record in found] == [0, 6, 12]
        for record in found[1:]:
            for name in OF_OPTIMISER:
                known = [not math.isnan(value) for value in record.measures[name]]
                assert known == [False, *[True] * 4]

    def test_hugging_face(self, tmp_path: Path) -> None:
        hub = pytest.importorskip("transformers")
        from springtui.adapters.transformers import LoadProbeCallback

        ids = torch.randint(5, 30, (64, 8), generator=torch.Generator().manual_seed(0))
        hub.set_seed(1)
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        model = hub.BertForSequenceClassification(hub.BertConfig(vocab_size=32, num_labels=3, **sizes))
        callback = LoadProbeCallback({"input_ids": ids}, ids[:, 0] % 3, health="all")
        arguments = hub.TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=2, per_device_train_batch_size=16, save_strategy="no",
            report_to=[], disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        data = [{"input_ids": row, "labels": int(row[0]) % 3} for row in ids]
        hub.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback]).train()
        assert callback.probe is not None
        found = records(callback.probe, Health)
        assert [record.step for record in found] == [0, 4, 8]
        for name in OF_OPTIMISER:
            assert not any(map(math.isnan, found[-1].measures[name])), name


def records(probe: LoadProbe, kind: type) -> list[Any]:
    assert probe.path is not None
    return [record for record in Run(probe.path).log().events() if isinstance(record, kind)]


def notes(probe: LoadProbe) -> list[str]:
    return [note.text for note in records(probe, Note)]
