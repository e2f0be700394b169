#!/bin/sh
# Ask deputy for declared actions. One file to copy: a POSIX shell, curl and openssl.
#
#   deputy.sh run MODULE ACTION [PARAM…]   its output and its exit status are mine
#   deputy.sh call MODULE ACTION [PARAM…]  asks and goes; prints the ids of the tasks
#   deputy.sh wait ID                      prints the state that it ended in
#   deputy.sh show ID                      prints all that is known of it, as JSON
#   deputy.sh follow ID [stdout|stderr]    prints its output as it comes
#   deputy.sh stop ID                      stops it with all that it started
#
# PARAM, as for deputy itself: name=text, and again for each item of a list; name=@FILE: the text
# of a file, name=@-: of stdin, whose last line feed is no part of a value of one line; name=@@text
# begins with @; or all as --params JSON, - or @FILE. Also name:=JSON and name@FILE. Write what
# strangers may choose as name@FILE, or with @ before a text that begins with one.
# Text may hold any character: it is never evaluated, and no secret is in an argument.
# run ends as the task does: its exit code; 128+N signal N; 124 timed out; 143 stopped;
# 255 unknown. 125: refused or unreachable, or it was not started in its time (expired) or not any
# more (rejected), said on stderr as 'deputy: CODE (STATUS): why'.
#
# Environment:
#   DEPUTY_ADDRESS   where the kernel says who asks: the path of a socket, else DEPUTY_SOCKET, else
#                    /run/deputy/deputy.sock; http://host:port, https://host:port; or
#                    line://host:port, line:/path: 'Key: Value', call only
#   DEPUTY_KEY, DEPUTY_KEY_FILE, DEPUTY_AUDIENCE   to sign: the key's name, the file that holds
#                    its secret, the server's name
#   DEPUTY_IDEMPOTENCY_KEY, DEPUTY_END_USER, DEPUTY_PATIENCE (seconds for a lost connection, 30)
set -u
export LC_ALL=C
umask 077
address=${DEPUTY_ADDRESS:-${DEPUTY_SOCKET:-/run/deputy/deputy.sock}}
patience=${DEPUTY_PATIENCE:-30}
hold=30 # seconds that the daemon is asked to hold one answer, at most
met=    # a daemon was there: it is worth waiting for

fail() { # CODE STATUS DETAIL
	printf 'deputy: %s (%s): %s\n' "$1" "$2" "$3" >&2
	exit 125
}

# ---- JSON ----

# quote prints stdin without its last byte, which only marks the end, as a JSON
# string; with ONE also without the line feed of a text of one line.
quote() { # [ONE]
	awk -v one="${1-}" 'BEGIN {
		ORS = ""
		for (i = 1; i < 32; i++) escape[sprintf("%c", i)] = sprintf("\\u%04x", i)
		print "\""
	}
	function put(text, n, i, part) {
		gsub(/\\/, "&&", text)
		n = split(text, part, "\"")
		for (i = 1; i <= n; i++) { if (i > 1) print "\\\""; plain(part[i]) }
	}
	function plain(text, i, c) {
		if (text !~ /[\001-\037]/) { print text; return }
		for (i = 1; i <= length(text); i++) { c = substr(text, i, 1); print ((c in escape) ? escape[c] : c) }
	}
	NR > 1 { put(line); if (one) kept = 1; else print "\\n" }
	{ line = $0 }
	END {
		line = substr(line, 1, length(line) - 1)
		if (kept && line != "") print "\\n"
		put(line)
		print "\""
	}'
}

params() { # PARAM…: one JSON object
	if [ "${1-}" = --params ]; then
		[ $# -eq 2 ] || fail bad_request 0 '--params gives all the params, and nothing stands beside it'
		case $2 in
		-) cat ;;
		@*) cat -- "${2#@}" || fail bad_request 0 "cannot read ${2#@}" ;;
		*) printf '%s' "$2" ;;
		esac
		return
	fi
	printf '{'
	comma='' stdin='' seen=' '
	for p in "$@"; do
		name=${p%%[!a-z0-9_]*}
		case ${p#"$name"} in
		=* | :=* | @*) ;;
		*) name= ;;
		esac
		case $name in
		[a-z]*) ;;
		*) fail bad_request 0 "cannot read a param: it must be name=text, name=@FILE, name:=JSON or --params JSON" ;;
		esac
		case $seen in *" $name "*) continue ;; esac
		seen="$seen$name "
		printf '%s"%s":' "$comma" "$name"
		comma=,
		param "$@"
	done
	printf '}'
}

# param prints what is given for $name: a value, or the list of all that it is given.
param() { # PARAM…
	count=0 list='' mark=''
	for q in "$@"; do
		case $q in "$name"=* | "$name":=* | "$name"@*) count=$((count + 1)) given=$q ;; esac
	done
	case $count$given in
	1"$name":=*) ;;
	1*) [ "$(declared type)" != array ] || list=.items ;;
	*) list=.items ;;
	esac
	[ -z "$list" ] || printf '['
	for q in "$@"; do
		case $q in "$name"=* | "$name":=* | "$name"@*) ;; *) continue ;; esac
		printf '%s' "$mark"
		mark=,
		case ${q#"$name"} in
		:=*) printf '%s' "${q#"$name":=}" ;;
		=@@*) typed "${q#"$name"=@}" ;;
		=@*) text_of "$name" "${q#"$name"=@}" ;;
		=*) typed "${q#"$name"=}" ;;
		@*) text_of "$name" "${q#"$name"@}" ;;
		esac
	done
	[ -z "$list" ] || printf ']'
}

# declared prints what the action's schema says of $name, as far as the daemon tells: the
# 'Key: Value' door tells nothing.
declared() { # MEMBER
	case $address in line:*) return ;; esac
	[ -e "$tmp/declared" ] ||
		{ (ask GET "/v1/actions/$module/$action" 0 '' '' && flat <"$tmp/answer" >"$tmp/declared") </dev/null 2>/dev/null || : >"$tmp/declared"; }
	sed -n "s/^\\.params\\.properties\\.$name\\.$1 //p" "$tmp/declared"
}

# typed prints a text as JSON: of the type that is declared, if it looks so. What does not
# is a string, and refused by the daemon with the param's name.
typed() { # TEXT
	case $1 in
	true | false) [ "$(declared "${list#.}${list:+.}type")" != boolean ] || { printf '%s' "$1" && return; } ;;
	'' | *[!0-9eE.+-]*) ;;
	*)
		case $(declared "${list#.}${list:+.}type") in
		integer | number) printf '%s\n' "$1" | grep -Eqx -e '-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?' && printf '%s' "$1" && return ;;
		esac
		;;
	esac
	printf '%s.' "$1" | quote
}

text_of() { # NAME FILE: what it holds
	[ "$2$stdin" != -1 ] || fail bad_param 0 "cannot read $1: stdin was read for another param"
	[ "$2" != - ] || stdin=1
	cat -- "$2" >"$tmp/value" || fail bad_request 0 "cannot read $2"
	if [ "$(tr -d '\0' <"$tmp/value" | wc -c)" -ne "$(wc -c <"$tmp/value")" ]; then
		at=$(tr '\0\n' '\n ' <"$tmp/value" | head -n 1 | wc -c)
		fail bad_param 0 "cannot send $1: byte $((at - 1)) of it is a NUL, which no text has; encode it, as base64 for one"
	fi
	case $(declared "${list#.}${list:+.}type") in
	integer | number | boolean) typed "$(cat "$tmp/value")" && return ;;
	esac
	one=
	[ "$(wc -l <"$tmp/value")" -ne 1 ] || multiline || one=1
	{ cat "$tmp/value" && printf .; } | quote "$one"
}

# multiline says whether line feeds may be a part of the value of $name, which is so
# where the daemon does not tell.
multiline() {
	[ "$(declared "${list#.}${list:+.}type")" = string ] || return 0
	case $(declared "${list#.}${list:+.}not.pattern") in *x00) return 0 ;; esac
	return 1
}

# flat prints each value of a JSON text as 'path value', like '.tasks.0.id 4f…'. A
# value is one line: line feeds in it stay as \n.
flat() {
	awk '{ text = text $0 " " } END {
		path[0] = ""
		while (match(text, /^[ \t]*("([^"\\]|\\.)*"|[^][{}:, \t"]+|[][{}:,])/)) {
			token = substr(text, 1, RLENGTH)
			text = substr(text, RLENGTH + 1)
			sub(/^[ \t]+/, "", token)
			if (token == "{" || token == "[") { item[++depth] = 0; list[depth] = token == "["; key = list[depth] }
			else if (token == "}" || token == "]") { depth--; key = 0; continue }
			else if (token == ",") { item[depth]++; key = list[depth] }
			else if (token == ":") { key = 2; continue }
			else if (!key) { name = substr(token, 2, length(token) - 2); path[depth] = path[depth - 1] "." name; continue }
			else {
				if (token ~ /^"/) { token = substr(token, 2, length(token) - 2); gsub(/\\"/, "\"", token); gsub(/\\\//, "/", token) }
				print path[depth] " " token
			}
			if (depth && list[depth]) path[depth] = path[depth - 1] "." item[depth]
		}
	}'
}

get() { # PATH: its value in $tmp/flat
	while read -r path value; do
		[ "$path" = "$1" ] && printf '%s' "$value" && return
	done <"$tmp/flat"
}

# ---- signatures: Deputy1, good once ----

# hmac prints the HMAC-SHA256 (RFC 2104) of stdin, with a key in hex. openssl would
# take the key as an argument only, for everybody to see.
# shellcheck disable=SC2059 # the formats hold octal digits alone
hmac() {
	key=$1
	[ ${#key} -le 128 ] || key=$(printf "$(octal "$key")" | openssl dgst -sha256 -r | cut -c1-64)
	inner=$(pad 54 "$key") outer=$(pad 92 "$key")
	{ printf "$inner" && cat; } | openssl dgst -sha256 -binary | { printf "$outer" && cat; } | openssl dgst -sha256 -r | cut -c1-64
}

# pad prints a key of at most 64 bytes, each xor N, as a format for printf.
pad() { # N HEX
	hex=$2 format=
	while [ ${#format} -lt 256 ]; do
		rest=${hex#??}
		byte=${hex%"$rest"}
		hex=$rest
		byte=$((0x${byte:-0} ^ $1))
		format=$format\\$((byte / 64))$((byte / 8 % 8))$((byte % 8))
	done
	printf %s "$format"
}

octal() { # HEX: as a format for printf
	hex=$1 format=
	while [ -n "$hex" ]; do
		rest=${hex#??}
		byte=$((0x${hex%"$rest"}))
		hex=$rest
		format=$format\\$((byte / 64))$((byte / 8 % 8))$((byte % 8))
	done
	printf %s "$format"
}

# load reads the secret, once: its file may be a pipe.
load() {
	case $(command -v printf) in */*) fail bad_request 0 'cannot sign: in this shell others would see the secret' ;; esac
	case $DEPUTY_KEY in *[!A-Za-z0-9._-]*) fail bad_request 0 'cannot sign: DEPUTY_KEY is not the name of a key' ;; esac
	secret=$(head -n 1 -- "$DEPUTY_KEY_FILE" | tr -d '\r\n' | od -An -v -tx1 | tr -d ' \n')
	case $secret in
	'') fail unreachable 0 'cannot sign: DEPUTY_KEY_FILE holds no secret' ;;
	efbbbf*) fail bad_request 0 'cannot sign: DEPUTY_KEY_FILE begins with a byte order mark; save it without one' ;;
	esac
}

sign() { # METHOD TARGET IDEMPOTENCY-KEY END-USER; the body is $tmp/body
	now=$(date +%s) nonce=$(openssl rand -hex 16) digest=$(openssl dgst -sha256 -r <"$tmp/body" | cut -c1-64)
	mac=$(printf '%s\n' DEPUTY1 "$DEPUTY_KEY" "$now" "$nonce" "$1" "${DEPUTY_AUDIENCE-}" "$2" "$3" "$4" "$digest" | hmac "$secret")
	printf 'Authorization: Deputy1 id=%s,ts=%s,nonce=%s,sig=%s\n' "$DEPUTY_KEY" "$now" "$nonce" "$mac"
}

# ---- asking ----

curl_() { # SECONDS ARG…: what is asked is in $tmp, not in arguments
	seconds=$1
	shift
	case $address in
	/*) set -- --unix-socket "$address" "$@" ;;
	line:/[!/]*) set -- --unix-socket "${address#line:}" "$@" ;;
	esac
	curl -q -sS --noproxy '*' --globoff --connect-timeout 10 --max-time "$seconds" "$@" 2>"$tmp/error"
}

# patient waits before the next attempt, unless patience would be over by then.
patient() { # SECONDS
	now=$(date +%s)
	began=${began:-$now}
	[ $((now - began + $1 - 1)) -le "$patience" ] || return 1 # whole seconds: rather one more than one less
	sleep "$1"
}

# again says whether curl's exit status means that asking once more may help. The
# daemon must have been there: what cannot be connected at first is unreachable.
again() { # STATUS
	case $1 in
	7) [ -n "$met" ] || fail unreachable 0 "cannot reach deputy at $address: $(cat "$tmp/error")" ;;
	1 | 8 | 18 | 28 | 52 | 55 | 56) met=1 lost=1 ;;
	23) fail outcome_unknown 0 "cannot keep the answer: $(cat "$tmp/error")" ;;
	*) fail unreachable 0 "cannot reach deputy at $address: $(cat "$tmp/error")" ;;
	esac
	patient 1 && return
	[ -n "$lost" ] || fail unreachable 0 "cannot reach deputy at $address: $(cat "$tmp/error")"
	fail outcome_unknown 0 "the connection to deputy was lost: $(cat "$tmp/error")"
}

# name refuses what could end a line, and a blank that HTTP would drop.
name() { # WHAT TEXT
	case $2 in
	*[[:cntrl:]]* | ' '* | *' ') fail bad_request 0 "cannot ask: $1 has a blank at its beginning or its end, or a control character" ;;
	esac
}

ask() { # METHOD TARGET WAIT KEY USER; the body is $tmp/body, the answer $tmp/answer, its headers $tmp/head
	method=$1 target=$2 seconds=$(($3 + patience)) key=$4 user=$5
	name Idempotency-Key "$key"
	name Deputy-End-User "$user"
	case $target in *[!A-Za-z0-9/?=\&_-]*) fail bad_request 0 'cannot ask: the target has a character that may not stand there' ;; esac
	case $address in
	http://* | https://*) url=$address ;;
	line:*) fail bad_request 0 "cannot $verb: the 'Key: Value' door knows call alone" ;;
	*) url=http://deputy ;;
	esac
	set -- -X "$method" -H "@$tmp/request" -D "$tmp/head" -o "$tmp/answer" -w '%{http_code}' --path-as-is --url "$url$target"
	if [ "$method" = GET ]; then : >"$tmp/body"; else set -- "$@" --data-binary "@$tmp/body"; fi
	began='' lost=''
	while :; do
		{
			printf 'Expect:\nConnection: close\n'
			[ "$method" = GET ] || printf 'Content-Type: application/json\n'
			[ -z "$key" ] || printf 'Idempotency-Key: %s\n' "$key"
			[ -z "$user" ] || printf 'Deputy-End-User: %s\n' "$user"
			[ -z "${DEPUTY_KEY-}" ] || sign "$method" "$target" "$key" "$user"
		} >"$tmp/request"
		status=$(curl_ "$seconds" "$@")
		ended=$?
		if [ $ended -ne 0 ]; then
			again $ended
		else
			met=1
			[ "$status" -ge 300 ] || return 0
			refused
		fi
	done
}

# refused says what the daemon has refused, unless it is worth another attempt: it
# restarts, for one.
refused() {
	flat <"$tmp/answer" >"$tmp/flat"
	code=$(get .code) after=$(get .retry_after)
	if [ -z "$code" ]; then
		[ "$status" -lt 500 ] && code=bad_request || code=outcome_unknown
		fail "$code" "$status" "the daemon answered $status: $(head -c 300 "$tmp/answer")"
	fi
	case $status in 500 | 503) [ -n "$after" ] && patient "$after" && return ;; esac
	fail "$code" "$status" "$(get .detail)"
}

header() { tr -d '\r' <"$tmp/head" | awk -v name="$1" 'tolower($1) == name ":" { print $2 }'; }

# ---- verbs ----

call() { # MODULE ACTION PARAM…
	module=$1 action=$2
	shift 2
	case $module/$action in *[!A-Za-z0-9_/-]* | */*/*) fail unknown_action 0 'cannot ask: such a name no action has' ;; esac
	key=${DEPUTY_IDEMPOTENCY_KEY:-$(openssl rand -hex 16)} user=${DEPUTY_END_USER-}
	name Idempotency-Key "$key"
	name Deputy-End-User "$user"
	params "$@" >"$tmp/params" || exit
	mv "$tmp/params" "$tmp/body"
	case $address in
	line:*) call_line ;;
	*)
		ask POST "/v1/actions/$module/$action" 0 "$key" "$user"
		flat <"$tmp/answer" >"$tmp/flat"
		ids=$(sed -n 's/^\.tasks\.[0-9]*\.id //p' "$tmp/flat")
		;;
	esac
}

# call_line asks by a 'Key: Value' message. The last, empty line is curl's: what it
# sends by gopher (RFC 1436) is the URL's text and CR LF.
call_line() {
	{
		printf 'module: %s\naction: %s\nIdempotency-Key: %s\n' "$module" "$action" "$key"
		[ -z "$user" ] || printf 'End-User: %s\n' "$user"
		printf 'params: ' && cat "$tmp/body" && printf '\n\r\n'
	} >"$tmp/message"
	mv "$tmp/message" "$tmp/body"
	case $address in line:/[!/]*) host=deputy:70 ;; *) host=${address#line://} ;; esac
	began='' lost=''
	while :; do
		{
			[ -z "${DEPUTY_KEY-}" ] || sign TCP / '' ''
			cat "$tmp/body"
		} >"$tmp/message"
		{
			printf 'url = "gopher://%s/_' "$host"
			od -An -v -tx1 "$tmp/message" | tr -d ' \n' | sed 's/0d0a$//; s/../%&/g'
			printf '"\n'
		} >"$tmp/url"
		curl_ "$patience" -K "$tmp/url" -o "$tmp/answer"
		ended=$?
		case $ended in
		0) ;;
		3 | 6) fail unreachable 0 "cannot reach deputy at $address: $(cat "$tmp/error")" ;;
		1) fail unreachable 0 "cannot reach deputy at $address: $(cat "$tmp/error")" ;; # curl knows no gopher
		*) again $ended && continue ;;
		esac
		met=1
		flat <"$tmp/answer" >"$tmp/flat"
		[ "$(get .success)" != true ] || break
		after=$(get .msg.retry_after)
		[ -n "$after" ] && patient "$after" && continue
		fail "$(get .msg.code)" "$(get .msg.err_code)" "$(get .msg.detail)"
	done
	ids=$(sed -n 's/^\.tasks\.[0-9]* //p' "$tmp/flat")
}

wait_() { # ID: its end is in $tmp/flat
	while :; do
		ask GET "/v1/tasks/$1?wait=$hold" $hold '' ''
		flat <"$tmp/answer" >"$tmp/flat"
		state=$(get .state)
		case $(get .ended) in
		null) ;;
		'') fail outcome_unknown "$status" "cannot read the daemon's answer: its task has no \"ended\"" ;;
		*) break ;;
		esac
	done
}

follow() { # ID STREAM
	offset=0
	cut=
	while :; do
		ask GET "/v1/tasks/$1/$2?offset=$offset&wait=$hold" $hold '' ''
		after=$(header deputy-next-offset)
		if [ -z "$cut" ] && [ "$(header deputy-rewritten)" ]; then
			cut=1
			echo "deputy: $2: the task itself cut or rewrote it, as > /dev/$2 does; here is what came last, from its start" >&2
			[ "$offset" -eq 0 ] || {
				offset=0
				continue
			}
		fi
		size=$(($(wc -c <"$tmp/answer")))
		if [ "$after" -gt $((offset + size)) ]; then
			echo "deputy: the bytes from $offset to $((after - size)) of $2 are gone" >&2
		fi
		[ $size -eq 0 ] || cat "$tmp/answer" || unwritten
		case $(header deputy-ended) in
		true) [ "$after" -ne "$offset" ] || break ;;
		false) ;;
		*) fail outcome_unknown "$status" "cannot read the daemon's answer: it has no Deputy-Ended" ;;
		esac
		offset=$after
	done
}

# unwritten ends without the output: nobody could take it.
unwritten() {
	echo 'deputy: cannot write the output; the task goes on' >&2
	exit 255
}

run() {
	call "$@"
	result=0
	for id in $ids; do
		wait_ "$id"
		code=$(exit_status)
		[ "$result" -ne 0 ] || result=$code
		case $(get .stdout_bytes)/$(get .stderr_bytes) in
		null/*) echo "deputy: the output of $id is not shown: another asked for it first" >&2 && continue ;;
		esac
		[ "$(get .stdout_bytes)" = 0 ] || follow "$id" stdout
		[ "$(get .stderr_bytes)" = 0 ] || follow "$id" stderr >&2
	done
	exit "$result"
}

exit_status() { # of the task in $tmp/flat
	case $state in
	succeeded) echo 0 ;;
	timed_out) echo 124 ;;
	stopped) echo 143 ;;
	expired | rejected) # it never started
		printf 'deputy: %s (0): %s\n' "$state" "$(get .reason)" >&2
		echo 125
		;;
	*)
		signal=$(get .exit.signal)
		code=$(get .exit.code)
		number=128
		for s in HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU \
			URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS; do
			number=$((number + 1))
			[ "SIG$s" != "$signal" ] || code=$number
		done
		case $signal in SIG[0-9]*) code=$((128 + ${signal#SIG})) ;; esac # a real-time one
		[ "${code:-0}" != 0 ] || code=255
		echo "$code"
		;;
	esac
}

usage() {
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 125
}

verb=${1-}
[ $# -gt 0 ] && shift
case $verb in
run | call) [ $# -ge 2 ] || usage ;;
wait | show | stop) [ $# -eq 1 ] || usage ;;
follow) [ $# -ge 1 ] || usage ;;
hmac) ;;
*) usage ;;
esac
case $verb in
wait | show | stop | follow)
	met=1 # who has an id has met a daemon
	case $1 in '' | *[!0-9A-Za-z-]*) fail unknown_task 0 'cannot ask: such an id no task has' ;; esac
	[ ${#1} -le 64 ] || fail unknown_task 0 'cannot ask: such an id no task has'
	;;
esac
case $verb-${2-stdout} in follow-stdout | follow-stderr) ;; follow-*) fail bad_request 0 'cannot follow this: a task has stdout and stderr' ;; esac
case $address in *[[:cntrl:]\ \"\\]*) fail bad_request 0 'cannot ask: the address has a character that none has' ;; esac
case $patience in *[!0-9]*) fail bad_request 0 'cannot ask: DEPUTY_PATIENCE must be whole seconds' ;; esac
[ -z "${DEPUTY_KEY-}" ] || [ "$verb" = hmac ] || load

tmp=$(mktemp -d) || exit 125
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP
case $verb in
run) run "$@" ;;
call)
	call "$@"
	[ -z "$ids" ] || printf '%s\n' "$ids" || exit 1
	;;
wait)
	wait_ "$1"
	printf '%s\n' "$state" || exit 1
	;;
show)
	ask GET "/v1/tasks/$1" 0 '' ''
	cat "$tmp/answer" || exit 1
	;;
follow) follow "$1" "${2:-stdout}" ;;
stop)
	printf '{}' >"$tmp/body"
	ask POST "/v1/tasks/$1/stop" 3600 '' ''
	flat <"$tmp/answer" >"$tmp/flat"
	printf '%s\n' "$(get .state)" || exit 1
	;;
hmac) hmac "$1" ;; # of stdin, with a key in hex
esac
