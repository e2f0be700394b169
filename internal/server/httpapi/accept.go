package httpapi

import (
	"strconv"
	"strings"
)

// What an output is sent as.
const (
	bytesType  = "application/octet-stream"
	eventsType = "text/event-stream"
)

// wantsEvents says whether an output is wanted as a stream of events rather than
// as bytes (RFC 9110, section 12.5.1): it must be named, and wanted no less.
func (x *exchange) wantsEvents() bool {
	wanted := map[string]float64{}
	for _, line := range x.r.Header["Accept"] {
		for item := range strings.SplitSeq(line, ",") {
			media, quality := mediaRange(item)
			wanted[media] = max(wanted[media], quality)
		}
	}
	bytes := 0.0
	for _, media := range []string{"*/*", "application/*", bytesType} { // the one that says most counts
		if quality, said := wanted[media]; said {
			bytes = quality
		}
	}
	return wanted[eventsType] > 0 && wanted[eventsType] >= bytes
}

// mediaRange reads "type/subtype;q=0.5".
func mediaRange(item string) (media string, quality float64) {
	media, params, _ := strings.Cut(item, ";")
	quality = 1
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || q < 0 || q > 1 {
				q = 0 // nothing that is malformed is wanted
			}
			quality = q
		}
	}
	return strings.ToLower(strings.TrimSpace(media)), quality
}
