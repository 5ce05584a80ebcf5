"""The memory model against its definition, computed in another way in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.nn import functional as F

from inspection.errors import CameraError, ConfigError
from tests.doubles.small_models import RESNET, frames, small_memory
from training.models.base import Features, LearntImage
from training.models.memory import Candidates, Config, Model, k_centres, neighbourhoods

SIZE = (64, 96)
# 384 patches an image.
MANY: dict[str, Any] = {"backbone": {**RESNET, "layers": (1, 2, 3)}, "entries": 1024}
Array = npt.NDArray[np.float64]


def literal_patches(model: Model, images: Tensor) -> Array:
    """Returns the patches (N, h * w, D), layer by layer with scipy."""
    return literal_features(model.extract(images))


def literal_features(features: Features) -> Array:
    pooled = [
        uniform_filter(f.double().numpy(), size=(1, 1, 3, 3), mode="constant") for f in features
    ]
    grid = pooled[0].shape[-2:]
    resized = [F.interpolate(torch.from_numpy(p), grid, mode="bilinear").numpy() for p in pooled]
    joined = np.concatenate(resized, 1)
    return joined.reshape(*joined.shape[:2], -1).transpose(0, 2, 1)


def literal_maps(distances: Array, grid: tuple[int, int]) -> Array:
    maps = torch.from_numpy(distances.reshape(-1, 1, *grid))
    resized = F.interpolate(maps, SIZE, mode="bilinear")
    blurred: Array = gaussian_filter(resized[:, 0].numpy(), (0, 4, 4), mode="mirror")
    return blurred


def literal_weight(patch: Array, bank: Array, neighbours: int) -> float:
    """Equation 7 of the paper: one entry, its neighbourhood, and the distances from the patch."""
    apart = np.linalg.norm(bank - patch, axis=1)
    nearest = int(apart.argmin())
    _, around = KDTree(bank).query(bank[nearest], k=neighbours)
    return float(1 - np.exp(apart[nearest]) / np.exp(apart[around]).sum())


@pytest.mark.parametrize("score", ["map", "patch", "reweighted"])
def test_map_and_score_are_the_definition(score: str) -> None:
    made, seen = small_memory(SIZE, score=score), frames(6, SIZE)[4:]
    bank = literal_patches(made, frames(4, SIZE)).reshape(-1, 384)
    patches = literal_patches(made, seen)
    distances = np.stack([cdist(p, bank).min(1) for p in patches])
    expected = literal_maps(distances, made.grid)
    scores, maps = made(seen)
    np.testing.assert_allclose(maps.numpy(), expected, rtol=2e-5)
    if score == "map":
        np.testing.assert_allclose(scores.numpy(), expected.max((1, 2)), rtol=2e-5)
        return
    weights = np.ones(2)
    if score == "reweighted":
        farthest = [p[d.argmax()] for p, d in zip(patches, distances, strict=True)]
        weights = np.array([literal_weight(x, bank, 9) for x in farthest])
        assert (weights < 0.95).all()
    np.testing.assert_allclose(scores.numpy(), weights * distances.max(1), rtol=2e-5)


def test_good_images_are_at_no_distance_from_a_bank_of_all_their_patches() -> None:
    made = small_memory(SIZE)
    assert made.bank.shape == (4 * 8 * 12, 384)
    assert float(made(frames(4, SIZE)).maps.max()) < 1e-6


def literal_centres(vectors: Array, count: int) -> list[int]:
    apart = cdist(vectors, vectors)
    chosen = [int(np.linalg.norm(vectors, axis=1).argmax())]
    while len(chosen) < count:
        chosen.append(int(apart[:, chosen].min(1).argmax()))
    return chosen


def test_each_centre_is_the_farthest_from_those_before() -> None:
    vectors = torch.randn(300, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert k_centres(vectors, 40).tolist() == literal_centres(vectors.numpy(), 40)


def test_equal_vectors_are_chosen_once() -> None:
    generator = torch.Generator().manual_seed(5)
    different = 100 * torch.randn(20, 64, generator=generator)
    chosen = k_centres(different.repeat(5, 1), 50)
    assert sorted(i % 20 for i in chosen.tolist()) == list(range(20))


def test_an_entry_is_first_in_its_neighbourhood_even_beside_an_equal_one() -> None:
    bank = torch.tensor([[0.0, 0], [0, 0], [3, 0], [0, 4]])
    found = neighbourhoods(bank, 9)
    assert found[:, 0].tolist() == [0, 1, 2, 3]
    assert found.shape == (4, 4)


def test_the_bank_is_a_coreset_of_all_patches() -> None:
    made = small_memory(SIZE, **MANY)
    learnt = literal_patches(made, frames(4, SIZE)).reshape(-1, made.bank.shape[1])
    assert len(learnt) == 1536
    assert len(made.bank) == 1024
    assert cdist(made.bank.double().numpy(), learnt).min(1).max() < 1e-5
    # Chosen patches leave no other as far away as a random choice of as many does.
    random = learnt[np.random.default_rng(0).permutation(1536)[:1024]]
    covered = cdist(learnt, made.bank.double().numpy()).min(1).max()
    assert covered < 0.95 * cdist(learnt, random).min(1).max()


def test_candidates_are_bounded_and_every_vector_has_the_same_chance() -> None:
    torch.manual_seed(0)
    candidates = Candidates(1000)
    for image in range(50):
        candidates.add(torch.full((200, 3), float(image)))
        assert candidates.is_complete == (image < 5)
    assert candidates.vectors.shape == (1000, 3)
    assert candidates._vectors.shape == (1000, 3)
    torch.testing.assert_close(candidates.vectors[:, 0], candidates.view_of.float())
    of_image = candidates.view_of.bincount(minlength=50)  # binomial: mean 20, deviation 4.4
    assert int(of_image.min()) > 3
    assert int(of_image.max()) < 40


def test_candidates_keep_the_order_until_one_leaves() -> None:
    candidates, vectors = Candidates(7), torch.arange(14.0).reshape(7, 2)
    candidates.add(vectors[:3])
    candidates.add(vectors[3:])
    assert candidates.is_complete
    assert torch.equal(candidates.vectors, vectors)
    assert candidates.view_of.tolist() == [0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("score", ["map", "reweighted"])
def test_leaving_one_out_gives_the_scores_of_models_of_the_others(score: str) -> None:
    made = small_memory(SIZE, score=score)
    images = frames(4, SIZE)
    for number in range(4):
        others = Model(made.config, SIZE)
        others.backbone = made.backbone
        for image in (*images[:number], *images[number + 1 :]):
            others.learn(others.extract(image[None]))
        others.solve()
        expected = float(others(images[number : number + 1]).scores)
        assert float(made.leave_one_out[number]) == pytest.approx(expected, rel=1e-5)


def test_with_a_coreset_the_entries_of_the_others_judge() -> None:
    made, images = small_memory(SIZE, **MANY), frames(4, SIZE)
    patches = literal_patches(made, images)
    bank = made.bank.double().numpy()
    owner = np.array([cdist(p, bank).min(0) for p in patches]).argmin(0)
    for number in range(4):
        distances = cdist(patches[number], bank[owner != number]).min(1)
        expected = literal_maps(distances, made.grid).max()
        assert float(made.leave_one_out[number]) == pytest.approx(expected, rel=1e-5)


def test_turned_copies_of_an_image_are_its_own() -> None:
    made = Model(Config.model_validate({"backbone": RESNET, "rotations": 3}), SIZE)
    images = [[made.extract(v) for v in made.views(image[None])] for image in frames(3, SIZE)]
    for views in images:
        for features in views:
            made.learn(features)
    made.solve()
    every = np.concatenate([literal_features(f)[0] for views in images for f in views])
    assert len(made.bank) == 3 * 3 * 8 * 12
    np.testing.assert_allclose(made.bank.numpy(), every, rtol=1e-5, atol=1e-5)
    assert made.image_of.bincount().tolist() == [3 * 8 * 12] * 3
    for number, views in enumerate(images):
        others = np.concatenate(
            [literal_features(f)[0] for n, rest in enumerate(images) if n != number for f in rest]
        )
        distances = cdist(literal_features(views[0])[0], others).min(1)
        expected = literal_maps(distances, made.grid).max()
        assert float(made.leave_one_out[number]) == pytest.approx(expected, rel=1e-5)
        judged = made.without([LearntImage(number, views)]).predict(views[0])
        assert float(judged.scores) == pytest.approx(expected, rel=1e-5)


def test_leaving_out_changes_nothing_in_the_model_itself() -> None:
    made = small_memory(SIZE)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    others = made.without([LearntImage(1, [made.extract(frames(2, SIZE)[1:])])])
    assert len(others.bank) == 3 * 8 * 12
    assert others.backbone is made.backbone
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())


def test_there_is_nothing_to_leave_out_of_one_image_or_of_a_sample() -> None:
    assert len(small_memory(SIZE, images=1).leave_one_out) == 0
    sampled = small_memory(SIZE, images=4, **MANY, candidates=1100)
    assert len(sampled.leave_one_out) == 0
    assert len(sampled.bank) == 1024


def test_the_state_holds_the_model() -> None:
    made = small_memory(SIZE)
    other = Model(made.config, SIZE)
    other.load_state_dict(made.state_dict())
    image = frames(1, SIZE)
    assert torch.equal(made(image).maps, other(image).maps)
    assert torch.equal(made.leave_one_out, other.leave_one_out)


def test_a_bank_of_another_width_is_refused() -> None:
    made = small_memory(SIZE)
    state = {**made.state_dict(), "bank": torch.zeros(5, 3)}
    with pytest.raises(RuntimeError, match="size mismatch for bank"):
        Model(made.config, SIZE).load_state_dict(state)


def test_a_finished_model_takes_no_more_images() -> None:
    made = small_memory(SIZE)
    features = made.extract(frames(1, SIZE))
    for change in (made.learn, made.unlearn):
        with pytest.raises(ConfigError, match="teach or train again with all of them"):
            change(features)


def test_the_same_seed_gives_the_same_bank() -> None:
    first, second = (small_memory(SIZE, **MANY, candidates=1100) for _ in range(2))
    assert torch.equal(first.bank, second.bank)


def test_images_that_show_nothing_are_refused() -> None:
    made = Model(Config.model_validate({"backbone": RESNET}), SIZE)
    features = made.extract(torch.full((1, *SIZE, 3), 90, dtype=torch.uint8))
    made.learn(tuple(torch.zeros_like(f) for f in features))
    with pytest.raises(CameraError, match="the good images show nothing"):
        made.solve()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"entries": 1023}, "greater than or equal to 1024"),
        ({"entries": 8193}, "less than or equal to 8192"),
        ({"entries": 4096, "candidates": 4095}, "raise candidates or lower entries"),
        ({"rotations": 0}, "greater than or equal to 1"),
        ({"projection": 0}, "greater than or equal to 1"),
        ({"neighbours": 5}, "neighbours has no effect with score: map; remove it"),
        ({"score": "reweighted", "neighbours": 1}, "greater than or equal to 2"),
        ({"score": "mean"}, "'map', 'patch' or 'reweighted'"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Config.model_validate(settings)
