package main

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// options are the arguments, read and checked.
type options struct {
	hosts    []string
	ports    []uint16 // in the order given, each once
	timeout  time.Duration
	parallel int
}

func parse(args []string) (options, error) {
	flags := flag.NewFlagSet("deputy-portscan", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	portList := flags.String("ports", "1-1024", "")
	timeoutMS := flags.Int("timeout-ms", 1000, "")
	parallel := flags.Int("parallel", 128, "")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() == 0 {
		return options{}, fmt.Errorf("which host? see --help")
	}
	if *timeoutMS < 1 || *timeoutMS > 60_000 {
		return options{}, fmt.Errorf("cannot wait %d ms: --timeout-ms must be 1 to 60000", *timeoutMS)
	}
	if *parallel < 1 || *parallel > 4096 {
		return options{}, fmt.Errorf("cannot make %d connections at a time: --parallel must be 1 to 4096", *parallel)
	}
	ports, err := parsePorts(*portList)
	if err != nil {
		return options{}, err
	}
	return options{
		hosts: flags.Args(), ports: ports, parallel: *parallel,
		timeout: time.Duration(*timeoutMS) * time.Millisecond,
	}, nil
}

// parsePorts reads a list like "22,80,8000-8100".
func parsePorts(list string) ([]uint16, error) {
	var ports []uint16
	var seen [1 << 16]bool
	for _, item := range strings.Split(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(item), "-")
		if !isRange {
			last = first
		}
		from, errFrom := parsePort(first)
		to, errTo := parsePort(last)
		if errFrom != nil || errTo != nil {
			return nil, fmt.Errorf("cannot read the ports: %q is not a port from 1 to 65535, nor a range like 8000-8100", item)
		}
		if from > to {
			return nil, fmt.Errorf("cannot read the ports: the range %q ends before it begins; write %d-%d", item, to, from)
		}
		for port := int(from); port <= int(to); port++ {
			if !seen[port] {
				seen[port] = true
				ports = append(ports, uint16(port))
			}
		}
	}
	return ports, nil
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err == nil && port == 0 {
		err = strconv.ErrRange
	}
	return uint16(port), err
}
