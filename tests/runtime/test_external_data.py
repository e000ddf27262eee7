"""Weights in other files: found wherever ONNX can name one, and refused where they lead out of the folder."""

import numpy as np
import onnx
import pytest
from edgetune_runtime import BundleError, Engine
from edgetune_runtime.external_data import external_names, outside
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgetune.bundle.manifest import read_manifest, write_manifest

FLOAT = TensorProto.FLOAT


def tensor(location):
    """A [3, 4] float tensor kept elsewhere."""
    found = TensorProto(name="w", data_type=FLOAT, dims=[3, 4], data_location=TensorProto.EXTERNAL)
    found.external_data.add(key="offset", value="0")
    found.external_data.add(key="location", value=location)
    return found


def constant(location):
    node = helper.make_node("Constant", [], ["w"])
    node.attribute.append(helper.make_attribute("value", tensor(location)))
    return node


def graph(nodes=(), weights=()):
    x, y = helper.make_tensor_value_info("x", FLOAT, ["n", 3]), helper.make_tensor_value_info("y", FLOAT, ["n", 4])
    return helper.make_graph([*nodes, helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], list(weights))


def model(where, location="w.bin"):
    """A model that names ``location`` in one of the places that may hold a tensor."""
    found = helper.make_model(graph(weights=[numpy_helper.from_array(np.ones((3, 4), np.float32), "w")]), ir_version=8)
    if where == "initializer":
        found = helper.make_model(graph(weights=[tensor(location)]), ir_version=8)
    elif where == "constant":
        found = helper.make_model(graph([constant(location)]), ir_version=8)
    elif where == "branch":
        body = helper.make_graph([constant(location)], "b", [], [helper.make_tensor_value_info("w", FLOAT, [3, 4])])
        node = helper.make_node("If", ["c"], ["w2"], then_branch=body, else_branch=body)
        found = helper.make_model(graph([node], found.graph.initializer), ir_version=8)
    elif where == "sparse":
        sparse = found.graph.sparse_initializer.add()
        sparse.values.CopyFrom(tensor(location))
    elif where == "function":
        function = found.functions.add(name="f", domain="d", output=["w"])
        function.node.append(constant(location))
    return found


@pytest.fixture
def file(tmp_path):
    (tmp_path / "here").mkdir()
    np.ones((3, 4), np.float32).tofile(tmp_path / "w.bin")
    np.ones((3, 4), np.float32).tofile(tmp_path / "here" / "w.bin")
    return tmp_path / "here" / "m.onnx"


@pytest.mark.parametrize("where", ["initializer", "constant", "branch", "sparse", "function"])
def test_names_are_found_wherever_a_tensor_may_be(file, where):
    file.write_bytes(model(where).SerializeToString())
    assert external_names(file) == {"w.bin"} and outside(file) is None
    file.write_bytes(model("none").SerializeToString())
    assert external_names(file) == set()


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "..", "", ".", "\0"])
def test_names_that_lead_out_are_told(file, location):
    file.write_bytes(model("initializer", location).SerializeToString())
    assert outside(file) == location


def test_a_link_that_leads_out_is_told(file):
    (file.parent / "link.bin").symlink_to(file.parent.parent / "w.bin")
    (file.parent / "loop.bin").symlink_to("loop.bin")
    for name in ("link.bin", "loop.bin"):
        file.write_bytes(model("initializer", name).SerializeToString())
        assert outside(file) == name


def test_onnx_s_own_writer_is_read(file):
    onnx.save(model("none"), file, save_as_external_data=True, location="all.bin", size_threshold=0)
    assert external_names(file) == {"all.bin"}


def test_what_is_no_file_with_weights_names_none(tmp_path):
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("the location of nothing")
    for name in ("empty.onnx", "text.onnx", "missing.onnx", "."):
        assert external_names(tmp_path / name) == set()


@given(st.data())
def test_no_bytes_break_it(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "m.onnx"
    content = bytearray(model("branch").SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert len(external_names(path)) <= 2  # of both branches
    outside(path)
    path.write_bytes(b"location" + data.draw(st.binary(max_size=60)))
    outside(path)


def test_a_bundle_whose_engine_keeps_weights_elsewhere_is_refused(bundle):
    """Also where the file is beside it and its digest is right: ONNX Runtime would read it without asking."""
    old = read_manifest(bundle)
    engine = onnx.load(bundle / "engine.onnx")
    onnx.save(engine, bundle / "engine.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    write_manifest(bundle, {key: value for key, value in old.items() if key not in ("schema", "files")})
    with pytest.raises(BundleError, match=r"keeps weights in another file, w\.bin.*refused"):
        Engine.open(bundle)
