"""The command line. This module and `verbs` import nothing heavy: `calco --help` answers at once."""

import io
import os
import sys
from typing import NoReturn

from cyclopts import App

from calco import __version__
from calco.cli import verbs
from calco.errors import CalcoError

app = App(
    name="calco",
    help="Learn the shape of data without labels, and cast new data from it.",
    version=__version__,
    help_format="plaintext",
)
app.command("calco.cli.fit:app", name="fit", help="Train a model of a family on data, into a run folder.")
for verb in verbs.VERBS:
    app.command(verb)


def main() -> NoReturn:
    """Run a command. Exit codes: 0 done, 1 failed while running, 2 the request was wrong."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files that are not UTF-8 come out as they are
    try:
        app(sys.argv[1:])
    except CalcoError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("Stopped.", 1)
    except BrokenPipeError:
        os._exit(1)  # the reader of our output has gone: there is nobody to tell
    except Exception as error:
        if os.environ.get("CALCO_DEBUG"):
            raise
        hint = "this is a defect in calco; set CALCO_DEBUG=1 to see where it comes from."
        fail(f"Unexpected {type(error).__name__}: {error or 'no message'}; {hint}", 1)
    sys.exit(0)


def fail(message: str, code: int) -> NoReturn:
    """Print a message on standard error and exit; under several processes the first one speaks."""
    if os.environ.get("RANK", "0") == "0":
        print(f"calco: {message}", file=sys.stderr)
    sys.exit(code)
