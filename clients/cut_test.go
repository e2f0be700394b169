//go:build linux

package clients

import (
	"context"
	"testing"
	"time"

	"deputy/client"
	"deputy/test/rig"
)

// TestFollowCut: who follows a task that cuts its own output gets the new text from
// its start, also where it is longer than the old one.
func TestFollowCut(t *testing.T) {
	d := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, driver := range drivers(t) {
		p := &play{t: t, driver: driver, way: d.ways()[0], socket: d.Socket, names: map[string]string{}}
		p.step(step{Do: []string{"call", "m", "cut"}, Want: "tasks {a}"})
		follow := driver.begin(t, p.args(step{Do: []string{"follow", "{a}", "stdout"}}), p.env(step{Do: []string{"follow"}}))
		rig.Eventually(t, time.Minute, driver.name+" follows", func() bool { return follow.out.String() == "first\n" })
		if _, err := d.Client().Stop(ctx, p.names["a"], client.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if said := follow.end(); said != "end" || follow.out.String() != "first\na new text, longer than that\n" {
			t.Errorf("%s said %q, %q; stderr %q", driver.name, said, follow.out.String(), follow.err.String())
		}
	}
}
