#!/usr/bin/env bash
# A Textual app that a Python program starts as a child, in a terminal that is resized afterwards. The program has
# imported readline, as Python's prompt, IPython, pdb and pytest do.
#
# One would guess: importing a line editor changes nothing for children, and an app draws at its terminal's size.
# What happens: GNU readline writes COLUMNS and LINES into the C environment when it is initialised. Python's os.environ
# does not show them, but every child that is started with the default environment inherits them. Textual asks
# shutil.get_terminal_size, which believes these variables before the terminal: the app hears of the resize, and goes on
# drawing at the old size.
set -euo pipefail
version=8.2.8
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "textual==$version"
cat > "$folder/app.py" <<'PYTHON'
import sys
from textual.app import App


class Sizes(App):
    told = ""

    def on_mount(self):
        self.set_interval(0.1, self.tell)
        self.set_timer(8, self.exit)

    def tell(self):
        size = f"{self.size.width}x{self.size.height}"
        if size != self.told:
            self.told = size
            with open(sys.argv[1], "a") as file:
                file.write(f"{size} ")


Sizes().run()
PYTHON
cat > "$folder/parent.py" <<'PYTHON'
import os
import subprocess
import sys

if sys.argv[1] == "readline":
    import readline  # noqa: F401
told = [name for name in ("COLUMNS", "LINES") if name in os.environ]
inherited = subprocess.run(["sh", "-c", "echo ${COLUMNS:-unset} ${LINES:-unset}"], capture_output=True, text=True)
with open(sys.argv[3] + ".env", "w") as file:
    file.write(f"os.environ has {told}, a child has {inherited.stdout.strip()}")
sys.exit(subprocess.call([sys.executable, sys.argv[2], sys.argv[3]]))
PYTHON
cat > "$folder/terminal.py" <<'PYTHON'
"""Runs the parent in a pseudo-terminal of 100x30, which becomes 60x20 once the app has told its first size."""
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

folder, how = sys.argv[1:]
out = f"{folder}/{how}"
pid, master = pty.fork()
if pid == 0:
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    os.environ["TERM"] = "xterm-256color"
    os.execv(sys.executable, [sys.executable, f"{folder}/parent.py", how, f"{folder}/app.py", out])
end, resized = time.monotonic() + 30, False
while time.monotonic() < end:
    if select.select([master], [], [], 0.1)[0]:
        try:
            if not os.read(master, 65536):
                break
        except OSError:
            break
    if not resized and os.path.exists(out):
        time.sleep(1)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
        resized = True
os.waitpid(pid, 0)
sizes = dict.fromkeys(open(out).read().split())
print(f"{how}: {open(out + '.env').read()}; the app drew at {', '.join(sizes)}")
PYTHON
"$folder/env/bin/python" --version
"$folder/env/bin/python" -c 'import readline, textual; print("textual", textual.__version__); print("readline", "editline" if "libedit" in (readline.__doc__ or "") else "GNU")'
seen=$(for how in plain readline; do "$folder/env/bin/python" "$folder/terminal.py" "$folder" "$how"; done)
echo "$seen"
expected='plain: os.environ has [], a child has unset unset; the app drew at 100x30, 60x20
readline: os.environ has [], a child has 100 30; the app drew at 100x30'
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
