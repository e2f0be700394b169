package tcp

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// retry is the time between two tries to listen.
const retry = 3 * time.Second

// Open listens on an address, and tries again until it can; nil once ctx has
// ended. The reason is said once for each time that it changes.
func Open(ctx context.Context, address string, log *slog.Logger) net.Listener {
	said := ""
	for {
		l, err := listen(address)
		if err == nil {
			log.Info("listening", "address", address)
			return l
		}
		if ctx.Err() != nil {
			return nil
		}
		if said != err.Error() {
			said = err.Error()
			log.Error("cannot listen; it is tried again, the other addresses serve", "address", address, "error", err, "every", retry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
	}
}
