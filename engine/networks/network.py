"""The paper's networks (Shi, Pan, Dokmanić, arXiv:2407.19353, supplement); knobs may change while they train.

Shape legend: B batch, D input features, H width, K classes, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..settings.train import TrainConfig


class Knobs:
    """Settings of a network that may change between steps.

    Args:
        negative_slope: α, 0 … 1.
        dropout: probability that an activation is dropped.
        generator: of the random numbers of dropout.
    """

    def __init__(self, negative_slope: float, dropout: float, generator: torch.Generator) -> None:
        self.negative_slope = negative_slope
        self.dropout = dropout
        self.generator = generator


class Activation(nn.Module):
    """LeakyReLU; or, ours, tanh or GELU blended with the identity: s x + (1 - s) f(x), s the negative slope.

    Of any shape, and in that shape.
    """

    def __init__(self, name: str, knobs: Knobs) -> None:
        super().__init__()
        self.name = name
        self.knobs = knobs

    def forward(self, x: Tensor) -> Tensor:
        slope = self.knobs.negative_slope
        if self.name == "leaky_relu":
            return nn.functional.leaky_relu(x, slope)
        bent = torch.tanh(x) if self.name == "tanh" else nn.functional.gelu(x)
        return slope * x + (1.0 - slope) * bent


class Dropout(nn.Module):
    """Dropout that draws from the run's own generator, so that a run repeats bit for bit.

    Of any shape, and in that shape; kept activations are multiplied by 1/(1 - p) (Srivastava et al., JMLR 2014).
    """

    def __init__(self, knobs: Knobs) -> None:
        super().__init__()
        self.knobs = knobs

    def forward(self, x: Tensor) -> Tensor:
        p = self.knobs.dropout
        if not self.training or p == 0.0:
            return x
        keep = torch.empty_like(x).uniform_(generator=self.knobs.generator) >= p
        return x * keep.to(x.dtype).div_(1.0 - p)


class ScaledLinear(nn.Linear):
    """A linear map divided by √(features in): the NTK parametrisation's forward scaling (Jacot et al., 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight / math.sqrt(self.in_features), self.bias)


class ScaledConv2d(nn.Conv2d):
    """A convolution divided by √(inputs of one output): the NTK parametrisation's forward scaling."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(x, self.weight / math.sqrt(self.weight[0].numel()), self.bias)
        return out


class Network(nn.Module):
    """A stack of blocks whose outputs are the points of the load curve.

    ``entry`` normalises the input (D_0); each of ``blocks`` ends where its layer is measured (D_1 … D_(L-1));
    ``between`` is applied to the measured output of each block: dropout, in the cnn after upsampling; ``head``
    gives the logits (D_L), [B, K], of samples [B, D] (mlp) or [B, C, height, width] (cnn).
    """

    def __init__(self, entry: nn.Module, blocks: list[nn.Module], between: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self.blocks = nn.ModuleList(blocks)
        self.between = between
        self.head = head

    @property
    def points(self) -> list[str]:
        """Names of D_0 … D_L, L + 1 of them."""
        return ["input", *(f"layer {i + 1}" for i in range(len(self.blocks))), "logits"]

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        for block in self.blocks:
            x = self.between(block(x))
        out: Tensor = self.head(x)
        return out

    def features(self, x: Tensor) -> list[Tensor]:
        """The activations at D_0 … D_L, each [B, …]; in training mode dropout is applied between them."""
        found = [self.entry(x)]
        for block in self.blocks:
            found.append(block(self.between(found[-1]) if len(found) > 1 else found[-1]))
        found.append(self.head(self.between(found[-1])))
        return found


def build_network(config: TrainConfig, sample_shape: tuple[int, ...], n_classes: int, knobs: Knobs) -> Network:
    """A network with its initial weights, drawn from ``config.seed`` alone (Shi et al., supplement).

    Args:
        config: architecture, initialisation and loss.
        sample_shape: of one sample: (D,), or (C, height, width) for a cnn.
        n_classes: K; the loss ``mse`` has one output instead.
        knobs: settings that may change while it trains.

    Raises:
        ConfigError: the images do not fit the architecture.
    """
    outputs = 1 if config.loss == "mse" else n_classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        build = _mlp if config.model == "mlp" else _cnn
        network = build(config, sample_shape, outputs, knobs)
        with torch.no_grad():
            _initialise(network, config)
    return network


def _mlp(config: TrainConfig, shape: tuple[int, ...], outputs: int, knobs: Knobs) -> Network:
    (size,) = shape
    bias = config.bias != "off"
    linear = ScaledLinear if config.init == "ntk" else nn.Linear
    blocks: list[nn.Module] = []
    for _ in range(config.depth - 1):
        norm = [nn.BatchNorm1d(config.width)] if config.batch_norm else []
        blocks.append(
            nn.Sequential(linear(size, config.width, bias=bias), *norm, Activation(config.activation, knobs))
        )
        size = config.width
    entry = nn.BatchNorm1d(shape[0]) if config.batch_norm else nn.Identity()
    return Network(entry, blocks, Dropout(knobs), linear(size, outputs, bias=bias))


def _cnn(config: TrainConfig, shape: tuple[int, ...], outputs: int, knobs: Knobs) -> Network:
    """7 x [3 x 3 convolution, BatchNorm, activation, 2 x 2 max-pool, x 2 upsampling, dropout], linear head.

    Each block is measured after pooling. Images with channels last in memory train 1.6 times as fast.
    """
    channels, height, width = shape
    if height % 2 or width % 2:
        raise ConfigError(f"image_size = {height} is odd; the cnn pools 2 x 2 and needs an even side")
    bias = config.bias != "off"
    linear, convolve = (ScaledLinear, ScaledConv2d) if config.init == "ntk" else (nn.Linear, nn.Conv2d)
    blocks: list[nn.Module] = []
    for _ in range(config.depth - 1):
        norm = [nn.BatchNorm2d(config.width)] if config.batch_norm else []
        convolution = convolve(channels, config.width, 3, padding=1, bias=bias)
        blocks.append(nn.Sequential(convolution, *norm, Activation(config.activation, knobs), nn.MaxPool2d(2)))
        channels = config.width
    entry = nn.BatchNorm2d(shape[0]) if config.batch_norm else nn.Identity()
    between = nn.Sequential(nn.Upsample(scale_factor=2), Dropout(knobs))
    head = nn.Sequential(nn.Flatten(), linear(channels * height * width, outputs, bias=bias))
    return Network(entry, blocks, between, head)


_INITIALISERS: dict[str, Callable[[Tensor], object]] = {
    "orthogonal": nn.init.orthogonal_,
    "kaiming": nn.init.kaiming_normal_,
    "normal": lambda w: nn.init.normal_(w, std=1.0 / math.sqrt(w[0].numel())),
    "ntk": nn.init.normal_,
    "identity": lambda w: nn.init.eye_(w) if w.ndim == 2 else nn.init.dirac_(w),
}


def _initialise(network: Network, config: TrainConfig) -> None:
    """Draw initial weights: ``default`` as PyTorch; ``normal`` of s.d. 1/√(features in); ``ntk`` of 1."""
    for module in network.modules():
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        if config.init in _INITIALISERS:
            _INITIALISERS[config.init](module.weight)
        module.weight.mul_(config.init_scale)
        if config.bias == "zero" and module.bias is not None:
            module.bias.zero_()
