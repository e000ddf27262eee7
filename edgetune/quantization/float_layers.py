"""Which of a network's first layers run faster in float: they read few channels of large pictures.

Only layers from the input on are tried, as any other float layer costs a conversion on both of its sides.
"""

from torch import fx

from edgetune.quantization.insert import WEIGHTED
from edgetune.quantization.trace import MODULE

MOST = 3  # layers; each more costs an export, and behind these 8 bits have won on the networks tried


def first_layers(graph: fx.GraphModule) -> list[str]:
    """Names of the first convolutions and linear layers, in the order of execution; none that is used twice."""
    names = [str(node.meta.get(MODULE, "")) for node in graph.graph.nodes if node.target in WEIGHTED]
    found: list[str] = []
    for name in names[:MOST]:
        if not name or names.count(name) > 1:
            break
        found.append(name)
    return found
