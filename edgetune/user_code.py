"""Where in a user's network something went wrong, from the traceback of an exception."""

from pathlib import Path
from typing import Any


def blamed(network: Any, problem: BaseException) -> str:
    """ " in MODULE (KIND, FILE, line N)", of the innermost forward of ``network`` (a torch module) in the traceback.

    ``torch.export`` runs the network's own code, so its frames are there; "" where none is.
    """
    names, found = {id(module): name for name, module in network.named_modules()}, ""
    step = problem.__traceback__
    while step is not None:
        code, place = step.tb_frame.f_code, str(step.tb_frame.f_globals.get("__name__", ""))
        first = step.tb_frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        if id(first) in names and place.partition(".")[0] != "torch":
            module = names[id(first)] or "the network itself"
            found = f" in {module} ({type(first).__name__}, {Path(code.co_filename).name}, line {step.tb_lineno})"
        step = step.tb_next
    return found


def first_cause(problem: BaseException) -> BaseException:
    """The exception that all others were raised from."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    return problem


def without_fake(problem: BaseException) -> str | None:
    """What to do where torch does not know the shape of what an operator of the user's own gives; None: it is not that.

    torch.export tells of those of ``torch.library.define`` by the exception's name, of ``custom_op``'s in words.
    """
    cause = first_cause(problem)
    if type(cause).__name__ != "UnsupportedOperatorException" and "no fake impl registered" not in str(cause):
        return None
    return (
        "tell torch the shape of what that operator gives: torch.library.register_fake(NAME)(torch.empty_like), if it "
        "is that of its input (docs/quantization.md has the whole of it)"
    )
