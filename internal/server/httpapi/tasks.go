package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"deputy"
	"deputy/internal/request"
	"deputy/internal/server/asker"
	"deputy/internal/server/history"
)

// Tasks on a page of the list.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// findTask finds the task {id}. One that the caller may not see is said not to
// be there.
func (x *exchange) findTask() error {
	if !request.IsName(x.id) {
		return x.asker.UnknownTask(x.id)
	}
	found, err := x.asker.Find(x.r.Context(), x.id, x.r.Method == http.MethodPost) // a POST is a stop
	if err != nil {
		return err
	}
	x.task, x.seen = *found.Task, found.Sight
	return nil
}

// load finds tasks that the caller was given, with the sizes of their outputs,
// which may be as old as age.
func (x *exchange) load(ids []string, age time.Duration) ([]asker.Shown, error) {
	tasks := make([]asker.Shown, 0, len(ids))
	for _, id := range ids {
		s, err := x.asker.Given(x.r.Context(), id)
		if err != nil {
			return nil, err
		}
		if s.Sight == asker.Whole {
			x.api.sizes.fill(s.Task, age)
		}
		tasks = append(tasks, s)
	}
	x.asker.Waits(x.r.Context(), tasks)
	return tasks, nil
}

func forms(tasks []asker.Shown) []any {
	list := make([]any, len(tasks))
	for i := range tasks {
		list[i] = tasks[i].Form()
	}
	return list
}

// showTask answers with one task, once it has ended or the wait is over.
func (x *exchange) showTask() error {
	values, err := x.at.Only("wait")
	if err != nil {
		return err
	}
	wait, held, err := x.wait(values)
	if err != nil {
		return err
	}
	if held && x.task.Ended == nil && x.r.Method != http.MethodHead { // a HEAD is told of what there is now
		ctx, cancel := context.WithTimeout(x.r.Context(), wait)
		_ = x.api.History.Wait(ctx, x.id)
		cancel()
	}
	tasks, err := x.load([]string{x.id}, 0)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, tasks[0].Form())
}

// listTasks answers with a page of the tasks that the caller may see.
func (x *exchange) listTasks() error {
	q, err := x.readList()
	if err != nil {
		return err
	}
	selection, err := x.asker.Select(x.r.Context(), q.Lock != "" || q.Caller != "" || q.EndUser != "")
	if err != nil {
		return err
	}
	var scope *history.Scope
	if selection.Caller != "" { // then an index finds them
		scope = &history.Scope{Caller: selection.Caller}
	}
	if err := x.work(); err != nil {
		return err
	}
	tasks, next, err := x.api.History.Tasks(x.r.Context(), q, selection.Visible, scope)
	if errors.Is(err, history.ErrCursor) {
		return badRequest("cannot use cursor=%.50q: it is not one of this list; send the next of an answer, or none", q.Before)
	}
	if err != nil {
		return err
	}
	list := make([]asker.Shown, len(tasks))
	for i := range tasks {
		if list[i] = selection.Show(&tasks[i]); list[i].Sight == asker.Whole {
			x.api.sizes.fill(&tasks[i], 0)
		}
	}
	x.rest()
	x.asker.Waits(x.r.Context(), list)
	page := struct {
		Tasks []any   `json:"tasks"`
		Next  *string `json:"next"`
	}{Tasks: forms(list)}
	if next != "" {
		page.Next = &next
	}
	return x.answer(http.StatusOK, page)
}

func (x *exchange) readList() (q history.Query, err error) {
	values, err := x.at.Only("state", "module", "action", "lock", "caller", "end_user", "since", "limit", "cursor")
	if err != nil {
		return q, err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values.Get(name) == "" {
			return q, badRequest("cannot use %s= without a value; leave it out", name)
		}
	}
	q = history.Query{
		Module: values.Get("module"), Action: values.Get("action"), Lock: values.Get("lock"),
		Caller: values.Get("caller"), EndUser: values.Get("end_user"), Before: values.Get("cursor"),
	}
	if q.State, err = states(values["state"]); err != nil {
		return q, err
	}
	if q.Limit, err = limit(values); err != nil {
		return q, err
	}
	q.Since, err = since(values)
	return q, err
}

// since reads the time since which something is wanted; zero: none was given.
func since(values url.Values) (time.Time, error) {
	text := values.Get("since")
	if !values.Has("since") {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, badRequest("cannot use since=%.50q: it must be a time like 2026-01-31T12:00:00Z", text)
	}
	return t, nil
}

func limit(values url.Values) (int, error) {
	n, given, err := number(values, "limit")
	switch {
	case err != nil:
		return 0, err
	case !given:
		return defaultLimit, nil
	case n < 1 || n > maxLimit:
		return 0, badRequest("cannot use limit=%d: it must be 1 to %d", n, maxLimit)
	}
	return int(n), nil
}

// states reads the names of states: several parameters, or several in one,
// with commas between them.
func states(values []string) ([]deputy.State, error) {
	var list []deputy.State
	for _, value := range values {
		for text := range strings.SplitSeq(value, ",") {
			state := deputy.State(text)
			if !slices.Contains(deputy.States(), state) {
				return nil, badRequest("cannot use state=%.50q: the states are %s", text, strings.Trim(fmt.Sprintf("%q", deputy.States()), "[]"))
			}
			list = append(list, state)
		}
	}
	return list, nil
}
