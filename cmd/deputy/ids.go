package main

import (
	"context"
	"fmt"
	"strings"

	"deputy"
	"deputy/client"
)

// shortLength is how much of an id is shown. It is the id's end: the beginning
// of a UUIDv7 is the clock, and alike for all tasks of a minute.
const shortLength = 8

func short(id string) string { return id[max(0, len(id)-shortLength):] }

// idFor shows a person the short id, and gives a script the whole one.
func (a *app) idFor(id string) string {
	if a.outTerm {
		return short(id)
	}
	return id
}

// searched is how many of the newest tasks a suffix is looked for among.
const searched = 10000

// pageSize is how many tasks are asked for at once.
const pageSize = 500

// resolve gives the whole id for what was typed: an id, a suffix that only one
// task has, or "@" for the newest task that I asked for.
func (a *app) resolve(ctx context.Context, c *client.Client, typed string) (string, error) {
	if typed == "@" {
		return a.newest(ctx, c)
	}
	suffix := strings.ToLower(strings.TrimPrefix(typed, "…"))
	if strings.Trim(suffix, "0123456789abcdef-") != "" || suffix == "" {
		return "", usage("%q is not a task's id; give its last %d characters, or @ for your newest", typed, shortLength)
	}
	if len(suffix) == len("00000000-0000-0000-0000-000000000000") {
		return suffix, nil
	}
	var found []*deputy.Task
	seen := 0
	err := c.Each(ctx, client.Query{Limit: pageSize}, func(t *deputy.Task) bool {
		if strings.HasSuffix(t.ID, suffix) {
			found = append(found, t)
		}
		seen++
		return seen < searched
	})
	if err != nil {
		return "", err
	}
	return pick(typed, found, seen)
}

// pick wants exactly one candidate.
func pick(typed string, found []*deputy.Task, seen int) (string, error) {
	switch len(found) {
	case 1:
		return found[0].ID, nil
	case 0:
		among := "see: deputy ps -a"
		if seen >= searched {
			among = fmt.Sprintf("only your newest %d were searched: give the whole id", searched)
		}
		return "", fmt.Errorf("no task that you may see ends in %s; %s", typed, among)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s could be any of these; give more of the id:", typed)
	for _, t := range found {
		fmt.Fprintf(&b, "\n  %s %s/%s %s", t.ID, t.Module, t.Action, t.State)
	}
	return "", fmt.Errorf("%s", b.String())
}

func (a *app) newest(ctx context.Context, c *client.Client) (string, error) {
	id := ""
	q := client.Query{Caller: a.caller(), Limit: 1}
	err := c.Each(ctx, q, func(t *deputy.Task) bool { id = t.ID; return false })
	if err == nil && id == "" {
		err = fmt.Errorf("you have no task yet; ask for one with: deputy run MODULE ACTION")
	}
	return id, err
}

// resolveAll does it for several, before anything is done to any of them.
func (a *app) resolveAll(ctx context.Context, c *client.Client, typed []string) ([]string, error) {
	ids := make([]string, len(typed))
	for i, t := range typed {
		id, err := a.resolve(ctx, c, t)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}
