#!/usr/bin/env bash
# What deputy does, in a minute: starts one here as you, asks it for work, watches
# and stops that, proves the record, and leaves nothing behind.
set -euo pipefail

bin=$(cd "${1:-bin}" && pwd)
home=$(mktemp -d "${TMPDIR:-/tmp}/deputy-demo-XXXXXX")
chmod 755 "$home"
export PATH="$bin:$PATH" DEPUTY_SOCKET="$home/state/deputy.sock" NO_COLOR=1
unset XDG_RUNTIME_DIR
daemon= listener=

cleanup() {
	status=$?
	[ -z "$listener" ] || kill "$listener" 2>/dev/null || true
	[ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon" 2>/dev/null; } || true
	[ $status -eq 0 ] || { echo; echo "The demo failed (status $status). What the daemon said:"; cat "$home/log" 2>/dev/null || true; }
	rm -rf "$home"
	exit $status
}
trap cleanup EXIT
exec 3>&1 # what was typed is shown also where the output goes to a file

say()  { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*" >&3; "$@" || true; }      # a command that may fail, as typed
must() { printf '$ %s\n' "$*" >&3; "$@"; }              # one that may not

say "1. Start a deputy here. No root, no file: it uses the examples that ship inside."
echo '$ deputy up &'
deputy up --state "$home/state" >"$home/log" 2>&1 &
daemon=$!
must deputy status --timeout 20s

say "2. What may be asked for, and by whom, is declared. These actions are mine:"
must deputy actions

say "3. A real job: scan this machine's loopback. The demo opens a port of its own, to be found."
python3 -c '
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    c.sendall(b"220 demo.example ready, this banner is the demo\x27s own\r\n"); c.close()
' >"$home/port" &
listener=$!
until [ -s "$home/port" ]; do read -rt 0.05 <> <(:) || true; done
port=$(cat "$home/port")
must deputy run portscan scan hosts=127.0.0.1 "ports=22,80,$port" >"$home/found"
cat "$home/found"
grep -q "$port.*demo.example" "$home/found" || { echo "the demo's own port $port was not found"; exit 1; }
kill "$listener"; wait "$listener" 2>/dev/null || true; listener=

say "4. Long work: three scans in the background, each with helper processes of its own."
must deputy call SCAN_MODULE start task_ids=1 task_ids=2 task_ids=3 children=2 >"$home/ids"
cat "$home/ids"
one=$(sed -n 1p "$home/ids") two=$(sed -n 2p "$home/ids")

say "5. Watch them: live output of scan 1 for a moment, then the progress of all."
echo "\$ deputy logs -f ${one: -8}     (for three seconds)"
timeout 3 deputy logs -f "$one" || [ $? -eq 124 ]
must deputy ps

say "6. Stop scan 2 with its whole process tree. Its helpers ignore the signal; the receipt says what was proved."
must deputy stop --grace 1s "$two"

say "7. Ask for scan 1 again. It runs already, so we are given the same task: nothing starts twice."
must deputy call SCAN_MODULE start task_ids=1 children=2 >"$home/again"
cat "$home/again"
[ "$(cat "$home/again")" = "$one" ] || { echo "scan 1 was started a second time"; exit 1; }

say "8. Who is not allowed is told so; an auditor sees why."
show deputy explain --as daemon SCAN_MODULE start task_ids=7
echo "A value that would be read as an option never reaches a command:"
show deputy run portscan scan hosts=--help

say "9. History: all that was asked for, also what has ended."
must deputy ps -a

say "10. The journal: every decision in one hash chain. It verifies:"
must deputy audit verify

say "11. End it. It stops what still runs and leaves nothing behind."
echo '$ kill %1'
kill "$daemon"; wait "$daemon"; daemon=
left=$(pgrep -f "$home" || true)
[ -z "$left" ] || { echo "still alive:"; ps -p "$left"; exit 1; }
instance=$(printf %s "$home/state" | sha256sum | cut -c1-8)
[ -z "$(find /sys/fs/cgroup -maxdepth 4 -type d -name "deputy-$instance" 2>/dev/null)" ] || { echo "a cgroup was left"; exit 1; }
tail -n 3 "$home/log"
echo
echo "No process is left, and no file outside $home, which goes now too."
