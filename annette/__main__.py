"""``python -m annette`` is the annette command."""

from annette.cli.entry import run

if __name__ == "__main__":
    run()
