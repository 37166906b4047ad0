import pytest
import torch

from itn.stats import generator, stratified_split, stratified_subset, training_split


def test_each_purpose_has_independent_draws():
    draws = {
        (seed, purpose): torch.rand(4, generator=generator(seed, purpose))
        for seed in (0, 1)
        for purpose in "ab"
    }
    assert torch.equal(draws[0, "a"], torch.rand(4, generator=generator(0, "a")))
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == 4


def test_split_is_stratified_disjoint_complete_and_seeded():
    labels = torch.tensor([0] * 50 + [1] * 30 + [7] * 5)[torch.randperm(85)]
    first, second = stratified_split(labels, 0.4, seed=3)
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(85))
    assert labels[first].bincount()[[0, 1, 7]].tolist() == [20, 12, 2]
    again, _ = stratified_split(labels, 0.4, seed=3)
    other, _ = stratified_split(labels, 0.4, seed=4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_split_of_too_few_images_is_refused():
    with pytest.raises(ValueError, match=r"1 image is too few to split 0\.4 to 0\.6"):
        stratified_split(torch.tensor([3]), 0.4, seed=0)


def test_a_split_for_a_certificate_has_two_stratified_parts():
    labels = torch.tensor([0] * 50 + [1] * 30 + [7] * 20)[torch.randperm(100, generator=generator(0, "test"))]
    parts = training_split(labels, 0.4, seed=3)
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(100))
    assert [labels[part].bincount()[[0, 1, 7]].tolist() for part in parts] == [
        *([20, 12, 8], [30, 18, 12]),
    ]
    assert all(torch.equal(part, part.sort().values) for part in parts)
    assert torch.equal(parts[0], stratified_subset(labels, 40, 3))
    assert not torch.equal(parts[1], training_split(labels, 0.4, seed=4)[1])
    assert [len(part) for part in training_split(labels[:2], 0.4, seed=3)] == [1, 1]
    assert [len(part) for part in training_split(labels[:1], 0.4, seed=3)] == [1, 0]


@pytest.mark.parametrize(
    ("sizes", "n", "shares"),
    [
        ([50, 30, 20], 10, {(5, 3, 2)}),
        ([50, 30, 20], 7, {(4, 2, 1)}),  # quotas 3.5, 2.1, 1.4
        ([97, 2, 1], 50, {(48, 1, 1), (49, 1, 0)}),  # 48.5, 1, 0.5: chance decides
        ([5, 5, 5], 14, {(4, 5, 5), (5, 4, 5), (5, 5, 4)}),
        ([1, 1, 1, 1], 1, {(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)}),
    ],
)
def test_subset_has_the_shares_of_the_whole(sizes, n, shares):
    labels = torch.tensor([4, 0, 9, 2])[: len(sizes)].repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator(0, "test"))]
    values = [4, 0, 9, 2][: len(sizes)]
    counts = set()
    for seed in range(60):
        index = stratified_subset(labels, n, seed)
        assert index.tolist() == sorted(set(index.tolist()))
        counts.add(tuple(int((labels[index] == value).sum()) for value in values))
    assert counts == shares


def test_every_index_is_drawn_for_some_seed():
    labels = torch.arange(40) % 4
    drawn = [stratified_subset(labels, 8, seed) for seed in range(60)]
    assert torch.equal(drawn[3], stratified_subset(labels, 8, 3))
    assert torch.cat(drawn).unique().tolist() == list(range(40))
    assert stratified_subset(labels, 40, 0).tolist() == list(range(40))
    assert stratified_subset(labels, 99, 0).tolist() == list(range(40))
    with pytest.raises(ValueError, match="a subset needs at least 1 image, got 0"):
        stratified_subset(labels, 0, 0)
