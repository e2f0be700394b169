package httpapi

import (
	"net/http"
	"strings"

	"deputy"
	"deputy/internal/request"
)

// access says what keeps one caller's affairs from another's.
type access int

const (
	undeclared access = iota // such a route is refused at the start
	public                   // nothing of anybody is shown
	decided                  // the monitor decides, with the request itself
	filtered                 // the handler shows only what the caller may see
	visible                  // the task {id} must be one that the caller may see; otherwise 404
)

// route is one line of the API. GET stands for HEAD, too. What is asked of the monitor
// is read by its line in request.Routes.
type route struct {
	method string
	path   string // {module}, {action}, {id}, {stream} stand for one segment
	access access
	handle func(*exchange) error

	segments []string // as request.Target has them, "*" for a name
}

// table is what this front door answers in its own way, and behind it whatever else may
// be asked of the monitor: operators' verbs, whose lines say what they are answered with.
func table(asks request.Table) []route {
	routes := []route{
		{method: "GET", path: "/healthz", access: public, handle: (*exchange).health},
		{method: "GET", path: "/v1/actions", access: decided, handle: (*exchange).listActions},
		{method: "GET", path: "/v1/actions/{module}/{action}", access: decided, handle: (*exchange).showAction},
		{method: "POST", path: "/v1/actions/{module}/{action}", access: decided, handle: (*exchange).call},
		{method: "POST", path: "/v1/explain/{module}/{action}", access: decided, handle: (*exchange).explain},
		{method: "GET", path: "/v1/tasks", access: filtered, handle: (*exchange).listTasks},
		{method: "GET", path: "/v1/tasks/{id}", access: visible, handle: (*exchange).showTask},
		{method: "GET", path: "/v1/tasks/{id}/stdout", access: visible, handle: (*exchange).stdout},
		{method: "GET", path: "/v1/tasks/{id}/stderr", access: visible, handle: (*exchange).stderr},
		{method: "POST", path: "/v1/tasks/{id}/stop", access: visible, handle: (*exchange).stop}, // then the monitor decides
		{method: "GET", path: "/v1/events", access: filtered, handle: (*exchange).events},
	}
	for i := range asks {
		if r := &asks[i]; r.Answer != nil {
			routes = append(routes, route{method: r.Method, path: r.Path, access: decided, handle: verb(r)})
		}
	}
	return ready(routes)
}

// ready takes the paths apart. A line that does not say what keeps one caller's affairs
// from another's would be open to everybody: with it nothing is served at all.
func ready(routes []route) []route {
	for i, r := range routes {
		switch {
		case r.access == undeclared:
			panic("the route " + r.method + " " + r.path + " has no access")
		case r.handle == nil:
			panic("the route " + r.method + " " + r.path + " has no handler")
		}
		routes[i].segments = request.Segments(r.path)
	}
	return routes
}

// route finds the line of the table for x and takes its names from the path.
func (x *exchange) route() (*route, error) {
	var allowed []string
	for i := range x.api.routes {
		r := &x.api.routes[i]
		if !x.at.Is(r.segments...) {
			continue
		}
		if r.method == x.r.Method || r.method == http.MethodGet && x.r.Method == http.MethodHead {
			r.name(x)
			return r, nil
		}
		allowed = append(allowed, r.method)
		if r.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if allowed == nil {
		return nil, refuse(http.StatusNotFound, deputy.BadRequest,
			"cannot find %.100q: there is no such path; the paths begin with /v1/actions, /v1/explain, /v1/tasks, /v1/queues, /v1/events", "/"+strings.Join(x.at.Path, "/"))
	}
	methods := strings.Join(allowed, ", ")
	x.w.Header().Set("Allow", methods)
	return nil, refuse(http.StatusMethodNotAllowed, deputy.BadRequest, "cannot %.20s this path; use %s", x.r.Method, methods)
}

// name takes the names of the path.
func (r *route) name(x *exchange) {
	for i, what := range strings.Split(r.path[1:], "/") {
		switch what {
		case "{module}":
			x.target.module = x.at.Path[i]
		case "{action}":
			x.target.action = x.at.Path[i]
		case "{id}":
			x.id = x.at.Path[i]
		}
	}
}
