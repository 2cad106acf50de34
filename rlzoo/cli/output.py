"""What commands print: lines, tables, and values as `--set` would take them."""

from __future__ import annotations

import os
import sys
from typing import Any

from rlzoo.errors import UserError


def say(*lines: Any) -> None:
    """Print lines; where they cannot be, as after `| head -1`, on a full disk or a closed terminal, go on without."""
    try:
        print(*lines, sep="\n", flush=True)
    except OSError:
        print_to_nowhere()


def answer(*lines: Any) -> None:
    """Print what was asked for; raises UserError where it cannot be, unless, as `| head -1`, one had enough of it."""
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        print_to_nowhere()
        if not isinstance(error, BrokenPipeError):
            raise UserError(f"cannot print ({error.strerror})") from None


def print_to_nowhere() -> None:
    """Neither what is printed from now on nor what is still to be flushed shall fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    """A table on a terminal where its words have room, aligned plain text elsewhere."""
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD)
        for i, heading in enumerate(headings):
            table.add_column(heading, no_wrap=i == 0)  # names are there to be copied
        for row in rows:
            table.add_row(*map(escape, row))
        console = Console()
        if console.measure(table, options=console.options.update_width(1000)).minimum <= console.width:
            console.print(table)
            return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [headings, *rows])
    answer(*("  ".join(line).rstrip() for line in lines))


def as_text(value: Any) -> str:
    """A hyperparameter as people write it after `--set NAME=`."""
    if isinstance(value, list):
        return ",".join(map(str, value)) or "[]"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
