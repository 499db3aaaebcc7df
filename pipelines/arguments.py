"""The command line of the verbs without Beam: argparse that answers with one line."""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from pipelines.runs import BadUsage


class Parser(argparse.ArgumentParser):
    """Raises BadUsage where argparse would print its usage and exit."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """One line that names the option."""
        raise BadUsage(f"{self.prog}: {message} (see --help)")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse everything; BadUsage suggests what an unknown option may have meant."""
        options, unknown = self.parse_known_args(list(argv))
        if unknown:
            flag = unknown[0].split("=", maxsplit=1)[0]
            near = difflib.get_close_matches(flag, self._option_string_actions, 1)
            hint = f"; did you mean {near[0]}?" if near else " (see --help)"
            raise BadUsage(f"{self.prog}: unknown {unknown[0]}{hint}")
        return options
