"""The command line: python -m qs_core stylize | finetune | evaluate | inspect | convert | presets."""

import sys

from .checkpoints.specification import OPTIONS as MODEL_OPTIONS
from .commands import checkpoints, finetune, stylize
from .commands.arguments import parser, qs_evaluate
from .commands.shared import tell
from .errors import InputError, MemoryShortage, NonFiniteError, WorkersLost
from .host import out_of_memory
from .speech import unfailing

COMMANDS = {
    "stylize": stylize.run,
    "finetune": finetune.run,
    "inspect": checkpoints.inspect,
    "convert": checkpoints.convert,
    "presets": checkpoints.presets,
}
if qs_evaluate:
    from .commands import evaluate

    COMMANDS["evaluate"] = evaluate.run


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 sampling failed, 2 bad input, 130 interrupted."""
    with unfailing():
        return _run(arguments)


def _run(arguments: list[str] | None) -> int:
    given = vars(parser(__doc__).parse_args(arguments))
    options = {name: given.pop(name) for name in (*MODEL_OPTIONS, "class_label") if name in given}
    given["model_options"] = options or None
    try:
        return COMMANDS[given.pop("command")](given)
    except InputError as error:
        return tell(error, 2)
    except (NonFiniteError, MemoryShortage, WorkersLost) as error:
        return tell(error, 1)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return tell(f"Out of memory ({str(error).splitlines()[0]}) Try a smaller --size, --crops or --count.", 1)
    except KeyboardInterrupt:
        return tell("interrupted", 130)


if __name__ == "__main__":
    sys.exit(main())
