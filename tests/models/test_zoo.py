"""Networks by name: torchvision's and the user's own, and what is said when there is none."""

import sys

import pytest
import torch
from torch import nn

from edgetune.errors import ModelError, WeightsError
from edgetune.models.source import source_file, source_files
from edgetune.models.weights import fit_weights
from edgetune.models.zoo import AUXILIARY, library_weights, make_network


def test_torchvision_by_name():
    network = make_network("torchvision/squeezenet1_1", 7, {})
    assert isinstance(network, nn.Module)


@pytest.mark.parametrize("name", ["torchvision/googlenet", "torchvision/inception_v3"])
def test_auxiliary_heads_are_left_out_of_the_network_and_of_its_weights(name):
    network = make_network(name, 7, {})
    assert not any(key.startswith(AUXILIARY[name]) for key in network.state_dict())
    published = make_network(name, 7, {"aux_logits": True}).state_dict()
    assert any(key.startswith(AUXILIARY[name]) for key in published)
    assert fit_weights(network, published, frozenset(), "the file", left_out=AUXILIARY[name]) == []
    with pytest.raises(WeightsError, match="not in the network"):
        fit_weights(network, published, frozenset(), "the file")


def test_dropout_and_stochastic_depth_are_arguments_of_the_network():
    """As docs/finetuning.md shows them, of each library."""
    network = make_network("torchvision/efficientnet_b0", 3, {"dropout": 0.4, "stochastic_depth_prob": 0.3})
    assert network.classifier[0].p == 0.4 and max(getattr(m, "p", 0) for m in network.features.modules()) > 0.2
    assert make_network("torchvision/mobilenet_v3_small", 3, {"dropout": 0.3}).classifier[2].p == 0.3
    pytest.importorskip("timm")
    network = make_network("timm/efficientnet_b0", 3, {"drop_rate": 0.3, "drop_path_rate": 0.2})
    assert network.drop_rate == 0.3 and max(getattr(m, "drop_prob", 0) or 0 for m in network.modules()) > 0.1


def test_an_unknown_name_gives_the_nearest():
    with pytest.raises(ModelError, match="no classification network") as caught:
        make_network("torchvision/mobilenetv2", 7, {})
    assert "mobilenet_v2" in caught.value.hint


def test_the_users_own_module_beside_the_recipe(tmp_path):
    (tmp_path / "own_net_a.py").write_text(
        "from torch import nn\ndef net(num_classes, width): return nn.Linear(width, num_classes)\n"
    )
    network = make_network("own_net_a:net", 3, {"width": 5}, tmp_path)
    assert tuple(network.weight.shape) == (3, 5)
    assert source_file("own_net_a:net", tmp_path) == tmp_path / "own_net_a.py"


def test_source_of_a_package(tmp_path):
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package/__init__.py").touch()
    (tmp_path / "own_package/nets.py").touch()
    assert source_file("own_package.nets:net", tmp_path) == tmp_path / "own_package/nets.py"
    assert source_file("own_package.none:net", tmp_path) is None
    assert source_file("torchvision/resnet18", tmp_path) is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("own_net_b:net", "raise RuntimeError('at import')", "cannot import own_net_b: RuntimeError: at import"),
        ("own_net_c:net", "other = 1", "own_net_c has no function net"),
        ("own_net_d:net", "def net(num_classes): raise ValueError('no')", "own_net_d:net failed: ValueError: no"),
        ("own_net_e:net", "def net(num_classes): return 3", "returned a int"),
        ("own_net_f:net", None, "cannot import own_net_f"),
    ],
)
def test_factories_that_do_not_work(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / f"{name.partition(':')[0]}.py").write_text(text)
    with pytest.raises(ModelError, match=message):
        make_network(name, 3, {}, tmp_path)


def test_wrong_arguments():
    with pytest.raises(ModelError, match="torchvision/resnet18 failed: TypeError"):
        make_network("torchvision/resnet18", 3, {"wings": 2})


def test_modules_of_the_same_name_in_two_folders_are_each_their_own(tmp_path):
    for folder, width in (("a", 3), ("b", 7)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text(
            f"from torch import nn\ndef net(num_classes): return nn.Linear({width}, num_classes)\n"
        )
    for folder, width in (("a", 3), ("b", 7), ("a", 3)):
        assert make_network("same_name:net", 2, {}, tmp_path / folder).in_features == width


def test_what_a_network_imports_beside_the_recipe_counts_as_its_code(tmp_path):
    for name in ("net.py", "blocks.py", "parts/__init__.py", "parts/deep/more.py", "data/not_code.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = {path.relative_to(tmp_path).as_posix() for path in source_files("net:make", tmp_path)}
    assert names == {"net.py", "blocks.py", "parts/__init__.py", "parts/deep/more.py"}
    assert source_files("torchvision/resnet18", tmp_path) == []


def test_timm_by_name():
    network = make_network("timm/mobilenetv3_small_050", 7, {"drop_rate": 0.1})
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    with pytest.raises(ModelError, match='timm has no network "resnet1"') as caught:
        make_network("timm/resnet1", 7, {})
    assert "did you mean" in caught.value.hint
    with pytest.raises(ModelError, match="timm/resnet18 failed"):
        make_network("timm/resnet18", 7, {"colour": "blue"})


def test_timm_weights_without_a_network_are_a_sentence(monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # or it tries for most of a minute
    with pytest.raises(WeightsError, match="timm's pretrained weights for resnet18 cannot be had") as caught:
        library_weights("timm/resnet18")
    assert "[model] weights" in caught.value.hint


def test_timm_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match="needs timm") as caught:
        make_network("timm/resnet18", 7, {})
    assert "edgetune[timm]" in caught.value.hint
