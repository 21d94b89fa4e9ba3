"""``make bench``: run all benchmarks, or one that is named, with its options, and print their tables in Markdown."""

import asyncio
import importlib
import signal
import subprocess
import sys

ALL = ("commandline", "startup", "output", "finished", "large", "transfers")


def main() -> None:
    """Run one benchmark in this process, or each in one of its own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left behind
    if len(sys.argv) > 1:
        _print(*sys.argv[1:])
        return
    for name in ALL:
        subprocess.run([sys.executable, "-m", "benchmarks", name], check=True)


def _print(name: str, *options: str) -> None:
    benchmark = importlib.import_module(f"benchmarks.{name}")
    print(f"\n### {(benchmark.__doc__ or '').splitlines()[0]}\n", flush=True)
    head, *rows = asyncio.run(benchmark.run(*options))
    for row in (head, ("---",) * len(head), *rows):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
