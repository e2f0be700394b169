#!/bin/sh
# Ask deputy for declared actions. One file to copy: a POSIX shell, curl and openssl.
#
#   deputy.sh run MODULE ACTION [PARAM…]   its output and its exit status are mine
#   deputy.sh call MODULE ACTION [PARAM…]  asks and goes; prints the ids of the tasks
#   deputy.sh wait ID                      prints the state that it ended in
#   deputy.sh follow ID [stdout|stderr]    prints its output as it comes
#   deputy.sh stop ID                      stops it with all that it started
#
# PARAM: name=text, name:=JSON (of your own, never a stranger's), name@FILE: the text of a file.
# Text may hold any character: it is never evaluated, and no secret is in an argument.
# run ends as the task does: its exit code; 128+N signal N; 124 timed out; 143 stopped;
# 255 unknown. 125: refused or unreachable, said on stderr as 'deputy: CODE (STATUS): why'.
#
# Environment:
#   DEPUTY_ADDRESS   /run/deputy/deputy.sock, where the kernel says who asks; http://host:port,
#                    https://host:port; or line://host:port, line:/path: 'Key: Value', call only
#   DEPUTY_KEY, DEPUTY_KEY_FILE, DEPUTY_AUDIENCE   to sign: the key's name, the file that holds
#                    its secret, the server's name
#   DEPUTY_IDEMPOTENCY_KEY, DEPUTY_END_USER, DEPUTY_PATIENCE (seconds for a lost connection, 30)
set -u
export LC_ALL=C
umask 077
address=${DEPUTY_ADDRESS:-/run/deputy/deputy.sock}
hold=30 # seconds that the daemon is asked to hold one answer, at most
nl='
'

fail() { # CODE STATUS DETAIL
	printf 'deputy: %s (%s): %s\n' "$1" "$2" "$3" >&2
	exit 125
}

# ---- JSON ----

quote() { # TEXT: as a JSON string
	TEXT=$1 awk 'BEGIN {
		for (i = 1; i < 32; i++) escape[sprintf("%c", i)] = sprintf("\\u%04x", i)
		escape["\""] = "\\\""; escape["\\"] = "\\\\"
		text = ENVIRON["TEXT"]
		printf "\""
		for (i = 1; i <= length(text); i++) { c = substr(text, i, 1); printf "%s", (c in escape) ? escape[c] : c }
		printf "\""
	}'
}

params() { # PARAM…: one JSON object
	printf '{'
	comma=
	for p in "$@"; do
		name=${p%%[!a-z0-9_]*}
		value=${p#"$name"}
		case $name$value in
		[a-z]*=* | [a-z]*@*) ;;
		*) fail bad_request 0 "cannot read a param: it must be name=text, name:=JSON or name@FILE" ;;
		esac
		printf '%s"%s":' "$comma" "$name"
		comma=,
		case $value in
		=*) quote "${value#=}" ;;
		:=*) printf '%s' "${value#:=}" ;;
		@*)
			text=$(cat -- "${value#@}" && printf .) || fail bad_request 0 "cannot read ${value#@}"
			text=${text%.}
			quote "${text%"$nl"}"
			;;
		*) fail bad_request 0 "cannot read a param: it must be name=text, name:=JSON or name@FILE" ;;
		esac
	done
	printf '}'
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

sign() { # METHOD TARGET IDEMPOTENCY-KEY END-USER; the body is $tmp/body
	case $(command -v printf) in */*) fail bad_request 0 'cannot sign: in this shell others would see the secret' ;; esac
	secret=$(head -n 1 -- "$DEPUTY_KEY_FILE" | tr -d '\r\n' | od -An -v -tx1 | tr -d ' \n')
	[ -n "$secret" ] || fail unreachable 0 'cannot sign: DEPUTY_KEY_FILE holds no secret'
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

# again says whether curl's exit status means that asking once more may help. The
# daemon must have been there: what cannot be connected at first is unreachable.
again() { # STATUS
	case $1 in
	7) [ -n "$began" ] || fail unreachable 0 "cannot reach deputy at $address: $(cat "$tmp/error")" ;;
	1 | 8 | 18 | 28 | 52 | 55 | 56) began=${began:-$(date +%s)} ;;
	*) fail unreachable 0 "cannot reach deputy at $address: $(cat "$tmp/error")" ;;
	esac
	[ $(($(date +%s) - began)) -le "${DEPUTY_PATIENCE:-30}" ] || # whole seconds: rather one more than one less
		fail outcome_unknown 0 "the connection to deputy was lost: $(cat "$tmp/error")"
	sleep 1
}

ask() { # METHOD TARGET WAIT KEY USER; the body is $tmp/body, the answer $tmp/answer, its headers $tmp/head
	method=$1 target=$2 seconds=$(($3 + ${DEPUTY_PATIENCE:-30})) key=$4 user=$5
	case $address in
	http://* | https://*) url=$address ;;
	line:*) fail bad_request 0 "cannot $verb: the 'Key: Value' door knows call alone" ;;
	*) url=http://deputy ;;
	esac
	set -- -X "$method" -H "@$tmp/request" -D "$tmp/head" -o "$tmp/answer" -w '%{http_code}' --path-as-is --url "$url$target"
	if [ "$method" = GET ]; then : >"$tmp/body"; else set -- "$@" --data-binary "@$tmp/body"; fi
	began=
	while :; do
		{
			printf 'Expect:\nConnection: close\n'
			[ "$method" = GET ] || printf 'Content-Type: application/json\n'
			[ -z "$key" ] || printf 'Idempotency-Key: %s\n' "$key"
			[ -z "$user" ] || printf 'Deputy-End-User: %s\n' "$user"
			[ -z "${DEPUTY_KEY-}" ] || sign "$method" "$target" "$key" "$user"
		} >"$tmp/request"
		status=$(curl_ "$seconds" "$@") && break
		again $?
	done
	[ "$status" -lt 300 ] && return
	flat <"$tmp/answer" >"$tmp/flat"
	code=$(get .code)
	if [ -z "$code" ]; then
		[ "$status" -lt 500 ] && code=bad_request || code=outcome_unknown
		fail "$code" "$status" "the daemon answered $status: $(head -c 300 "$tmp/answer")"
	fi
	fail "$code" "$status" "$(get .detail)"
}

header() { tr -d '\r' <"$tmp/head" | awk -v name="$1" 'tolower($1) == name ":" { print $2 }'; }

# ---- verbs ----

call() { # MODULE ACTION PARAM…
	module=$1 action=$2
	shift 2
	case $module/$action in *[!A-Za-z0-9_/-]* | */*/*) fail unknown_action 0 'cannot ask: such a name no action has' ;; esac
	params "$@" >"$tmp/body" || exit
	key=${DEPUTY_IDEMPOTENCY_KEY:-$(openssl rand -hex 16)} user=${DEPUTY_END_USER-}
	case $key$user in *[[:cntrl:]]*) fail bad_request 0 'cannot ask: a key or an end user has a control character' ;; esac
	case $address in
	line:*) call_line ;;
	*)
		ask POST "/v1/actions/$module/$action" 0 "$key" "$user"
		flat <"$tmp/answer" >"$tmp/flat"
		ids=$(sed -n 's/^\.tasks\.[0-9]*\.id //p' "$tmp/flat" | awk '!seen[$0]++') # equal items share a task
		;;
	esac
}

# call_line asks by a 'Key: Value' message. The last, empty line is curl's: what it
# sends by gopher (RFC 1436) is the URL's text and CR LF.
call_line() {
	{
		printf 'module: %s\naction: %s\nIdempotency-Key: %s\n' "$module" "$action" "$key"
		[ -z "$user" ] || printf 'End-User: %s\n' "$user"
		printf 'params: %s\n\r\n' "$(cat "$tmp/body")"
	} >"$tmp/message"
	mv "$tmp/message" "$tmp/body"
	{
		[ -z "${DEPUTY_KEY-}" ] || sign TCP / '' ''
		cat "$tmp/body"
	} >"$tmp/message"
	case $address in line:/[!/]*) host=deputy:70 ;; *) host=${address#line://} ;; esac
	bytes=$(od -An -v -tx1 "$tmp/message" | tr -d ' \n' | sed 's/0d0a$//; s/../%&/g')
	printf 'url = "gopher://%s/_%s"\n' "$host" "$bytes" >"$tmp/url"
	curl_ "${DEPUTY_PATIENCE:-30}" -K "$tmp/url" -o "$tmp/answer"
	case $? in
	0) ;;
	1 | 3 | 6 | 7) fail unreachable 0 "cannot reach deputy at $address: $(cat "$tmp/error")" ;;
	*) fail outcome_unknown 0 "the connection to deputy was lost: $(cat "$tmp/error")" ;;
	esac
	flat <"$tmp/answer" >"$tmp/flat"
	[ "$(get .success)" = true ] || fail "$(get .msg.code)" "$(get .msg.err_code)" "$(get .msg.detail)"
	ids=$(sed -n 's/^\.tasks\.[0-9]* //p' "$tmp/flat" | awk '!seen[$0]++')
}

wait_() { # ID: its end is in $tmp/flat
	while :; do
		ask GET "/v1/tasks/$1?wait=$hold" $hold '' ''
		flat <"$tmp/answer" >"$tmp/flat"
		state=$(get .state)
		case $state in queued | running | stopping) ;; *) break ;; esac
	done
}

follow() { # ID STREAM
	offset=0
	while :; do
		ask GET "/v1/tasks/$1/$2?offset=$offset&wait=$hold" $hold '' ''
		after=$(header deputy-next-offset)
		size=$(($(wc -c <"$tmp/answer")))
		if [ "$after" -gt $((offset + size)) ]; then
			echo "deputy: the bytes from $offset to $((after - size)) of $2 are gone" >&2
		fi
		[ $size -eq 0 ] || cat "$tmp/answer"
		case $(header deputy-state) in
		queued | running | stopping) ;;
		*) [ "$after" -ne "$offset" ] || break ;;
		esac
		offset=$after
	done
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
	*)
		signal=$(get .exit.signal)
		code=$(get .exit.code)
		number=128
		for s in HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM; do
			number=$((number + 1))
			[ "SIG$s" != "$signal" ] || code=$number
		done
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
wait | stop) [ $# -eq 1 ] || usage ;;
follow) [ $# -ge 1 ] || usage ;;
hmac) ;;
*) usage ;;
esac
case $verb in wait | stop | follow) case $1 in '' | *[!0-9A-Za-z-]*) fail unknown_task 0 'cannot ask: such an id no task has' ;; esac ;; esac

tmp=$(mktemp -d) || exit 125
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP
case $verb in
run) run "$@" ;;
call)
	call "$@"
	[ -z "$ids" ] || printf '%s\n' "$ids"
	;;
wait)
	wait_ "$1"
	printf '%s\n' "$state"
	;;
follow) follow "$1" "${2:-stdout}" ;;
stop)
	printf '{}' >"$tmp/body"
	ask POST "/v1/tasks/$1/stop" 3600 '' ''
	flat <"$tmp/answer" >"$tmp/flat"
	printf '%s\n' "$(get .state)"
	;;
hmac) hmac "$1" ;; # of stdin, with a key in hex
esac
