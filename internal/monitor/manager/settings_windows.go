package manager

import "time"

// Find finds nobody who listens: the service itself talks to the service control
// manager, see internal/service.
func Find(int) Settings { return Settings{} }

func monotonic() time.Duration { return 0 }
