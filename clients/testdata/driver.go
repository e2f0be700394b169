// Plays one step of cases.json with deputy/client; see clients_test.go.
package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"deputy/client"
)

func main() {
	say := os.NewFile(3, "result")
	err := play(os.Args[1], os.Args[2:], func(format string, args ...any) { fmt.Fprintf(say, format, args...) })
	var refused *client.Error
	var unreachable *client.UnreachableError
	var lost *client.LostError
	switch {
	case errors.As(err, &refused):
		e := refused.Refusal
		fmt.Fprintf(say, "error %s %d %s %s", e.Code, refused.Status, or(e.Task, "-"), e.Detail)
	case errors.As(err, &unreachable):
		fmt.Fprintf(say, "error unreachable 0 - %v", err)
	case errors.As(err, &lost):
		fmt.Fprintf(say, "error outcome_unknown 0 - %v", err)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func play(op string, args []string, say func(string, ...any)) error {
	ctx := context.Background()
	c := client.New()
	if address := os.Getenv("T_ADDRESS"); address != "" {
		c = client.New(address)
	}
	if key := os.Getenv("T_KEY"); key != "" {
		c = client.Signed(os.Getenv("T_ADDRESS"), key, []byte(os.Getenv("T_SECRET")), os.Getenv("T_AUDIENCE"))
	}
	c.Patience = duration("T_PATIENCE", 30*time.Second)
	o := client.Options{IdempotencyKey: os.Getenv("T_IDEMPOTENCY"), EndUser: os.Getenv("T_END_USER"), Wait: duration("T_WAIT", time.Minute)}
	switch op {
	case "run":
		r, err := c.Run(ctx, args[0], args[1], json.RawMessage(args[2]), o)
		if err != nil {
			return err
		}
		fmt.Print(r.Stdout)
		fmt.Fprint(os.Stderr, r.Stderr)
		say("%s %s %s", map[bool]string{true: "ok", false: "failed"}[r.OK], r.State, strings.Replace(fmt.Sprint(r.Code), "-1", "-", 1))
	case "call":
		o.Wait = 0
		tasks, err := c.Call(ctx, args[0], args[1], json.RawMessage(args[2]), o)
		if err != nil {
			return err
		}
		say("tasks")
		for _, t := range tasks {
			say(" %s", t.ID)
		}
	case "wait":
		task, err := c.Wait(ctx, args[0])
		if err != nil {
			return err
		}
		say("state %s", task.State)
	case "follow":
		if _, err := c.Follow(ctx, args[0], args[1], 0, os.Stdout); err != nil {
			return err
		}
		say("end")
	case "stop":
		grace := time.Duration(0)
		task, err := c.Stop(ctx, args[0], client.StopOptions{Grace: &grace})
		if err != nil {
			return err
		}
		say("state %s %s", task.State, map[bool]string{true: "empty", false: "alive"}[task.Stop.Empty])
	case "hmac":
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			key, msg, _ := strings.Cut(lines.Text(), " ")
			mac := hmac.New(sha256.New, unhex(key))
			mac.Write(unhex(msg))
			fmt.Println(hex.EncodeToString(mac.Sum(nil)))
		}
	}
	return nil
}

func unhex(text string) []byte { b, _ := hex.DecodeString(text); return b }

func duration(name string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name) + "s"); err == nil {
		return d
	}
	return otherwise
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
