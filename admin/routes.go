package admin

import (
	"net/http"
	"strings"

	"github.com/patgate/patgate/tokens"
)

// operation answers a request of the API with a body, or an error that becomes a problem.
type operation func(w http.ResponseWriter, r *http.Request, c *Caller) (any, error)

// routes adds the routes of the API.
func (h *Handler) routes() {
	h.api("GET /api/v1/me", h.getMe)
	if h.o.Links != nil {
		h.mux.HandleFunc("GET "+linkPath+"{code}", h.followLink)
	}
}

// api adds a route of the API, for those who are signed in.
func (h *Handler) api(pattern string, do operation) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c, problem := h.caller(r)
		if problem != nil {
			h.refuse(w, r, c, problem)
			return
		}
		c.Via = tokens.ViaAPI
		body, err := do(w, r, c)
		if err != nil {
			h.refuse(w, r, c, ProblemOf(err))
			return
		}
		writeAnswer(w, body)
	})
}

// answered is a body with a status other than 200.
type answered struct {
	status int
	body   any // nil: none
}

func writeAnswer(w http.ResponseWriter, body any) {
	status := http.StatusOK
	if a, ok := body.(answered); ok {
		status, body = a.status, a.body
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, "application/json", body)
}

// The bases of the API that clients of Atlassian's products know.
var compatibleBases = []string{"/rest/pat/latest/", "/rest/pat/1.0/"}

func isCompatible(path string) bool {
	for _, base := range compatibleBases {
		if strings.HasPrefix(path, base) {
			return true
		}
	}
	return false
}
