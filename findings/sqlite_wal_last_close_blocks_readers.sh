#!/usr/bin/env bash
# A log in an SQLite database with a write-ahead log (journal_mode=WAL), and another process that opens it with mode=ro
# and reads it, without waiting, at the moments when the writer is busy.
#
# One would guess: a reader is never blocked, since that is what the write-ahead log is for: neither in the middle of a
# transaction, nor while a checkpoint copies the log into the database, nor when the writer is done and closes.
# What happens: the first two are so. But the last connection that closes locks the whole database for itself while it
# copies and deletes the write-ahead log: a reader that comes then gets "database is locked". (SQLite's page on WAL says
# so, under the few cases of SQLITE_BUSY.) A tool that opens and closes the database for each batch of rows does this
# again and again. To stop the writer at each moment, its files are opened through Python (apsw, a VFS).
set -euo pipefail
version=3.54.1.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "apsw==$version"
cat > "$folder/read.py" <<'PYTHON'
import sqlite3

try:
    connection = sqlite3.connect("file:log.db?mode=ro", uri=True, timeout=0)
    print(*connection.execute("SELECT count(*) FROM points").fetchone(), "rows")
except sqlite3.OperationalError as error:
    print(error)
PYTHON
cat > "$folder/write.py" <<'PYTHON'
import subprocess
import sys

import apsw

seen = {}


def read(moment):
    """Let another process read the database now; a moment that comes again is not read again."""
    if moment not in seen:
        reader = subprocess.run([sys.executable, "read.py"], stdout=subprocess.PIPE, text=True, check=True)
        seen[moment] = reader.stdout.strip()


class File(apsw.VFSFile):
    def __init__(self, name, flags):
        super().__init__("", name, flags)
        self.is_database = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)

    def xWrite(self, data, offset):
        super().xWrite(data, offset)
        if self.is_database and doing:
            read(f"while the writer {doing}")


class Files(apsw.VFS):
    def __init__(self):
        super().__init__("files", "")

    def xOpen(self, name, flags):
        return File(name, flags)


doing = ""
files = Files()
writer = apsw.Connection("log.db", vfs="files")
for statement in ("PRAGMA journal_mode=WAL", "CREATE TABLE points(value)", "INSERT INTO points VALUES (1)"):
    list(writer.execute(statement))
list(writer.execute("BEGIN IMMEDIATE"))
list(writer.execute("INSERT INTO points VALUES (2)"))
read("in a transaction")
list(writer.execute("COMMIT"))
doing = "makes a checkpoint"
list(writer.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
list(writer.execute("INSERT INTO points VALUES (3)"))
doing = "closes"
writer.close()
doing = ""
read("after it has closed")
for moment, answer in seen.items():
    print(f"{moment}: {answer}")
PYTHON
"$folder/env/bin/python" --version
cd "$folder"
"$folder/env/bin/python" -c 'import apsw, sqlite3
print(f"SQLite {apsw.sqlite_lib_version()} writes (apsw {apsw.apsw_version()}), {sqlite3.sqlite_version} reads")'
seen=$("$folder/env/bin/python" write.py)
echo "$seen"
expected='in a transaction: 1 rows
while the writer makes a checkpoint: 2 rows
while the writer closes: database is locked
after it has closed: 3 rows'
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
