"""Read every sample once: what is broken, how big it is, which split it is in."""

from edgetune.data.findings import examine
from edgetune.data.index import build_index
from edgetune.errors import DataError
from edgetune.hashing import canonical_json
from edgetune.records import ERROR
from edgetune.steps.context import StepContext

SHOWN = 10


def run(context: StepContext) -> None:
    """Write ``dataset.json`` and, as a note, what is suspicious.

    Where the data lies is left out, so that moving it retrains nothing.

    Raises:
        DataError: what ``examine`` calls an error, such as the same picture in two splits, unless that is allowed.
    """
    index = build_index(
        context.data,
        val_fraction=context.params["val_fraction"],
        test_fraction=context.params["test_fraction"],
        on_bad_file=context.params["on_bad_file"],
        seed=context.seed,
        progress=context.tick,
    )
    findings = examine(index, allow_leaks=context.params["allow_leaks"])
    if errors := [finding for finding in findings if finding.severity == ERROR]:
        raise DataError(
            "\n".join("\n  ".join((f"{error.problem}:", *error.examples[:SHOWN])) for error in errors),
            hint=f"{'; '.join(error.do for error in errors)}; see `edgetune check`",
        )
    told = [finding.to_json() for finding in findings]
    context.note("findings.json").write_text(canonical_json(told), encoding="utf-8")
    content = {**index.to_json(), "root": "."}
    (context.out / "dataset.json").write_text(canonical_json(content), encoding="utf-8")
