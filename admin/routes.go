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
	h.mux.HandleFunc("GET /api/v1/openapi.json", h.getOpenAPI)
	h.api("GET /api/v1/me", h.getMe)
	h.api("GET /api/v1/tokens", h.listTokens)
	h.api("POST /api/v1/tokens", h.createToken)
	h.api("POST /api/v1/tokens:preview", h.previewToken)
	h.api("POST /api/v1/tokens:revoke", h.revokeTokens)
	h.api("GET /api/v1/tokens/{name}", h.getToken)
	h.api("PATCH /api/v1/tokens/{name}", h.patchToken)
	h.api("POST /api/v1/tokens/{name}", h.postToken)
	h.api("GET /api/v1/tokens/{name}/snippets", h.getSnippets)
	h.api("GET /api/v1/tokens/{name}/events", h.getEvents)
	for _, base := range compatibleBases {
		h.api("GET "+base+"tokens", h.patList)
		h.api("POST "+base+"tokens", h.patCreate)
		h.api("POST "+base+"tokens/search", h.patSearch)
		h.api("DELETE "+base+"tokens/{id}", h.patDelete)
	}
	h.mux.HandleFunc("POST /logout", h.logOut)
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
