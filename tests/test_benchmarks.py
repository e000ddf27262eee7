"""Benchmarks run rarely: what they import from each other must not have moved away in the meantime."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path for path in BENCHMARKS.glob("*.py")) + sorted((BENCHMARKS / "compression").glob("*.py"))
EXTRA = {"optimum"}  # of the extra "benchmarks", which tests run without
MODULES = {path.stem: path for path in SCRIPTS}


def names_in(path: Path) -> set[str]:
    """What a module has to give: definitions, assignments and what it imports itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_benchmark_takes_from_its_neighbours_is_there(script):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module is None or node.level:
            continue
        if node.module in MODULES:
            missing = {alias.name for alias in node.names} - names_in(MODULES[node.module])
            assert not missing, f"{script.name} imports {missing} from {node.module}"
        elif (top := node.module.partition(".")[0]) not in EXTRA:
            assert find_spec(top) is not None, f"{script.name} imports {node.module}"
