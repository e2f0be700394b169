#!/bin/sh
# Plays one step of cases.json with clients/shell/deputy.sh; see clients_test.go. A
# param is name=text or name:=json.
deputy=$(dirname "$0")/../shell/deputy.sh
export DEPUTY_ADDRESS="${T_ADDRESS-}" DEPUTY_KEY="${T_KEY-}" DEPUTY_KEY_FILE="${T_KEY_FILE-}" DEPUTY_AUDIENCE="${T_AUDIENCE-}"
export DEPUTY_PATIENCE="${T_PATIENCE:-30}" DEPUTY_IDEMPOTENCY_KEY="${T_IDEMPOTENCY-}" DEPUTY_END_USER="${T_END_USER-}"
verb=$1
case $verb in
run)
	# 125 is a refusal, and said on stderr.
	said=$(mktemp)
	${T_SHELL:-sh} "$deputy" "$@" 2>"$said"
	code=$?
	;;
follow)
	said=$(mktemp)
	${T_SHELL:-sh} "$deputy" "$@" 2>"$said"
	code=$?
	;;
hmac)
	while read -r key msg; do
		# shellcheck disable=SC2059 # the message, as octal digits
		printf "$(printf %s "$msg" | sed 's/../\\x&/g' | awk '{ while (match($0, /\\x../)) { h = tolower(substr($0, 3, 2)); $0 = substr($0, 5); printf "\\%03o", (index("0123456789abcdef", substr(h, 1, 1)) - 1) * 16 + index("0123456789abcdef", substr(h, 2)) - 1 } }')" |
			${T_SHELL:-sh} "$deputy" hmac "$key"
	done
	exit
	;;
*)
	said=$(mktemp)
	out=$(${T_SHELL:-sh} "$deputy" "$@" 2>"$said")
	code=$?
	;;
esac
if [ $code -eq 125 ] && grep -q '^deputy: ' "$said"; then
	sed -n '/^deputy: /{s/^deputy: \([a-z_]*\) (\([0-9]*\)): /error \1 \2 - /;p;}' "$said" >&3
else
	case $verb in
	run) printf 'exit %s' "$code" >&3 && cat "$said" >&2 ;;
	call) printf 'tasks' >&3 && for id in $out; do printf ' %s' "$id" >&3; done ;;
	follow) printf end >&3 && cat "$said" >&2 ;;
	wait) printf 'state %s' "$out" >&3 ;;
	stop) printf 'state %s empty' "$out" >&3 ;;
	esac
fi
rm -f "$said"
