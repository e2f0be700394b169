package deputy

// Queue is how a queue stands: [queue.NAME] of deputy.toml or of a manifest.
type Queue struct {
	Name          string   `json:"name"`
	Parallel      int      `json:"parallel"`       // tasks that run at a time, at most
	MaxWaiting    int      `json:"max_waiting"`    // tasks that wait for a place, at most
	Fair          string   `json:"fair"`           // between whom turns are taken: "caller", "end_user", "none"
	OvertakeAfter *string  `json:"overtake_after"` // who has waited so long goes before any priority, like "15m0s"; null: never
	Paused        bool     `json:"paused"`         // nobody who waits is given a place
	Running       int      `json:"running"`        // tasks that have a place
	Waiting       int      `json:"waiting"`        // tasks that wait for one
	Actions       []string `json:"actions"`        // "module/action" of those that stand in it and that who asks may know of
}
