package httpapi

import (
	"net/http"
	"strings"

	"deputy"
	"deputy/internal/output"
)

// parseRange reads the Range of a request for a file of size bytes (RFC 9110,
// section 14.2): the first and last byte. A Range that is malformed, has several
// ranges, or stands behind an If-Range, for which there are no validators here,
// is ignored, as the RFC has it.
func parseRange(h http.Header, size int64) (first, last int64, ok bool) {
	spec, found := strings.CutPrefix(h.Get("Range"), "bytes=")
	if !found || h.Get("If-Range") != "" || strings.Contains(spec, ",") {
		return 0, 0, false
	}
	from, to, found := strings.Cut(strings.TrimSpace(spec), "-")
	if !found {
		return 0, 0, false
	}
	if from == "" { // the last N bytes
		n, err := parseNumber(to)
		if err != nil {
			return 0, 0, false
		}
		if n == 0 {
			return size, size, true // nothing: it cannot be satisfied
		}
		return max(size-n, 0), size - 1, true
	}
	first, err := parseNumber(from)
	if err != nil {
		return 0, 0, false
	}
	last = max(size-1, first)
	if to != "" {
		n, err := parseNumber(to)
		if err != nil || n < first {
			return 0, 0, false
		}
		last = min(last, n)
	}
	return first, last, true
}

// rangeEnd is the byte before which a range ends: one that runs into the gap
// ends there. A range that starts beyond the end or in the gap is not ok.
func rangeEnd(info output.Info, first, last int64) (end int64, ok bool) {
	end = min(last+1, info.Size)
	if gap := info.Gap; gap != nil {
		if gap[0] <= first && first < gap[1] {
			return 0, false
		}
		if first < gap[0] {
			end = min(end, gap[0])
		}
	}
	return end, first < end
}

func unsatisfiable(info output.Info, first int64) error {
	if info.Gap != nil && info.Gap[0] <= first && first < info.Gap[1] {
		return refuse(http.StatusRequestedRangeNotSatisfiable, deputy.BadRequest,
			"cannot read from byte %d: bytes %s are gone; read on at %d", first, formatGap(info.Gap), info.Gap[1])
	}
	return refuse(http.StatusRequestedRangeNotSatisfiable, deputy.BadRequest,
		"cannot read from byte %d: there are %d bytes", first, info.Size)
}
