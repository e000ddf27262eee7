"""Try a network once before hours go into it: does it take an input, and does it give logits?"""

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from edgetune.errors import ModelError, WeightsError
from edgetune.tasks.image_classification import logits_of
from edgetune.user_code import blamed

NUMBERS = {1: "one input", 2: "two inputs", 3: "three inputs"}
HINT = "it must be an nn.Module that maps float32 [N, 3, H, W] to logits [N, num_classes]"


def check_network(network: nn.Module, example: Tensor, num_classes: int, label: str) -> None:
    """Run ``network`` on copies of ``example``, in eval mode and as in training, without changing it.

    Args:
        label: what the network is called in an error.

    Raises:
        ModelError: it fails, has nothing to train or weights of another type than float32, or gives something else
            than logits [N, num_classes] for N inputs.
    """
    _check_weights(network, label)
    modes = {module: module.training for module in network.modules()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    size = "x".join(map(str, example.shape[1:]))
    try:
        for count, training in ((2, False), (1, False), (3, False), (2, True)):
            network.train(training)
            when = f" of {size}" + (" in training" if training else "") + (f", {count} at once" if count != 2 else "")
            try:
                with torch.no_grad(), torch.random.fork_rng(devices=[]):
                    output = network(torch.cat([example] * count))
                shape = tuple(logits_of(output).shape)
            except Exception as problem:  # the user's code may raise anything
                message = f"{label} fails on an input{when}{blamed(network, problem)}: {_plainly(problem)}"
                raise ModelError(message, hint=HINT) from problem
            if shape != (count, num_classes):
                raise ModelError(
                    f"{label} gives {list(shape)} for {NUMBERS[count]}, not logits [{count}, {num_classes}]",
                    hint=f"the data has {num_classes} classes; {HINT}",
                )
            if not (training or isinstance(output, Tensor)):
                raise ModelError(
                    f"{label} gives a {type(output).__name__} of {len(output)}, of which engines have no use",
                    hint=f"let it return the logits alone in eval mode; {HINT}",
                )
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                if name in buffers and buffer.shape == buffers[name].shape:
                    buffer.copy_(buffers[name])


def _check_weights(network: nn.Module, label: str) -> None:
    if isinstance(network, torch.jit.ScriptModule):
        raise ModelError(f"{label} is TorchScript, which is not trained here", hint="return the nn.Module itself")
    parameters = list(network.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise ModelError(f"{label} has lazy layers that have no weights yet", hint="run it once in its factory")
    if not any(parameter.requires_grad for parameter in parameters):
        what = "only frozen weights" if parameters else "no weights"
        raise ModelError(
            f"{label} has {what}: there is nothing to train", hint="leave freezing to `[finetune] strategy`"
        )
    if odd := next((key for key, value in network.state_dict().items() if not isinstance(value, Tensor)), None):
        raise ModelError(
            f"{label} keeps something in its state_dict that is no tensor: {odd}",
            hint="leave get_extra_state out; what must be kept is a buffer",
        )
    for name, weight in network.named_parameters():
        if weight.dtype != torch.float32:
            kind = str(weight.dtype).removeprefix("torch.")
            raise ModelError(
                f"{label} has weights in {kind} ({name}); engines and training start from float32",
                hint="return it as network.float(); `[finetune] precision` says how it is computed",
            )


@torch.no_grad()
def check_finite(network: nn.Module, example: Tensor, source: str) -> None:
    """Look for NaN and infinity before a training blames its learning rate for them; ``network`` stays as it is.

    Args:
        example: one input; a picture is replaced by noise, as one of a single colour has no spread to divide by.
        source: where the weights come from, in an error.

    Raises:
        WeightsError: parameters or statistics of batch norm that are not finite: which.
        ModelError: outputs that are not finite: of which module first.
    """
    kept = [*network.named_parameters(), *network.named_buffers()]
    bad = [(name, odd) for name, tensor in kept if _is_learned(name, tensor) and (odd := ~torch.isfinite(tensor)).any()]
    if bad:
        name, odd = bad[0]
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise WeightsError(
            f"{source} has NaN or infinite weights: {name} ({int(odd.sum()):,} of {odd.numel():,} values){more}",
            hint="take a checkpoint from before its training diverged; of your own network, initialise that weight",
        )
    if example.is_floating_point():
        example = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
    where: list[str] = []
    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: where.append(name) if _odd(output) else None
        )
        for name, module in network.named_modules()
    ]
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.random.fork_rng(devices=[]):
            logits = logits_of(network.eval()(example))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    if not torch.isfinite(logits).all():
        first = f", first in {where[0]}" if where and where[0] else ""
        raise ModelError(
            f"{source} gives NaN or infinity for noise as the input{first}, though its weights are finite",
            hint="look for weights that are too large, and for divisions, roots and logarithms without an epsilon",
        )


def _is_learned(name: str, tensor: Tensor) -> bool:
    """Parameters and running statistics; other buffers may be infinite, as masks are."""
    return isinstance(tensor, nn.Parameter) or name.endswith(("running_mean", "running_var"))


def _odd(output: object) -> bool:
    """Whether a module's output is a tensor with NaN or infinity."""
    return isinstance(output, Tensor) and output.is_floating_point() and not bool(torch.isfinite(output).all())


def _plainly(problem: Exception) -> str:
    lines = str(problem).strip().splitlines() or [""]
    return f"{type(problem).__name__}: {lines[0][:300]}"
