package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"deputy"
)

// digest is the SHA-256 of a line without its newline.
type digest = [sha256.Size]byte

const timeLayout = "2006-01-02T15:04:05.000Z" // as deputy.Time writes it

// record is what the chain needs to know of one line.
type record struct {
	ok   bool // it is a whole record; nothing else is set otherwise, but sum
	seq  uint64
	root bool   // it names no record before it
	prev digest // the hash that it names
	at   [len(timeLayout)]byte
	kind deputy.EventType
	sum  digest // its own hash
}

// readRecord reads one line without its newline. It decodes the first four
// members, whose places are fixed, and sees that the rest is JSON.
func readRecord(line []byte) record {
	r := readHead(line)
	r.ok = r.ok && json.Valid(line)
	r.sum = sha256.Sum256(line)
	return r
}

// readHead reads the fixed members at the start of a line, of which the rest
// need not be there.
func readHead(line []byte) (r record) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	if !ok {
		return record{}
	}
	if r.seq, rest, ok = cutNumber(rest); !ok {
		return record{}
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"prev":"`)); !ok {
		return record{}
	}
	if r.root = len(rest) > 0 && rest[0] == '"'; !r.root {
		if len(rest) < 2*len(r.prev) || !readHex(&r.prev, rest[:2*len(r.prev)]) {
			return record{}
		}
		rest = rest[2*len(r.prev):]
	}
	rest, ok = bytes.CutPrefix(rest, []byte(`","time":"`))
	if !ok || len(rest) < len(r.at) {
		return record{}
	}
	copy(r.at[:], rest)
	if rest, ok = bytes.CutPrefix(rest[len(r.at):], []byte(`","type":"`)); !ok {
		return record{}
	}
	kind, _, ok := bytes.Cut(rest, []byte{'"'})
	r.kind, r.ok = internKind(kind), ok
	return r
}

// internKind keeps the two types that the chain itself must know, without an
// allocation for each record; all others are "".
func internKind(b []byte) deputy.EventType {
	switch string(b) {
	case string(deputy.Checkpoint):
		return deputy.Checkpoint
	case string(deputy.Retired):
		return deputy.Retired
	}
	return ""
}

// cutNumber reads a decimal number without leading zeros.
func cutNumber(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		if n > (math.MaxUint64-9)/10 {
			return 0, nil, false
		}
		n = n*10 + uint64(b[i]-'0')
	}
	return n, b[i:], i > 0 && b[0] != '0'
}

// readHex reads lower-case hexadecimal digits, which are the only form that a
// hash is written in.
func readHex(to *digest, text []byte) bool {
	for _, c := range text {
		if 'A' <= c && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(to[:], text)
	return err == nil
}

func (r *record) head() Head {
	at, _ := time.Parse(timeLayout, string(r.at[:])) // an odd time is no fault of the chain: zero
	return Head{Seq: r.seq, Hash: hex.EncodeToString(r.sum[:]), Time: deputy.Time{Time: at}}
}

// Head names one record and, by its hash, everything before it. Kept elsewhere,
// it shows a later change of any of that.
type Head struct {
	Seq  uint64      `json:"seq"`
	Hash string      `json:"hash"` // hex SHA-256 of the record's line
	Time deputy.Time `json:"time"` // when that record was made
}

// String is the one-line form, "deputy-head 1 SEQ HASH TIME".
func (h Head) String() string { return fmt.Sprintf("deputy-head 1 %d %s %s", h.Seq, h.Hash, h.Time) }

// ParseHead reads the one-line form.
func ParseHead(text string) (Head, error) {
	word := strings.Fields(text)
	if len(word) != 5 || word[0] != "deputy-head" {
		return Head{}, fmt.Errorf("cannot read head %q: it should be: deputy-head 1 SEQ HASH TIME", text)
	}
	if word[1] != "1" {
		return Head{}, fmt.Errorf("cannot read head %q: its form %s is not known to this version", text, word[1])
	}
	var sum digest
	seq, err := strconv.ParseUint(word[2], 10, 64)
	if err != nil || seq == 0 || len(word[3]) != 2*len(sum) || !readHex(&sum, []byte(word[3])) {
		return Head{}, fmt.Errorf("cannot read head %q: it needs a number from 1 on and 64 lower-case hex digits", text)
	}
	at, err := time.Parse(timeLayout, word[4])
	if err != nil {
		return Head{}, fmt.Errorf("cannot read head %q: its time should look like %s", text, timeLayout)
	}
	return Head{Seq: seq, Hash: word[3], Time: deputy.Time{Time: at}}, nil
}
