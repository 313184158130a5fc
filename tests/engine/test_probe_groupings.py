"""What a probe takes for classes, and what it says where nothing makes sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import springtui
from engine.errors import DataError
from engine.probe.batch.groupings import Groups, bins, group, next_token

N = 12


def grouped(labels: Any, ids: Tensor | None = None, mask: Tensor | None = None, k: int = 4) -> Groups:
    return group(labels, N, ids, mask, k)


class TestClasses:
    @pytest.mark.parametrize(
        "labels",
        [
            [3, 3, 7, 9] * 3,
            np.array([3, 3, 7, 9] * 3),
            torch.tensor([3, 3, 7, 9] * 3),
            torch.tensor([3.0, 3.0, 7.0, 9.0] * 3),
            torch.tensor([[3], [3], [7], [9]] * 3),
            ["a", "a", "b", "c"] * 3,
            torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 2] * 3)),
            torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]] * 3),
        ],
        ids=["list", "array", "tensor", "whole floats", "column", "text", "one-hot", "probabilities"],
    )
    def test_any_form(self, labels: Any) -> None:
        found = grouped(labels)
        assert found.y_M.tolist() == [0, 0, 1, 2] * 3
        assert found.positions is None

    def test_switches(self) -> None:
        assert grouped([True, False] * 6).y_M.tolist() == [1, 0] * 6


class TestTargets:
    def test_bins_hold_equally_many(self) -> None:
        target = torch.randn(1000, generator=torch.Generator().manual_seed(0))
        found = bins(target, 8)
        assert torch.bincount(found.y_M).tolist() == [125] * 8
        assert found.y_M[target.argmin()] == 0
        assert found.y_M[target.argmax()] == 7

    def test_real_labels_are_binned(self) -> None:
        found = grouped(torch.linspace(0, 1, N))
        assert found.y_M.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
        assert found.how == "4 bins of the target"

    def test_ties_stay_together(self) -> None:
        found = bins([0.0] * 9 + [0.5, 1.0, 2.0], 4)
        assert len(set(found.y_M[:9].tolist())) == 1
        assert found.count == 2

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            (torch.randn(N, 3), r"shape \(12, 3\) has several values a sample.*target\[:, 0\]"),
            ([1.0, float("nan")] * 6, "6 values that are not finite"),
            ([0.5] * N, "one group"),
        ],
    )
    def test_wrong(self, target: Any, words: str) -> None:
        with pytest.raises(DataError, match=words):
            bins(target)


class TestTokens:
    ids = torch.tensor([[1, 2, 1, 2, 1, 3]] * N)

    def test_each_position_by_what_follows(self) -> None:
        found = next_token(self.ids, k=2)
        assert found.tokens is not None
        assert found.tokens.tolist() == [1, 2]
        assert found.positions is not None
        rows, cols = found.positions
        assert rows[:4].tolist() == [0, 0, 0, 0]
        assert cols[:4].tolist() == [0, 1, 2, 3]
        assert found.y_M[:4].tolist() == [1, 0, 1, 0]

    def test_no_more_than_the_limit_from_everywhere(self) -> None:
        found = next_token(self.ids.repeat(100, 1), k=3, limit=50)
        assert found.positions is not None
        assert len(found.y_M) == 50
        assert found.positions[0].min() < 200 < 1000 < found.positions[0].max()
        assert found.positions[0].tolist() == sorted(found.positions[0].tolist())

    def test_padding_never_counts(self) -> None:
        mask = torch.ones_like(self.ids)
        mask[:, 4:] = 0
        found = grouped(None, self.ids, mask.bool())
        assert found.positions is not None
        assert set(found.positions[1].tolist()) == {0, 1, 2}

    @pytest.mark.parametrize("shifted", [False, True])
    def test_labels_of_language_models(self, shifted: bool) -> None:
        labels = self.ids.clone()
        if shifted:
            labels[:, :-1], labels[:, -1] = self.ids[:, 1:], -100
        found = grouped(labels, self.ids)
        assert found.how.startswith("next token")
        assert found.positions is not None
        assert torch.equal(found.positions[1][:5], torch.arange(5))
        assert found.y_M[:5].tolist() == [1, 0, 1, 0, 2]

    def test_tags_are_classes_of_their_own_tokens(self) -> None:
        tags = torch.tensor([[0, 1, 0, 1, 0, -100]] * N)
        found = grouped(tags, self.ids)
        assert found.how == "class of each token, 2 most frequent"
        assert found.y_M[:5].tolist() == [0, 1, 0, 1, 0]
        assert found.tokens is None

    def test_given_by_name(self) -> None:
        made = springtui.next_token(self.ids, k=2)
        assert type(made).__name__ == "Groups"
        assert springtui.bins(range(20), 4).y_M.tolist()[-1] == 3


class TestNoGroupingMakesSense:
    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (None, "without labels there is nothing to separate: give labels="),
            ([1] * N, "all samples fall in one group"),
            (list(range(N)), "every sample is a group of its own"),
            ([0, 1], r"labels have the shape \(2,\), inputs hold 12 samples; allowed: \[12\]"),
            (torch.rand(N, 3) * 9, "give a sample many values"),
            (torch.zeros(N, 4, 4, dtype=torch.long), "give a sample many classes"),
            ([object()] * N, "cannot be grouped"),
        ],
    )
    def test_says_so(self, labels: Any, words: str) -> None:
        with pytest.raises(DataError, match=words):
            grouped(labels)

    def test_a_grouping_of_other_samples(self) -> None:
        with pytest.raises(DataError, match="of 24 samples, inputs hold 12"):
            grouped(bins(range(24)))
