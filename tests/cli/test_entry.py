"""The entry of the annette command: a Ctrl-C ends in one line, whenever it comes."""

from __future__ import annotations

import subprocess
import sys


def test_ctrl_c_while_modules_load_is_one_line() -> None:
    code = (
        "import sys, annette.cli.entry as entry\n"
        "class Stop:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'annette.cli.main': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "entry.run()\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 130
    assert answer.stderr == "error: interrupted; nothing was written\n"
