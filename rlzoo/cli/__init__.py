"""The command line, one file a command. Each imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from rlzoo import __version__
from rlzoo.cli.evaluate import evaluate
from rlzoo.cli.list import list_names
from rlzoo.cli.output import answer, print_to_nowhere
from rlzoo.cli.play import play
from rlzoo.cli.settings import at_home, spread
from rlzoo.cli.show import show
from rlzoo.cli.train import train
from rlzoo.errors import RlzooWarning, UserError, printable

UsageError: Any = typer.BadParameter.__base__  # typer carries a click of its own in some versions, uses click in others

# What Python and NumPy say of a size that no machine could hold, before they ask for memory.
TOO_LARGE = re.compile("Maximum allowed dimension|array is too big|cannot fit 'int' into")

app = typer.Typer(name="rlzoo", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(train)
app.command()(evaluate)
app.command()(play)
app.command("list")(list_names)
app.command()(show)


def _print_version(wanted: bool) -> None:
    if wanted:
        answer(f"rlzoo {__version__}")
        raise typer.Exit


@app.callback()
def rlzoo(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Reinforcement learning algorithms on JAX, PyTorch, TensorFlow and MindSpore."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, or 2 with one line on stderr for a mistake of the user's, or 130 for Ctrl-C."""
    words = [at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    _prepare_streams()
    try:
        with _warnings_as_lines():
            status = app(spread(words or ["--help"]), prog_name="rlzoo", standalone_mode=False, obj=["rlzoo", *words])
    except (UserError, RlzooWarning) as error:  # the latter where warnings are to be errors (PYTHONWARNINGS)
        status = _complain(str(error), error)
    except (MemoryError, OverflowError, ValueError) as error:
        if not (isinstance(error, MemoryError) or TOO_LARGE.search(str(error))):
            raise
        mend = "make sizes smaller, such as hidden, n_envs, n_steps or buffer_size (`rlzoo show`)"
        status = _complain(f"not enough memory{str(error) and f' ({error})'}: {mend}", error)
    except UsageError as error:
        status = _complain_of_usage(error, words)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    status = _flush_stdout(status)
    if status == 130 and arguments is None:  # no orderly end: an engine that was compiling would crash in it
        sys.stderr.flush()
        os._exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _prepare_streams() -> None:
    """What is closed, as by `>&-`, is written to nowhere; a terminal that has no λ shows a question mark."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flush_stdout(status: Any) -> Any:
    """The exit status once all is printed: that of a mistake where it cannot be, unless as `| head -1` had enough."""
    try:
        sys.stdout.flush()
    except OSError as error:
        print_to_nowhere()
        if not (status or isinstance(error, BrokenPipeError)):
            return _complain(f"cannot print ({error.strerror})", error)
    return status


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """What rlzoo warns of is a line on stderr, without the place in its source; other warnings stay as they are."""
    as_ever = warnings.showwarning

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if issubclass(category, RlzooWarning):
            print(f"warning: {_line(message)}", file=sys.stderr)
        else:
            as_ever(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _complain(message: str, error: BaseException) -> int:
    """Print a line that says what was wrong, and what an error has as notes below it."""
    print(f"error: {_line(message)}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
    return 2


def _line(message: object) -> str:
    """A message on one line, with escapes for what else does not print, such as a carriage return in a path."""
    return printable(re.sub(r"\s*\n\s*", " ", str(message).strip(" \n")))


def _complain_of_usage(error: Any, words: list[str]) -> int:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = [word for word in words[:1] if word in commands]
    command = error.ctx.command_path if error.ctx is not None else " ".join(["rlzoo", *named])
    return _complain(f"{error.format_message().rstrip('.')} (see `{command} --help`)", error)
