package httpapi

import (
	"errors"
	"strconv"

	"deputy"
	"deputy/internal/server/asker"
)

// events sends the journal's records that this caller may see: those to come,
// or those behind Last-Event-ID or since a time; without follow up to now alone.
func (x *exchange) events() error {
	values, err := x.at.Only("since", "follow")
	if err != nil {
		return err
	}
	since, err := since(values)
	if err != nil {
		return err
	}
	follow := values.Get("follow")
	if values.Has("follow") && follow != "0" && follow != "1" {
		return badRequest("cannot send events: follow is 0 or 1, not %.50q", follow)
	}
	last, given, err := x.lastEventID()
	if err != nil {
		return err
	}
	from, end := x.api.History.Next(), x.api.History.Next()
	if values.Has("since") {
		from = 0
	}
	if given {
		if end := x.api.History.Applied(); uint64(last) > end { // whatever was sent had been applied
			return badRequest("cannot send what follows record %d: the journal ends at record %d, for it was restored from a back-up; begin anew, with Last-Event-ID: 0", last, end)
		}
		from = uint64(last) + 1
	}
	v := x.asker.Viewer()
	if _, err := x.asker.Rights(x.r.Context()); err != nil {
		return err
	}
	if x.beginsEvents() {
		return nil
	}
	s := x.openEvents()
	defer s.close()
	if follow == "0" && from >= end {
		return nil
	}
	err = x.api.History.EventsAt(x.r.Context(), from, nil, pace{x}, func(e deputy.Event, _ []byte) error {
		over := follow == "0" && e.Seq+1 >= end
		show, err := v.View(x.r.Context(), &e)
		if err == nil && show && !e.Time.Before(since) {
			err = x.sendEvent(s, &e)
		}
		if err == nil && over {
			return errAllSent
		}
		return err
	})
	if errors.Is(err, errAllSent) {
		return nil
	}
	return x.breakOff(err)
}

// errAllSent ends a stream that was wanted up to a record.
var errAllSent = errors.New("all was sent")

func (x *exchange) sendEvent(s *eventStream, e *deputy.Event) error {
	data, err := encode(asker.Event{Event: *e})
	x.rest()
	if err != nil {
		return err
	}
	return s.send(strconv.FormatUint(e.Seq, 10), string(e.Type), data[:len(data)-1])
}

// pace has events read as the sender's other work is done.
type pace struct{ x *exchange }

func (p pace) Work() error { return p.x.work() }
func (p pace) Rest()       { p.x.rest() }
