"""The package itself: what it is generated from, what it ships, what it must not know."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from grpc_tools import protoc  # type: ignore[import-untyped]

import baton

HERE = Path(__file__).parents[1]
PROTO = HERE.parents[1] / "proto"


def test_the_generated_code_is_what_protoc_makes_of_the_protocol(tmp_path: Path) -> None:
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", *sources]
    assert protoc.main(arguments) == 0
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "baton/v1").iterdir()}
    kept = {
        path.name: path.read_text(encoding="utf-8")
        for path in (HERE / "src/baton/v1").iterdir()
        if path.suffix in (".py", ".pyi")
    }
    assert kept == made


def test_all_names_are_there_once_and_in_order() -> None:
    assert baton.__all__ == sorted(set(baton.__all__))
    for name in baton.__all__:
        assert hasattr(baton, name), name


def test_the_core_knows_neither_clocks_nor_loops_nor_livekit() -> None:
    program = (
        "import sys; from google.protobuf import message, descriptor_pool, symbol_database, runtime_version;"
        "from google.protobuf.internal import builder; before = set(sys.modules);"
        "import baton; print(*(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=HERE / "src", check=True, capture_output=True, text=True
    ).stdout.split()
    assert "baton" in loaded
    unwanted = {"asyncio", "livekit", "pipecat", "random", "secrets", "socket", "threading", "time"}
    assert unwanted.isdisjoint(name.partition(".")[0] for name in loaded)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Of a copy, so that nothing is left beside the sources.
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(HERE, folder / "copy", ignore=shutil.ignore_patterns("__pycache__", "dist"))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_ships_the_package_and_its_types(wheel: Path) -> None:
    assert wheel.name == f"baton_livekit-{baton.__version__}-py3-none-any.whl"
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("baton/")}
    sources = {
        str(path.relative_to(HERE / "src"))
        for path in (HERE / "src/baton").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == sources
    assert "baton/py.typed" in shipped


def test_the_wheel_can_be_used(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = "import baton; print(baton.__file__, len(baton.Frame.__slots__))"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert said.startswith(str(tmp_path)) and said.endswith(" 7\n")
