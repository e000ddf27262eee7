"""Commands on datasets: a recipe for one, and what is suspicious about it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune import pipeline
from edgetune.api.common import open_store
from edgetune.errors import InputError
from edgetune.plan import make_check_labels_plan
from edgetune.progress import Quiet, Reporter
from edgetune.recipe import DEFAULT_NAME, load_recipe
from edgetune.records import ERROR, DataFinding, DataSpec, Recipe
from edgetune.surroundings import look_around
from edgetune.whole_file import write_new


def init(
    data: str | Path, recipe: str | Path = "edgetune.toml", *, noted: Callable[[str], object] = lambda note: None
) -> Path:
    """Look at a dataset and write a commented recipe for it; never overwrites one.

    Args:
        noted: told what a user should know of the data, a note at a time; the recipe's comments say it too.

    Raises:
        DataError: the dataset is missing or makes no sense. InputError: the recipe exists.
    """
    from edgetune.data.propose import propose_recipe  # the other commands do without these
    from edgetune.data.propose_text import propose_text_recipe
    from edgetune.data.texts import is_text_data

    path, source = Path(recipe).absolute(), Path(data).absolute()
    text = (propose_text_recipe if is_text_data(source) else propose_recipe)(source, path.parent, noted)
    try:
        content = text.encode("utf-8")
        write_new({path: content})
    except UnicodeEncodeError as error:
        raise InputError("the data's path is not UTF-8, so that no recipe can name it", hint="rename it") from error
    except FileExistsError:
        raise InputError(f"{path} exists and is not overwritten", hint="give another name with --output") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return path


def check(
    path: str | Path = "edgetune.toml",
    *,
    fix: str | Path | None = None,
    labels: bool = False,
    card: str | Path | None = None,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """What is suspicious about a dataset: ``findings`` (as ``DataFinding``), ``counts`` by split and class,
    ``noun`` (picture or text), ``failed``.

    Args:
        path: a recipe, the folder of one, or the data itself (folder, CSV or JSON Lines).
        fix: a new CSV for the samples that are left without duplicates, leaks and unusable files.
        labels: also look for wrong labels: with the network of a recipe, or on the words of texts. Left out when
            something was found that stops a build.
        card: a folder for ``dataset-card.md``, ``croissant.json`` and, of pictures, ``samples.csv``; named in ``card``.
        cache_dir: the store of finished steps, for ``labels`` with a recipe.

    Raises:
        DataError: data that cannot be listed. InputError: ``fix`` or a file of ``card`` exists; ``labels`` for pictures
            without a recipe.
    """
    from edgetune.data.card import write_card
    from edgetune.data.clean import write_list  # with those below: they load scipy and Pillow
    from edgetune.data.few_samples import hardly_labels
    from edgetune.data.findings import by_severity, examine
    from edgetune.data.folds import too_few_for_folds
    from edgetune.data.index import build_index
    from edgetune.data.label_errors import label_errors_by_words
    from edgetune.data.scan import exists

    reporter, path = reporter or Quiet(), Path(path)
    is_recipe = path.suffix == ".toml" or (exists(path) and (path / DEFAULT_NAME).is_file())
    recipe = load_recipe(path) if is_recipe else None
    spec = recipe.data if recipe else DataSpec(path=str(path))
    data = recipe.base / spec.path if recipe else path.absolute()
    index = build_index(
        data,
        val_fraction=spec.val_fraction,
        test_fraction=spec.test_fraction,
        on_bad_file="skip",
        seed=recipe.seed if recipe else 0,
        progress=reporter.tick("check"),
    )
    reporter.close()
    findings = examine(index, allow_leaks=spec.allow_leaks)
    findings += too_few_for_folds(index, spec.folds) if spec.folds else []
    stops = any(f.severity == ERROR or (f.id == "unusable" and spec.on_bad_file == "error") for f in findings)
    if labels and recipe is None and not hardly_labels(index):
        findings += label_errors_by_words(index, reporter.tick("check labels"))
        reporter.close()
    elif labels and recipe is not None and not stops:
        findings += _label_errors_by_network(recipe, cache_dir, reporter)
    findings = by_severity(findings)
    found: dict[str, Any] = {
        "findings": [finding.to_json() for finding in findings],
        "counts": index.counts(),
        "noun": index.noun,
        "failed": any(finding.severity == ERROR for finding in findings),
    }
    if fix is not None:
        found["left_out"] = write_list(index, Path(fix))
        found["list"] = str(fix)
    if card is not None:
        found["card"] = [str(file) for file in write_card(index, data, findings, Path(card))]
    return found


def _label_errors_by_network(recipe: Recipe, cache_dir: str | Path | None, reporter: Reporter) -> list[DataFinding]:
    surroundings = look_around(recipe, ())
    made = make_check_labels_plan(recipe, surroundings.facts)
    artifact = pipeline.run(made, open_store(cache_dir), surroundings, reporter)["check-labels"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    found = json.loads((artifact.path / "label_errors.json").read_text(encoding="utf-8"))["findings"]
    return [DataFinding.from_json(content) for content in found]
