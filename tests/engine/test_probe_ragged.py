"""Samples of different lengths: masks by any name, lengths, packed sequences and nested tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from engine.errors import DataError, ProbeWarning
from engine.probe.batch.batch import ProbeBatch
from engine.probe.batch.masks import Masks
from engine.probe.batch.ragged import dense_attention, padded
from engine.probe.load_probe import LoadProbe

N, T, D = 60, 12, 16
DRAW = torch.Generator().manual_seed(0)
Y = torch.arange(N) % 4
IDS = torch.randint(5, 60, (N, T), generator=DRAW)
LENGTHS = torch.randint(3, T, (N,), generator=DRAW)
LENGTHS[7] = T
REAL = torch.arange(T)[None] < LENGTHS[:, None]


@pytest.fixture(autouse=True)
def _home(home: Path) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def separation(x: Tensor, y: Tensor = Y) -> float:
    """log(Tr Sw / Tr Sb) of features [N, D], in double precision."""
    x = x.detach().double().flatten(1)
    within = between = 0.0
    for c in y.unique():
        z = x[y == c]
        within += float((z - z.mean(0)).pow(2).sum())
        between += len(z) * float((z.mean(0) - x.mean(0)).pow(2).sum())
    return float(np.log(within / between))


def mean_of_real(x: Tensor, real: Tensor = REAL) -> Tensor:
    """The mean over the real tokens of each sample, one by one."""
    return torch.stack([row[keep].double().mean(0) for row, keep in zip(x, real, strict=True)])


def curve(model: nn.Module, inputs: Any, *, warns: bool = False, **options: Any) -> dict[str, float]:
    """D by layer; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if warns else "error")
        with LoadProbe(model, inputs, options.pop("labels", Y), **{"chunk": 25, **options}) as probe:
            return dict(zip(probe.layers, probe.curves["trace_ratio"], strict=True))


class Encoder(nn.Module):
    """A classifier of texts by PyTorch's own encoder."""

    def __init__(self, *, batch_first: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, D)
        layer = nn.TransformerEncoderLayer(D, 2, 32, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=batch_first)
        self.head, self.batch_first = nn.Linear(D, 4), batch_first

    def run(self, ids: Tensor, padding: Tensor) -> Any:
        x = self.embedding(ids)
        x = x if self.batch_first else x.transpose(0, 1)
        x = self.encoder(x, src_key_padding_mask=padding)
        return self.head(x[:, 0] if self.batch_first else x[0])

    def forward(self, ids: Tensor, src_key_padding_mask: Tensor) -> Any:
        return self.run(ids, src_key_padding_mask)


def by_hand(model: Encoder, real: Tensor = REAL) -> dict[str, float]:
    """The curve of an encoder from its layers called one by one with the mask, in double precision."""
    copy = Encoder(batch_first=model.batch_first)
    copy.load_state_dict(model.state_dict())
    copy = copy.double().train()  # training mode takes no fast path
    for module in copy.modules():
        if isinstance(module, nn.Dropout | nn.MultiheadAttention):
            module.eval()
    for layer in copy.encoder.layers:
        layer.eval()
    with torch.no_grad(), dense_attention():
        x = copy.embedding(IDS)
        found = {"input": separation(mean_of_real(x, real))}
        for i, layer in enumerate(copy.encoder.layers):
            y = x if copy.batch_first else x.transpose(0, 1)
            y = layer(y, src_key_padding_mask=~REAL)
            x = y if copy.batch_first else y.transpose(0, 1)
            found[f"encoder.layers.{i}"] = separation(mean_of_real(x, real))
        return {**found, "logits": separation(copy.head(x[:, 0]))}


class TestEncoderOfTorch:
    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
    def test_equals_the_layers_called_by_hand(self, batch_first: bool, training: bool) -> None:
        model = Encoder(batch_first=batch_first).train(training)
        assert curve(model, (IDS, ~REAL)) == pytest.approx(by_hand(model), abs=1e-5)
        assert torch.backends.mha.get_fastpath_enabled()

    def test_padding_does_not_count(self) -> None:
        """Other tokens in the padding change nothing, in one chunk or in several."""
        model = Encoder()
        first = curve(model, (IDS, ~REAL), chunk=N)
        other = torch.where(REAL, IDS, 3)
        assert curve(model, (other, ~REAL), chunk=7) == pytest.approx(first, abs=1e-5)

    def test_a_switched_off_fast_path_stays_off(self) -> None:
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            curve(Encoder(), (IDS, ~REAL))
            assert not torch.backends.mha.get_fastpath_enabled()
        finally:
            torch.backends.mha.set_fastpath_enabled(True)

    def test_a_mask_that_the_model_makes_itself_is_given(self) -> None:
        class FromIds(Encoder):
            def forward(self, ids: Tensor) -> Any:  # type: ignore[override]
                return self.run(ids, ids == 1)

        model = FromIds()
        ids = torch.where(REAL, IDS, 1)
        assert curve(model, ids, mask=REAL)["encoder.layers.2"] == pytest.approx(
            by_hand(model)["encoder.layers.2"], abs=1e-5
        )


class TestNames:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("attention_mask", REAL.long()),
            ("attention_mask", REAL),
            ("attention_mask", REAL.float()),
            ("input_mask", REAL.int()),
            ("padding_mask", ~REAL),
            ("key_padding_mask", ~REAL),
            ("src_key_padding_mask", torch.where(REAL, 0.0, float("-inf"))),
            ("padding", ~REAL),
            ("is_pad", ~REAL),
            ("mask", REAL),
            ("mask", ~REAL),
            ("text_mask", REAL.long()),
            ("", ~REAL),
            ("lengths", LENGTHS),
            ("text_lengths", LENGTHS),
            ("x_len", LENGTHS.int()),
            ("seq_len", LENGTHS),
        ],
    )
    def test_is_understood(self, name: str, value: Tensor) -> None:
        masks = Masks([("ids", IDS), (name, value)], N)
        assert masks.main is not None
        assert torch.equal(masks.main, REAL)
        assert not masks.unclear

    def test_a_padding_mask_of_whole_numbers_where_1_is_real(self) -> None:
        """As of audio models of Hugging Face: a sample without any real token cannot be meant."""
        masks = Masks([("ids", IDS), ("padding_mask", REAL.long())], N)
        assert torch.equal(masks.values[0], REAL)

    def test_names_decide_where_values_do_not(self) -> None:
        short = REAL.clone()
        short[7] = False
        short[7, :4] = True
        assert torch.equal(Masks([("padding_mask", ~short)], N).values[0], short)
        assert torch.equal(Masks([("attention_mask", short)], N).values[0], short)
        assert torch.equal(Masks([("mask", short)], N).values[0], short)  # every sample begins with a real token

    def test_padding_in_front(self) -> None:
        assert torch.equal(Masks([("mask", ~REAL.flip(1))], N).values[0], REAL.flip(1))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("attention_mask", REAL[:, None, None].expand(N, 1, T, T)),
            ("attention_mask", torch.rand(N, T, generator=torch.Generator().manual_seed(1))),
            ("bias", REAL),
            ("lengths", torch.rand(N)),
            ("lengths", torch.full((N,), 100)),
            ("lengths", torch.zeros(N, dtype=torch.long)),
            ("lengths", LENGTHS[:5]),
            ("labels", Y),
            ("token_type_ids", torch.zeros(N, T, dtype=torch.long)),
        ],
    )
    def test_is_no_mask_of_tokens(self, name: str, value: Tensor) -> None:
        assert Masks([("ids", IDS), (name, value)], N).main is None

    def test_a_random_mask_is_no_padding_and_is_said(self) -> None:
        scattered = torch.rand(N, T, generator=torch.Generator().manual_seed(1)) < 0.5
        masks = Masks([("ids", IDS), ("mask", scattered)], N)
        assert masks.main is None
        assert "the input 'mask' may be a mask of padding" in masks.notes(())[0]

    def test_lengths_of_the_longest_axis(self) -> None:
        frames = torch.randn(N, 80, T)
        masks = Masks([("x", frames), ("lengths", LENGTHS)], N)
        assert masks.main is not None
        assert torch.equal(masks.main, REAL)

    def test_encoder_and_decoder_each_have_their_own(self) -> None:
        masks = Masks([("decoder_attention_mask", REAL.flip(0)), ("attention_mask", REAL)], N)
        part = masks.part(0, N, torch.device("cpu"))
        assert masks.main is not None
        assert torch.equal(masks.main, REAL)
        for point, wanted in [("encoder.0", REAL), ("decoder.layers.0", REAL.flip(0)), ("head", REAL)]:
            mask = part.fitting(point, (N, T, D))
            assert mask is not None
            assert torch.equal(mask, wanted)
        assert part.fitting("encoder.0", (N, T + 1, D)) is None

    @pytest.mark.parametrize("name", ["attention_mask", "padding_mask", "lengths", "mask"])
    def test_found_by_name_and_by_place(self, name: str) -> None:
        value = {"attention_mask": REAL.long(), "padding_mask": ~REAL, "lengths": LENGTHS, "mask": REAL}[name]

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.act, self.head = nn.Embedding(64, D), nn.Tanh(), nn.Linear(D, 4)

            def forward(self, ids: Tensor, **others: Tensor) -> Any:
                return self.head(self.act(self.embedding(ids)).mean(1))

        class Placed(Model):
            pass

        exec(f"def forward(self, ids, {name}): return Model.forward(self, ids)", {"Model": Model}, where := {})
        Placed.forward = where["forward"]  # type: ignore[method-assign]
        model = Placed()
        wanted = separation(mean_of_real(torch.tanh(model.embedding(IDS))))
        assert curve(model, (IDS, value))["act"] == pytest.approx(wanted, abs=1e-5)
        assert curve(model, {"ids": IDS, name: value})["act"] == pytest.approx(wanted, abs=1e-5)
        called = curve(model, (value, IDS), forward=lambda model, *args: model(args[1], args[0]), warns=True)
        if value.dtype == torch.bool:  # without a name only such a value tells
            assert called["act"] == pytest.approx(wanted, abs=1e-5)


class Tokens(nn.Module):
    """A model that does not know of padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.act, self.head = nn.Embedding(64, D), nn.Tanh(), nn.Linear(D, 4)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        return self.head(self.act(self.embedding(ids)).mean(1))


class TestGiven:
    @pytest.mark.parametrize(
        "form", [REAL, REAL.numpy(), REAL.long(), REAL.tolist()], ids=["bool", "array", "int", "list"]
    )
    def test_in_any_form(self, form: Any) -> None:
        model = Tokens()
        wanted = separation(mean_of_real(torch.tanh(model.embedding(IDS))))
        assert curve(model, IDS, mask=form)["act"] == pytest.approx(wanted, abs=1e-5)

    def test_overrides_the_inputs(self) -> None:
        model, other = Tokens(), REAL.flip(0)
        wanted = separation(mean_of_real(torch.tanh(model.embedding(IDS)), other))
        assert curve(model, {"ids": IDS, "attention_mask": REAL}, mask=other)["act"] == pytest.approx(
            wanted, abs=1e-5
        )

    def test_next_tokens_are_only_the_real_ones(self) -> None:
        class Language(Tokens):
            def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Any:
                return self.head(self.act(self.embedding(ids)))

        ids = torch.where(REAL, IDS % 6 + 5, 1)
        model = Language()
        given = curve(model, ids, mask=REAL, labels=None)
        assert given == pytest.approx(curve(model, {"ids": ids, "attention_mask": REAL}, labels=None), abs=1e-6)
        with torch.no_grad():
            act = torch.tanh(model.embedding(ids))[:, :-1][REAL[:, 1:]]
        assert given["act"] == pytest.approx(separation(act, ids[:, 1:][REAL[:, 1:]]), abs=1e-5)

    @pytest.mark.parametrize(
        ("mask", "words"),
        [
            (REAL[:5], r"mask has the shape \(5, 12\), inputs hold 60 samples; allowed: mask=, \[N, T\]"),
            (REAL[0], r"mask has the shape \(12,\)"),
            (REAL.long() * 2, "values other than 0 and 1"),
            (torch.zeros(N, T, dtype=torch.bool), "no token of sample 0 and 59 more.*give its inverse"),
            ("padding", "mask"),
        ],
    )
    def test_a_wrong_one_is_refused(self, mask: Any, words: str) -> None:
        with pytest.raises(DataError, match=words):
            LoadProbe(Tokens(), IDS, Y, mask=mask)


class TestTokensThatAreNotTheInputs:
    def test_subsampled_sequences_are_averaged_whole_and_that_is_said_once(self) -> None:
        class Speech(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.stride, self.act = nn.Conv1d(8, D, 4, stride=2), nn.GELU()
                self.first, self.second = nn.Linear(D, D), nn.Linear(D, 4)

            def forward(self, x: Tensor, attention_mask: Tensor) -> Any:
                return self.second(self.act(self.first(self.stride(x.mT).mT)).mean(1))

        model, x = Speech(), torch.randn(N, T, 8)
        with pytest.warns(ProbeWarning, match="'attention_mask' of 12 tokens fits no layer, as 'act'") as told:
            probe = LoadProbe(model, (x, REAL.long()), Y, layers=["act"])
        assert len(told) == 1
        probe.step()
        probe.close()
        features = model.act(model.first(model.stride(x.mT).mT))
        assert probe.curves["trace_ratio"][1] == pytest.approx(separation(features.mean(1)), abs=1e-5)

    def test_a_model_that_cuts_to_the_longest_sample_of_a_chunk(self) -> None:
        """As ``pad_packed_sequence`` does: chunks differ in their numbers of tokens, and the mask is cut."""

        class Cut(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.lstm = nn.LSTM(8, D, batch_first=True)
                self.mix, self.act, self.head = nn.Linear(D, D), nn.Tanh(), nn.Linear(D, 4)

            def forward(self, x: Tensor, lengths: Tensor) -> Any:
                packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
                y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
                return self.head(self.act(self.mix(y)).sum(1))

        model, x = Cut(), torch.randn(N, T, 8)
        with torch.no_grad():
            wanted = separation(mean_of_real(torch.tanh(model.mix(model.lstm(x)[0]))))
        assert curve(model, (x, LENGTHS), chunk=4)["act"] == pytest.approx(wanted, abs=1e-5)


class Recurrent(nn.Module):
    """Two recurrent layers over packed sequences, and the last state's class."""

    def __init__(self, kind: type[nn.RNNBase], *, batch_first: bool, enforce_sorted: bool) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(64, D), nn.Linear(2 * D, 4)
        self.first = kind(D, D, batch_first=batch_first, bidirectional=True)
        self.second = kind(2 * D, D, batch_first=batch_first, bidirectional=True)
        self.batch_first, self.enforce_sorted = batch_first, enforce_sorted

    def forward(self, ids: Tensor, lengths: Tensor) -> Any:
        x = self.embedding(ids)
        packed = pack_padded_sequence(
            x if self.batch_first else x.transpose(0, 1), lengths.cpu(), self.batch_first, self.enforce_sorted
        )
        packed, _ = self.first(packed)
        packed, _ = self.second(packed)
        y, lengths = pad_packed_sequence(packed, batch_first=True)
        return self.head(y[torch.arange(len(y)), lengths - 1])


class TestPackedSequences:
    @pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("is_sorted", [True, False])
    def test_layers_are_padded_masked_and_in_the_order_of_the_samples(
        self, kind: type[nn.RNNBase], batch_first: bool, is_sorted: bool
    ) -> None:
        order = LENGTHS.argsort(descending=True) if is_sorted else torch.arange(N)
        ids, lengths, y = IDS[order], LENGTHS[order], Y[order]
        model = Recurrent(kind, batch_first=batch_first, enforce_sorted=is_sorted)
        found = curve(model, (ids, lengths), labels=y)
        assert list(found) == ["input", "first", "second", "logits"]
        first, second = [], []
        for row, length in zip(ids, lengths.tolist(), strict=True):  # sample by sample, without any padding
            with torch.no_grad():
                a, _ = model.first(model.embedding(row[:length]))
                b, _ = model.second(a)
            first.append(a.mean(0))
            second.append(b.mean(0))
        assert found["first"] == pytest.approx(separation(torch.stack(first), y), abs=1e-5)
        assert found["second"] == pytest.approx(separation(torch.stack(second), y), abs=1e-5)

    def test_of_the_last_layer_only_the_state_is_used(self) -> None:
        """Its packed output leads nowhere, but its sizes are those of the layer before."""

        class States(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.second = nn.LSTM(8, D, batch_first=True), nn.LSTM(D, D, batch_first=True)
                self.head = nn.Linear(D, 4)

            def forward(self, x: Tensor, lengths: Tensor) -> Any:
                packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
                return self.head(self.second(self.first(packed)[0])[1][0][-1])

        model, x = States(), torch.randn(N, T, 8)
        found = curve(model, (x, LENGTHS))
        assert list(found) == ["input", "first", "second", "logits"]
        with torch.no_grad():
            first = model.first(x)[0]
            second = model.second(first)[0]
        assert found["first"] == pytest.approx(separation(mean_of_real(first)), abs=1e-5)
        assert found["second"] == pytest.approx(separation(mean_of_real(second)), abs=1e-5)

    def test_as_an_input(self) -> None:
        class Packed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.lstm, self.head = nn.LSTM(8, D), nn.Linear(D, 4)

            def forward(self, packed: PackedSequence) -> Any:
                return self.head(self.lstm(packed)[1][0][-1])

        model, x = Packed(), torch.randn(N, T, 8) * REAL[..., None]
        packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
        before = packed.data.clone()
        found = curve(model, packed)
        assert torch.equal(packed.data, before)
        with torch.no_grad():
            y, _ = pad_packed_sequence(model.lstm(packed)[0], batch_first=True)
            logits = model(packed)
        assert found["input"] == pytest.approx(separation(x), abs=1e-5)
        assert found["lstm"] == pytest.approx(separation(mean_of_real(y)), abs=1e-5)
        assert found["logits"] == pytest.approx(separation(logits), abs=1e-5)
        assert curve(model, {"packed": packed}, chunk=N) == pytest.approx(found, abs=1e-5)

    def test_chunks_are_the_samples_of_the_batch(self) -> None:
        x = torch.randn(N, T, 8)
        for lengths, is_sorted in ((LENGTHS, False), (LENGTHS.sort(descending=True).values, True)):
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=is_sorted)
            batch = ProbeBatch(packed)
            assert batch.n == N
            (part,), _ = batch.chunk(20, 33, torch.device("cpu"), torch.float32)
            assert (part.sorted_indices is None) is is_sorted
            real = torch.arange(T)[None] < lengths[:, None]
            got, mask = padded(part, T)
            assert mask is not None
            assert torch.equal(mask, real[20:33])
            assert torch.equal(got, (x * real[..., None])[20:33])


def jagged(parts: list[Tensor]) -> Tensor:
    return torch.nested.nested_tensor(parts, layout=torch.jagged)


@pytest.mark.filterwarnings("ignore:.*prototype stage")
class TestNestedTensors:
    @pytest.fixture
    def parts(self) -> list[Tensor]:
        return [torch.randn(int(length), 8) for length in LENGTHS]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.act, self.second, self.tanh = nn.Linear(8, D), nn.ReLU(), nn.Linear(D, D), nn.Tanh()
            self.head = nn.Linear(D, 4)

        def forward(self, x: Tensor) -> Any:
            x = self.tanh(self.second(self.act(self.first(x))))
            return self.head(torch.stack([part.mean(0) for part in x.unbind()]))

    @pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
    def test_as_an_input(self, parts: list[Tensor], layout: Any) -> None:
        model = self.Net()
        found = curve(model, torch.nested.nested_tensor(parts, layout=layout), warns=True)
        assert list(found) == ["input", "act", "tanh", "logits"]
        with torch.no_grad():
            act = torch.stack([torch.relu(model.first(part)).mean(0) for part in parts])
            tanh = torch.stack([model.tanh(model.second(torch.relu(model.first(p)))).mean(0) for p in parts])
            dense = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
        assert found["input"] == pytest.approx(separation(dense), abs=1e-5)
        assert found["act"] == pytest.approx(separation(act), abs=1e-5)
        assert found["tanh"] == pytest.approx(separation(tanh), abs=1e-5)

    def test_two_of_one_raggedness_stay_so(self, parts: list[Tensor]) -> None:
        class Sum(self.Net):  # type: ignore[name-defined,misc]
            def forward(self, x: Tensor, more: Tensor) -> Any:
                return super().forward(x + more)

        x = jagged(parts)
        model = Sum()
        doubled = curve(model, (x, x * 1.0), warns=True)
        assert doubled["act"] == pytest.approx(curve(self.same(model), x * 2.0, warns=True)["act"], abs=1e-5)

    def same(self, model: nn.Module) -> nn.Module:
        other = self.Net()
        other.load_state_dict(model.state_dict())
        return other

    def test_inside_a_model(self, parts: list[Tensor]) -> None:
        class Inside(self.Net):  # type: ignore[name-defined,misc]
            def forward(self, x: Tensor, lengths: Tensor) -> Any:
                cut = [row[:length] for row, length in zip(x, lengths.tolist(), strict=True)]
                return super().forward(torch.nested.as_nested_tensor(cut, layout=torch.jagged))

        dense = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
        model = Inside()
        found = curve(model, (dense, LENGTHS), warns=True)
        assert found["act"] == pytest.approx(curve(self.same(model), jagged(parts), warns=True)["act"], abs=1e-5)

    def test_of_token_ids(self) -> None:
        class Text(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.act, self.head = nn.Embedding(64, D), nn.Tanh(), nn.Linear(D, 4)

            def forward(self, ids: Tensor) -> Any:
                return self.head(torch.stack([part.mean(0) for part in self.act(self.embedding(ids)).unbind()]))

        model = Text()
        ids = [row[:length] for row, length in zip(IDS, LENGTHS.tolist(), strict=True)]
        found = curve(model, jagged(ids), warns=True)
        wanted = separation(mean_of_real(torch.tanh(model.embedding(IDS))))
        assert found["act"] == pytest.approx(wanted, abs=1e-5)


def test_training_with_masks_stays_bit_for_bit_the_same() -> None:
    def train(probed: Callable[[nn.Module], Any] | None) -> list[float]:
        torch.manual_seed(0)
        model = Encoder()
        probe = probed(model) if probed is not None else None
        optimiser, losses = torch.optim.SGD(model.parameters(), 0.1), []
        for _ in range(4):
            loss = nn.functional.cross_entropy(model(IDS, ~REAL), Y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
            if probe is not None:
                probe.step()
        return losses

    assert train(lambda model: LoadProbe(model, (IDS, ~REAL), Y, every=1)) == train(None)
