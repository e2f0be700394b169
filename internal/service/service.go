// Package service makes deputy a service of the machine's own service manager:
// systemd or OpenRC, launchd, or Windows' service control manager. Each system
// has its file; what a user is told is the same everywhere.
package service

// Programs are what the service runs, by absolute paths.
type Programs struct {
	Daemon  string // deputyd; deputy-server lies beside it
	Command string // deputy
}

// Report is what was done, one sentence each, and what to do next.
type Report struct {
	Done []string `json:"done"`
	Next string   `json:"next,omitempty"`
}

func (r *Report) did(sentences ...string) { r.Done = append(r.Done, sentences...) }

// Status is how the service stands.
type Status struct {
	Manager   string `json:"manager"`   // systemd, openrc, launchd or windows
	Installed bool   `json:"installed"` // the manager knows it
	Enabled   bool   `json:"enabled"`   // it starts with the machine
	Running   bool   `json:"running"`
	PID       int    `json:"pid"`    // of its main process; 0: none
	File      string `json:"file"`   // by which the manager knows it; "": it does not
	Detail    string `json:"detail"` // the state, as the manager calls it
}
