"""How a start ends that was asked to have its packages and cannot get them.

Site runs while the interpreter is made: an exception that leaves it, SystemExit and KeyboardInterrupt
included, ends in "Fatal Python error: Failed to import the site module" and a traceback, in every version
from 3.8 to 3.13. So the process ends by itself, as the exception would have ended a program.
"""

import os
import sys

from .connection import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["die_of_closed_pipe", "die_of_interrupt", "refuse"]

# As `sprawl` ends on a refusal: a program's own failure is told from one to start it.
EXIT_REFUSED = 125


def refuse(error: Exception) -> None:
    """Say in one line why there are no packages; end the process, unless it is to go on without them."""
    if not isinstance(error, Refusal):
        text = "the start-up hook failed: %s: %s" % (type(error).__name__, error)
        error = Refusal("client.internal", text, "report this as a bug")
    go_on = os.environ.get("VIRTUAL_SPRAWL_ON_ERROR") == "continue"
    try:
        sys.stderr.write("virtual-sprawl: %s%s\n" % (error, "; starting without packages" if go_on else ""))
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # no stderr: the exit status has to tell it
    if not go_on:
        os._exit(EXIT_REFUSED)


def die_of_interrupt() -> "NoReturn":
    """End as a program does that leaves SIGINT alone."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    os._exit(128 + signal.SIGINT)


def die_of_closed_pipe() -> "NoReturn":
    """End as a program does that leaves SIGPIPE alone: whoever read its output has seen enough (`| head`)."""
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(128 + signal.SIGPIPE)
