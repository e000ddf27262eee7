"""What the plan knows of inference libraries."""

from edgetune.inference import OTHER_BUILDS, installed_version


def distribution(folder, name, version):
    made = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_another_build_of_a_library_is_the_library(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(OTHER_BUILDS, "inferring", ("inferring-gpu", "inferring-npu"))
    assert installed_version("inferring") is None
    distribution(tmp_path, "inferring-npu", "1.31.1")
    assert installed_version("inferring") == "1.31.1"
    distribution(tmp_path, "inferring", "1.30.0")
    assert installed_version("inferring") == "1.30.0"


def test_onnxruntime_is_installed_here():
    assert installed_version("onnxruntime")
