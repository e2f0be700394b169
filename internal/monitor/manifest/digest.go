package manifest

import "encoding/json"

// A task that waits is bound to its action as it was when the task was accepted. What
// the action is, its digest says: who may ask for it, how it is described and where it
// waits may change meanwhile.

// unbound are keys of an action, and of its module, that do not bind a task that waits.
var unbound = map[string]bool{"allow": true, "description": true, "queue": true, "priority": true, "action": true, "name": true}

// actionDigest is the hex SHA-256 of an action as it is declared, with what its module
// declares for all.
func actionDigest(module, action *node) string {
	text, _ := json.Marshal([]any{bound(module), bound(action)}) // plain values
	return digest(text)
}

func bound(n *node) map[string]any {
	all := map[string]any{}
	for _, c := range n.children {
		if !unbound[c.key] {
			all[c.key] = c.plain()
		}
	}
	return all
}
