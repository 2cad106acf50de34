"""What commands print: tables, and values as `--set` would take them."""

from __future__ import annotations

import sys
from typing import Any


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    """A table on a terminal, aligned plain text elsewhere."""
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
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in [headings, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def as_text(value: Any) -> str:
    """A hyperparameter as people write it after `--set NAME=`."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
