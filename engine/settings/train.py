"""Settings of one network and its training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from .fields import SettingsStruct


class TrainConfig(SettingsStruct, frozen=True, kw_only=True, tag="train"):
    """One network and how it is trained (Shi et al., arXiv:2407.19353, supplement)."""

    live: ClassVar[frozenset[str]] = frozenset(
        {"negative_slope", "data_noise", "lr", "dropout", "batch_size", "linear_probes", "hold"}
    )

    dataset: Annotated[
        str,
        Meta(
            description="digits, mnist, fashion-mnist, cifar10, gaussian-mixture, gaussian-classes, or the path of an .npz with X and y"
        ),
    ] = "digits"
    data_dir: Annotated[str | None, Meta(description="folder of the data set's original files")] = None
    train_size: (
        Annotated[int, Meta(ge=2, le=10_000_000, description="training samples; the others are for testing")]
        | None
    ) = None
    image_size: (
        Annotated[int, Meta(ge=2, le=256, description="side in pixels to which images are resized")] | None
    ) = None
    mixture_mu: Annotated[
        float,
        Meta(
            ge=0.0, le=1e9, description="of gaussian-mixture: mu in X = sqrt(mu/N) y u + Omega/sqrt(F), N = 5120"
        ),
    ] = 20480.0
    mixture_features: Annotated[
        int, Meta(ge=1, le=65_536, description="of gaussian-mixture: F, the dimensions")
    ] = 100
    model: Annotated[Literal["mlp", "cnn"], Meta(description="architecture")] = "mlp"
    depth: Annotated[int, Meta(ge=2, le=256, description="linear maps, the output's included")] = 8
    width: Annotated[int, Meta(ge=1, le=65_536, description="hidden units (mlp) or channels (cnn)")] = 100
    activation: Annotated[
        Literal["leaky_relu", "tanh", "gelu"],
        Meta(
            description="what negative_slope blends with the identity; leaky_relu is the paper's, the others are ours"
        ),
    ] = "leaky_relu"
    negative_slope: Annotated[
        float,
        Meta(ge=0.0, le=1.0, description="slope for negative inputs; nonlinearity = 1 - negative_slope"),
    ] = 0.0
    batch_norm: Annotated[bool, Meta(description="BatchNorm on the input and after each hidden linear map")] = True
    bias: Annotated[
        Literal["on", "off", "zero"], Meta(description="biases: learned, absent, or started at zero")
    ] = "on"
    dropout: Annotated[float, Meta(ge=0.0, le=0.99, description="probability that an activation is dropped")] = 0.0
    optimizer: Annotated[
        Literal["adam", "sgd", "sgld", "psgld"], Meta(description="psgld is SGLD with RMS preconditioning")
    ] = "adam"
    lr: Annotated[float, Meta(gt=0.0, le=10.0, description="learning rate")] = 1e-3
    temperature: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1.0,
            description="of SGLD and psgld: variance of the noise per step is 2 x lr x temperature",
        ),
    ] = 1e-6
    batch_size: Annotated[
        int, Meta(ge=1, le=10_000_000, description="samples per step; more than train_size means full batch")
    ] = 2560
    epochs: Annotated[int, Meta(ge=1, le=100_000_000, description="passes over the training set")] = 100
    hold: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000_000,
            description="epochs after which the lab's training waits until a setting changes, and then begins anew "
            "from the initial weights; elsewhere it ends there; 0: never",
        ),
    ] = 0
    data_noise: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1.0,
            description="fraction of labels replaced, and input noise in units of the batch's pixel s.d.",
        ),
    ] = 0.0
    loss: Annotated[
        Literal["cross_entropy", "mse", "mse_one_hot"], Meta(description="mse regresses the class index")
    ] = "cross_entropy"
    init: Annotated[
        Literal["default", "orthogonal", "kaiming", "normal", "ntk", "identity"],
        Meta(description="initialisation of the weights"),
    ] = "default"
    init_scale: Annotated[
        float, Meta(gt=0.0, le=1000.0, description="constant that multiplies the initial weights")
    ] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="of all random numbers in the run")] = 0
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")] = (
        "cpu"
    )
    threads: Annotated[int, Meta(ge=1, le=1024, description="threads of one worker")] = 1
    early_stop: Annotated[bool, Meta(description="stop at mean loss < 1e-4 or when it changes by < 1e-10")] = True
    measure_every: Annotated[int, Meta(ge=1, le=1_000_000, description="epochs between load curves")] = 1
    measure_steps: (
        Annotated[
            int, Meta(ge=1, le=10**12, description="optimiser steps between load curves, in place of epochs")
        ]
        | None
    ) = None
    measure_test: Annotated[bool, Meta(description="load curves of the test set too")] = False
    linear_probes: Annotated[
        bool,
        Meta(description="test accuracy of a linear classifier on each layer's activations, with every curve"),
    ] = False
    hessian: Annotated[
        bool, Meta(description="trace and top eigenvalue of the loss's Hessian once training has finished")
    ] = True
    checkpoint_every: Annotated[
        float,
        Meta(ge=0.0, le=86_400.0, description="seconds between checkpoints; 0 writes one only at the end"),
    ] = 10.0
