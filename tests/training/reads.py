"""What would wait for a GPU, counted on a CPU."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

NAMES = ("item", "tolist", "cpu", "numpy", "nonzero")
NAMES += ("__float__", "__bool__", "__int__", "__index__")


class Reads(TorchFunctionMode):
    """Counts calls that read a tensor's values, while it is `within` what shall not."""

    def __init__(self, *, within: bool = True) -> None:
        super().__init__()
        self.found, self.within = Counter[str](), within

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if self.within and name in NAMES:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))
