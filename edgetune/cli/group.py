"""The command that all others belong to."""

import click

from edgetune import __version__

EXIT_CODES = (
    "Exit codes: 0 ok, 1 failed, 2 usage or recipe error, 3 a gate failed or a check found an error, "
    "4 prepared but not compiled, 130 interrupted."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="edgetune")
def cli() -> None:
    """Fine-tune a network, make it small and fast, and prove it on the device.

    \b
    edgetune init data/clothing10       look at the data, write edgetune.toml
    edgetune plan  --target x86-cpu     what would run, what is cached
    edgetune build --target x86-cpu     fine-tune, prune, quantize, compile, measure, bundle
    edgetune report                     where the trade-off report is
    edgetune bench a.onnx b.onnx        compare any engines
    """
