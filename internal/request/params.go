package request

import (
	"deputy"
	"deputy/internal/strictjson"
	"deputy/internal/wall"
)

// maxDepth keeps values within what the wall carries; the body's own object and a
// value in the innermost one count there.
const maxDepth = wall.MaxDepth - 2

// params reads the values of an action: one JSON object.
func params(body []byte, limit int) (deputy.Params, error) {
	if len(body) > limit {
		return nil, deputy.Refuse(deputy.TooLarge, "cannot read the body: it has more than %d bytes", limit)
	}
	object, err := strictjson.Object(body, strictjson.Limits{Bytes: max(limit, 1), Depth: maxDepth})
	if err != nil {
		return nil, deputy.Refuse(deputy.BadJSON, "%v", err)
	}
	if len(body) > wall.MaxName && !fits(object) {
		return nil, deputy.Refuse(deputy.BadJSON, "cannot read JSON: a name or a number is longer than %d bytes; send a shorter one", wall.MaxName)
	}
	return object, nil
}

// fits says whether the wall carries v: see wall.MaxName.
func fits(v any) bool {
	switch v := v.(type) {
	case deputy.Number:
		return len(v) <= wall.MaxName
	case []any:
		for _, item := range v {
			if !fits(item) {
				return false
			}
		}
	case map[string]any:
		for name, item := range v {
			if len(name) > wall.MaxName || !fits(item) {
				return false
			}
		}
	}
	return true
}
