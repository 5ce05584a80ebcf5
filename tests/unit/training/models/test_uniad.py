"""UniAD against its definition; numbers are the acceptance oracles of the paper's method."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inspection.errors import ConfigError
from tests.doubles import small_models
from tests.doubles.small_models import small_uniad as model
from training.models.uniad import Attention, Config, Model, neighbour_mask

EFFICIENTNET = {"name": "tf_efficientnet_b4.aa_in1k", "weights": "none", "layers": [0, 1, 2, 3]}


def frames(count: int, size: tuple[int, int] = (64, 96)) -> Tensor:
    return small_models.frames(count, size)


def test_shapes_and_parameters_of_the_paper() -> None:
    of_the_paper = Model(Config.model_validate({"backbone": EFFICIENTNET}), (224, 224)).eval()
    with torch.no_grad():
        layers = of_the_paper.backbone(frames(1, (224, 224)))
    assert [tuple(f.shape[1:]) for f in layers] == [
        (24, 112, 112),
        (32, 56, 56),
        (56, 28, 28),
        (160, 14, 14),
    ]
    assert of_the_paper.channels == 272
    trained = [p for p in of_the_paper.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == 7_717_392


def test_a_token_is_blind_to_seven_by_seven() -> None:
    blind = neighbour_mask((14, 14), (7, 7))
    assert int(blind.sum()) == 7396
    assert blind.sum(1)[[0, 6, 13, 97, 105]].tolist() == [16, 28, 16, 28, 49]


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(16, 2, 0.0), nn.MultiheadAttention(16, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.project.weight)
        theirs.out_proj.weight.copy_(ours.out.weight)
        for layer in (ours.project, ours.out):
            layer.bias.normal_()
        theirs.in_proj_bias.copy_(ours.project.bias)
        theirs.out_proj.bias.copy_(ours.out.bias)
    q, k, v = torch.randn(3, 2, 12, 16)
    blind = neighbour_mask((3, 4), (1, 1))
    expected, _ = theirs(q, k, v, attn_mask=blind, need_weights=False)
    torch.testing.assert_close(ours(q, k, v, blind), expected)


def test_layers_are_aligned_as_torch_resizes() -> None:
    made = model()
    images = frames(1)
    (aligned,) = made.extract(images)
    expected = [
        F.interpolate(f, made.grid, mode="bilinear", align_corners=True)
        for f in made.backbone(images)
    ]
    torch.testing.assert_close(aligned, torch.cat(expected, dim=1), rtol=1e-5, atol=1e-4)


def test_jitter_is_in_proportion_to_the_token() -> None:
    made = model(jitter_scale=20.0)
    tokens = torch.randn(4, 600, 272) * torch.rand(4, 600, 1) * 5
    made.channels = 272
    noise = made.jitter(tokens) - tokens
    ratio = noise.std() / tokens.square().mean().sqrt()
    assert float(ratio) == pytest.approx(1.213, rel=0.02)


def test_nothing_is_random_in_inference() -> None:
    made = model()
    torch.testing.assert_close(made(frames(2)), made(frames(2)), rtol=0, atol=0)


def test_map_and_score_are_resized_distances() -> None:
    made = model()
    features = made.extract(frames(2))
    with torch.no_grad():
        scores, maps = made.predict(features)
        error = made.reconstruct(features[0]) - features[0]
    distance = error.square().sum(1, keepdim=True).sqrt()
    expected = F.interpolate(distance, made.size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(maps, expected[:, 0], rtol=1e-4, atol=1e-4)
    pooled = F.avg_pool2d(expected, 16, stride=1)
    torch.testing.assert_close(scores, pooled.amax((1, 2, 3)), rtol=1e-4, atol=1e-4)


def test_each_image_is_judged_by_itself() -> None:
    made = model()
    with torch.no_grad():
        together = made(frames(8)).scores
        alone = torch.cat([made(frames(8)[i : i + 1]).scores for i in range(8)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_learning_lowers_the_error_and_doubts_say_when_it_does_not() -> None:
    made = model(jitter_scale=0, dropout=0).train()
    parts = frames(6) // 4
    parts[:, :, 48:] += 150  # every part is dark on the left and bright on the right
    features = made.extract(parts)
    assert made.doubts({}) == []
    optimiser = torch.optim.Adam([p for p in made.parameters() if p.requires_grad], 3e-3)
    errors = []
    for _ in range(60):
        loss = made.loss(features, None)["reconstruction"]  # type: ignore[arg-type]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(loss.item())
    assert errors[-1] < 0.75 * errors[0]
    made.finish(lambda: iter([features]))
    assert made.doubts({}) == []
    untrained = model()
    untrained.finish(lambda: iter([features]))
    assert "not reconstructed better" in untrained.doubts({})[0]


def test_a_size_that_does_not_fit_the_grid_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"image_size \[64, 90\]: .* multiples of 16"):
        model((64, 90))
    with pytest.raises(ConfigError, match="the 4x6 grid sees only its own neighbourhood"):
        model((64, 96), neighbours=[7, 11])


def test_even_neighbourhoods_and_odd_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="must be odd"):
        Config.model_validate({"neighbours": [8, 7]})
    with pytest.raises(ValueError, match="multiple of heads"):
        Config.model_validate({"width": 100})
