"""``python -m annette`` is the annette command."""

from annette.cli.main import run

if __name__ == "__main__":
    run()
