package userdb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Between the monitor and `deputyd --role names` go lines. A question is
//
//	passwd NAME     group NAME
//
// and an answer, as soon as it is known and in any order, has tabs between the
// question's number, counted from 0, a verdict, and what was written:
//
//	3	found	alice:x:5001:5001::/home/alice:/bin/sh	5001 5002
//	4	none
//	5	failed	getent took longer than 2s
//
// A line "failed" without a number says why there are no answers at all.
const (
	found  = "found"
	none   = "none"
	failed = "failed"
)

const (
	maxLine = 64 << 10 // of an answer, bytes
	maxSaid = 4 << 20  // of all answers
)

func writeQuestions(w io.Writer, questions []Question) error {
	var b strings.Builder
	for _, q := range questions {
		fmt.Fprintf(&b, "%s %s\n", q.Kind, q.Name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func readQuestions(r io.Reader) ([]Question, error) {
	var questions []Question
	lines := bufio.NewScanner(io.LimitReader(r, maxSaid))
	for lines.Scan() {
		kind, name, _ := strings.Cut(lines.Text(), " ")
		q := Question{Kind(kind), name}
		if q.Kind != passwd && q.Kind != group || !q.askable() || len(questions) == maxAtATime {
			return nil, fmt.Errorf("cannot ask %q", lines.Text())
		}
		questions = append(questions, q)
	}
	return questions, lines.Err()
}

// readSaid reads answers until they end. What is no answer ends them: nothing
// that comes after it can be relied on. The error says why an answer is missing.
func readSaid(r io.Reader, questions []Question) (map[Question]Said, error) {
	said := map[Question]Said{}
	lines := bufio.NewScanner(io.LimitReader(r, maxSaid))
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		members := strings.Split(lines.Text(), "\t")
		if members[0] == failed && len(members) == 2 {
			return said, errors.New(sentence(members[1]))
		}
		i, err := strconv.Atoi(members[0])
		if err != nil || i < 0 || i >= len(questions) || len(members) < 2 {
			return said, fmt.Errorf("what they say cannot be understood: %.100q", lines.Text())
		}
		q := questions[i]
		if _, again := said[q]; again {
			return said, fmt.Errorf("they say two things of %s %q", q.what(), q.Name)
		}
		switch verdict := members[1]; {
		case verdict == none && len(members) == 2:
			said[q] = Said{None: true}
		case verdict == found && len(members) == 4:
			said[q] = Said{Entry: members[2], Groups: members[3]}
		case verdict == failed && len(members) == 3:
			said[q] = Said{Failed: sentence(members[2])}
		default:
			return said, fmt.Errorf("what they say cannot be understood: %.100q", lines.Text())
		}
	}
	return said, lines.Err()
}

// sentence makes a text fit to be shown: it may quote what a stranger wrote.
func sentence(text string) string {
	const most = 300
	if !printable(text) || text == "" {
		return fmt.Sprintf("%.*q", most, text)
	}
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
