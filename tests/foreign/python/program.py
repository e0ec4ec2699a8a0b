"""Writes standard input to standard output, in upper case. An empty input is an error."""

import sys

from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        text = sys.stdin.read()
        if not text:
            print("there is nothing to write", file=sys.stderr)
            sys.exit(1)
        sys.stdout.write(text.upper())
        sys.stdout.flush()
