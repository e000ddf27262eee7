"""The demo's folder: digits, checkpoint and the recipe that joins them."""

import shutil
from pathlib import Path

from edgetune.demo.digits import write_digits
from edgetune.errors import DataError

WEIGHTS = Path(__file__).with_name("weights.safetensors")

RECIPE = """\
# The demo: a small network, pretrained on photos of clothes and of hand signs (20 classes; see
# PROVENANCE.md beside edgetune/demo), learns handwritten digits and is compressed for this machine.
[model]
name = "edgetune.demo.network:demo_net"
weights = "weights.safetensors"     # its head has 20 outputs; fine-tuning gives it 10 new ones

[data]
path = "digits"                     # 1,797 real digits from scikit-learn, in train/ val/ test/
image_size = 32

[finetune]
epochs = 5
batch_size = 64
learning_rate = 3e-3
augmentation = "light"              # no mirror images: a mirrored 2 is no digit

[prune]
target_speedup = [1.6]              # channels go until the layers, timed one by one, are that much faster
recovery_epochs = 5
learning_rate = 2e-3

[quantize]
mode = "auto"

[budget]
max_accuracy_drop = 1.0             # percentage points below the fine-tuned float engine

[bench]
threads = 1

[targets]
names = ["x86-cpu"]
"""


def write_demo(folder: Path) -> Path:
    """Write ``edgetune.toml``, ``weights.safetensors`` and ``digits/`` into ``folder``; returns the recipe's path.

    A recipe that is there already is kept, as it may have been edited.

    Raises:
        DataError: scikit-learn is missing, or the folder cannot be written.
    """
    write_digits(folder / "digits")
    recipe = folder / "edgetune.toml"
    try:
        shutil.copyfile(WEIGHTS, folder / WEIGHTS.name)
        if not recipe.exists():
            recipe.write_text(RECIPE, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write the demo to {folder}: {error.strerror}") from error
    return recipe
