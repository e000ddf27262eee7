"""Attention that cuts its channels into heads, whose layers keep their widths.

Code such as ``qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim)`` has the widths as numbers: when
channels go, they no longer fit. nn.MultiheadAttention is known by its class, all others by how they name their heads.
"""

from torch import nn

NAMES = ("num_heads", "n_heads", "n_head", "nhead", "heads", "num_attention_heads")


def attention_layers(network: nn.Module) -> list[nn.Module]:
    """The layers of every module of ``network`` that counts its heads, and every nn.MultiheadAttention itself.

    Blocks often count the heads of the attention within them: of these, only layers beside it belong to attention, so
    that what stands in other modules (an FFN) does not. The network itself never is an attention.
    """
    counting = [module for module in network.modules() if module is not network and _counts_heads(module)]
    found: list[nn.Module] = [module for module in counting if isinstance(module, nn.MultiheadAttention)]
    for module in counting:
        has_one = any(_counts_heads(inner) for inner in module.modules() if inner is not module)
        own = module.children() if has_one else module.modules()
        found += [layer for layer in own if isinstance(layer, nn.Conv2d | nn.Linear)]
    return found


def _counts_heads(module: nn.Module) -> bool:
    return any(isinstance(getattr(module, name, None), int) for name in NAMES)
