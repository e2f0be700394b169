package history

import (
	"bytes"
	"encoding/json"
	"fmt"

	"deputy"
)

// record is what the index needs of a deputy.Event; every member is the one of
// the same name there. Params stay as they were written, so that no number
// loses a digit.
type record struct {
	Seq        uint64           `json:"seq"`
	Prev       string           `json:"prev"`
	Time       deputy.Time      `json:"time"`
	Type       deputy.EventType `json:"type"`
	Caller     deputy.Caller    `json:"caller"`
	EndUser    string           `json:"end_user"`
	Module     string           `json:"module"`
	Action     string           `json:"action"`
	Tasks      []taskRecord     `json:"tasks"`
	Task       string           `json:"task"`
	Attempt    int              `json:"attempt"`
	PID        int              `json:"pid"`
	BootNS     int64            `json:"boot_ns"`
	State      deputy.State     `json:"state"`
	Reason     string           `json:"reason"`
	Exit       *deputy.Exit     `json:"exit"`
	Receipt    *deputy.Receipt  `json:"receipt"`
	Left       int              `json:"leftover"`
	Out        *deputy.Output   `json:"stdout"`
	Err        *deputy.Output   `json:"stderr"`
	To         uint64           `json:"to"`
	IDs        []string         `json:"ids"`
	Checkpoint json.RawMessage  `json:"checkpoint"`
}

type taskRecord struct {
	ID     string          `json:"id"`
	Joined bool            `json:"joined"`
	Queued bool            `json:"queued"`
	Params json.RawMessage `json:"params"`
	Lock   *string         `json:"lock"`
}

// checkpoint is what the index needs of the monitor's state: the live tasks,
// whose own records may have been retired.
type checkpoint struct {
	Tasks map[string]*liveTask `json:"tasks"`
}

// liveTask hides the params of a deputy.LiveTask behind their text, for the same
// reason as record does.
type liveTask struct {
	deputy.LiveTask
	Params json.RawMessage `json:"params"`
}

// decode reads a journal line without its newline.
func decode(line []byte) (*record, error) {
	r := new(record)
	if err := json.Unmarshal(line, r); err != nil {
		return nil, fmt.Errorf("cannot read record: %w", err)
	}
	if r.Seq == 0 || r.Type == "" {
		return nil, fmt.Errorf("cannot read record: it has no number or no type")
	}
	return r, nil
}

// slim takes from a line what is too large to be kept twice: the text of the
// policy and the monitor's own state. Other lines stay as they are.
func slim(r *record, line []byte) ([]byte, error) {
	if r.Type != deputy.Checkpoint && r.Type != deputy.PolicyLoaded && r.Type != deputy.MonitorStart {
		return line, nil
	}
	e, err := decodeEvent(line)
	if err != nil {
		return nil, err
	}
	e.Files, e.Checkpoint = nil, nil
	return json.Marshal(e)
}

// decodeEvent reads a whole event.
func decodeEvent(line []byte) (e deputy.Event, err error) {
	if err = json.Unmarshal(line, &e); err != nil {
		err = fmt.Errorf("cannot read record: %w", err)
	}
	return e, err
}

// typeOf reads the type of a line without decoding it: a record begins
// {"seq":N,"prev":"HEX","time":"…","type":"…" (see the journal's format).
func typeOf(line []byte) deputy.EventType {
	_, rest, _ := bytes.Cut(line, []byte(`"type":"`))
	kind, _, _ := bytes.Cut(rest, []byte{'"'})
	return deputy.EventType(kind)
}

// decodeParams gives a task's values: an empty object where there are none.
func decodeParams(text json.RawMessage) deputy.Params {
	var params deputy.Params
	if len(text) > 0 {
		_ = json.Unmarshal(text, &params) // it was valid JSON when the record was decoded
	}
	if params == nil {
		params = deputy.Params{}
	}
	return params
}
