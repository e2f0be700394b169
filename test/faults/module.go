//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"deputy/test/rig"
)

// module declares what the load asks for. Every action that takes a lock takes
// it from the same few, so that they meet.
const module = `
USER
[allow]
users = [UIDS]

[action.plain]
command = ["ACTOR", "WORK", "{how}", "{ms}", "{n}"]
params.how = { type = "string", enum = ["exit", "signal", "leave", "write", "obey", "ignore"] }
params.ms = { type = "integer", minimum = 0 }
params.n = { type = "integer", minimum = 0 }
grace = "300ms"

[action.timed]
command = ["ACTOR", "WORK", "{how}", "{ms}", "{n}"]
params.how = { type = "string", enum = ["exit", "obey", "ignore"] }
params.ms = { type = "integer", minimum = 0 }
params.n = { type = "integer", minimum = 0 }
timeout = "400ms"
grace = "200ms"

[action.join]
command = ["ACTOR", "WORK", "exit", "150", "{lock}", "{lock}"]
params.lock = { type = "integer", minimum = 0 }
lock = "{lock}"
on_busy = "join"

[action.each]
for_each = "lock in locks"
command = ["ACTOR", "WORK", "leave", "80", "1", "{lock}"]
params.locks = { type = "array", items = { type = "integer", minimum = 0 }, minItems = 1, maxItems = 8 }
lock = "{lock}"
on_busy = "join"

[action.reject]
command = ["ACTOR", "WORK", "obey", "100", "{lock}", "{lock}"]
params.lock = { type = "integer", minimum = 0 }
lock = "{lock}"
on_busy = "reject"

[action.rerun]
command = ["ACTOR", "WORK", "exit", "60", "0", "{lock}"]
params.lock = { type = "integer", minimum = 0 }
lock = "{lock}"
on_busy = "rerun"

[action.line]
command = ["ACTOR", "WORK", "exit", "60", "0", "{lock}"]
params.lock = { type = "integer", minimum = 0 }
lock = "{lock}"
on_busy = "queue"

[queue.narrow]
parallel = 2

[action.narrow]
command = ["ACTOR", "WORK", "exit", "40", "0"]
queue = "narrow"

[action.halt]
stops = "join"
params.lock = { type = "integer", minimum = 0 }
lock = "{lock}"
`

const config = `[defaults]
per_caller = { live = 100000, rate = "100000/s", connections = 1000 }
[storage]
max_use = "50%"
keep_free = "1%"
[server]
user = "daemon"
[listen]
line = []
`

// files are the configuration of a deputy that runs acting programs in work.
func files(actor, work string, uids []int) rig.Files {
	user := ""
	var names []string
	if os.Geteuid() == 0 {
		user = `user = "root"`
	}
	for _, uid := range uids {
		names = append(names, fmt.Sprintf(`"uid:%d"`, uid))
	}
	text := strings.NewReplacer("USER", user, "UIDS", strings.Join(names, ", "), "ACTOR", actor, "WORK", work).Replace(module)
	settings := config
	if os.Geteuid() != 0 {
		settings = strings.Replace(config, "user = \"daemon\"\n", "", 1)
	}
	return rig.Files{"deputy.toml": settings, "modules.d/f.toml": text}
}

// ask is an action with values, as it is sent.
type ask struct{ action, body string }

// someAsk picks one at random.
func someAsk(rng *rand.Rand) ask {
	lock := func(from, n int) int {
		if rng.IntN(10) == 0 {
			from, n = 0, 20
		}
		return from + rng.IntN(n)
	}
	switch n := rng.IntN(100); {
	case n < 6:
		return ask{"narrow", ""}
	case n < 10:
		return ask{"line", fmt.Sprintf(`{"lock":%d}`, lock(20, 3))}
	case n < 45:
		how := []string{"exit", "exit", "exit", "signal", "leave", "write", "obey", "ignore"}[rng.IntN(8)]
		return ask{"plain", fmt.Sprintf(`{"how":%q,"ms":%d,"n":%d}`, how, someTime(rng), someNumber(rng, how))}
	case n < 55:
		how := []string{"exit", "obey", "ignore"}[rng.IntN(3)]
		return ask{"timed", fmt.Sprintf(`{"how":%q,"ms":%d,"n":%d}`, how, rng.IntN(800), someNumber(rng, how))}
	case n < 67:
		return ask{"join", fmt.Sprintf(`{"lock":%d}`, lock(0, 6))}
	case n < 75:
		var locks []string
		for range 1 + rng.IntN(5) {
			locks = append(locks, fmt.Sprint(lock(6, 5)))
		}
		return ask{"each", fmt.Sprintf(`{"locks":[%s]}`, strings.Join(locks, ","))}
	case n < 83:
		return ask{"reject", fmt.Sprintf(`{"lock":%d}`, lock(11, 4))}
	case n < 95:
		return ask{"rerun", fmt.Sprintf(`{"lock":%d}`, lock(15, 5))}
	}
	return ask{"halt", fmt.Sprintf(`{"lock":%d}`, lock(0, 6))}
}

// someTime is how long a task lives, in ms: most end at once, some outlive
// several monitors.
func someTime(rng *rand.Rand) int {
	switch n := rng.IntN(20); {
	case n < 14:
		return rng.IntN(20)
	case n < 19:
		return 100 + rng.IntN(400)
	}
	return 1000 + rng.IntN(3000)
}

func someNumber(rng *rand.Rand, how string) int {
	switch how {
	case "signal":
		return []int{1, 9, 15}[rng.IntN(3)]
	case "leave":
		return 1 + rng.IntN(3)
	case "write":
		return rng.IntN(200_000)
	}
	return []int{0, 0, 1, 7, 90}[rng.IntN(5)]
}
