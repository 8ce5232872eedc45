//go:build upstreams || fronts

package test

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/patgate/patgate/test/upstreams/lookalikes"
)

// goAPI is an API with Go's ServeMux, ParseForm and a struct for the body.
func goAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/rest/admin", goReport("admin"))
	mux.HandleFunc("/rest/admin/", goReport("admin"))
	mux.HandleFunc("/projects/{id}/issues", goReport("project"))
	mux.HandleFunc("/", goReport("other"))
	return mux
}

func goReport(route string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		told := map[string]any{"method": r.Method, "path": r.URL.Path, "route": route, "id": r.PathValue("id"), "host": r.Host,
			"query": map[string][]string(r.URL.Query()), "headers": r.Header}
		lookup := map[string][]string{}
		for _, name := range lookalikes.Lookups {
			if values := r.Header.Values(name); len(values) > 0 {
				lookup[name] = values
			}
		}
		told["lookup"] = lookup
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); strings.HasSuffix(kind, "json") {
			var body struct {
				DryRun any `json:"dryRun,omitempty"`
				Admin  any `json:"admin,omitempty"`
			}
			if err := json.NewDecoder(r.Body).Decode(&body); err == nil {
				told["json"] = body
			}
		} else {
			_ = r.ParseMultipartForm(1 << 20)
			told["form"], told["params"] = r.PostForm, r.Form
		}
		w.Header().Set("x-upstream", "1")
		_ = json.NewEncoder(w).Encode(told)
	}
}
