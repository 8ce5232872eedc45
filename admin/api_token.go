package admin

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/tokens"
)

func (h *Handler) getToken(w http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	if err := misdirected(w, r); err != nil {
		return nil, err
	}
	name, _ := nameOf(r)
	d, err := h.Get(r.Context(), c, name)
	if err != nil {
		return nil, about(name, err)
	}
	setTag(w, d.Revision)
	return d, nil
}

func (h *Handler) revokeToken(w http.ResponseWriter, r *http.Request, c *Caller, name string) (any, error) {
	o, err := readBody(r, "application/json", true)
	if err != nil {
		return nil, err
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	d, err := h.Revoke(r.Context(), c, name)
	if err != nil {
		return nil, err
	}
	setTag(w, d.Revision)
	return d, nil
}

func (h *Handler) rotateToken(w http.ResponseWriter, r *http.Request, c *Caller, name string, must tokens.Revision) (any, error) {
	o, err := readBody(r, "application/json", true)
	if err != nil {
		return nil, err
	}
	overlap, _ := o.overlap("overlap")
	lifetime, _ := o.lifetime("expiresIn")
	if err := o.done(); err != nil {
		return nil, err
	}
	made, err := h.Rotate(r.Context(), c, name, overlap, lifetime, must)
	if err != nil {
		return nil, err
	}
	setTag(w, made.Revision)
	return made, nil
}

// mergePatch is the content type of a change (RFC 7396).
const mergePatch = "application/merge-patch+json"

func (h *Handler) patchToken(w http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	if err := misdirected(w, r); err != nil {
		return nil, err
	}
	name, _ := nameOf(r)
	o, err := readBody(r, mergePatch, false)
	if err != nil {
		return nil, err
	}
	o.nulls = true
	fields := fieldsOf(o)
	if err := o.done(); err != nil {
		return nil, about(name, err)
	}
	must, err := h.matches(r, c, name)
	if err != nil {
		return nil, err
	}
	d, err := h.Update(r.Context(), c, name, fields, must)
	if err != nil {
		return nil, err
	}
	setTag(w, d.Revision)
	return d, nil
}

// fieldsOf reads a merge patch: null takes a field out.
func fieldsOf(o *object) (fields []edit.Field) {
	add := func(name string, v any, there bool) {
		if there {
			fields = append(fields, edit.Field{Key: name, Value: v})
		}
	}
	for _, name := range []string{"displayName", "description"} {
		if o.isNull(name) {
			add(name, nil, true)
		} else if text, there := o.text(name); there {
			add(name, text, true)
		}
	}
	for _, name := range []string{"policies", "schemes", "gates", "limitTo"} {
		if o.isNull(name) {
			add(name, nil, true)
			continue
		}
		list, there := o.texts(name)
		switch {
		case there && len(list) == 0:
			add(name, nil, true)
		case there && name == "limitTo":
			add(name, strings.Join(list, "\n")+"\n", !hasLineEnd(o, list))
		default:
			add(name, anys(list), there)
		}
	}
	if o.isNull("allow") {
		add("allow", nil, true)
	} else if list, there := o.objects("allow"); there {
		add("allow", list, true)
	}
	for _, name := range []string{"unrestricted", "suspended"} {
		if o.isNull(name) {
			add(name, nil, true)
		} else if set, there := o.flag(name); there && set {
			add(name, true, true)
		} else if there {
			add(name, nil, true)
		}
	}
	if o.isNull("expires") {
		add("expires", nil, true)
	} else if t, there := o.moment("expires"); there {
		add("expires", t, true)
	}
	return append(fields, clientsOf(o)...)
}

// hasLineEnd reports a rule that has more than one line.
func hasLineEnd(o *object, lines []string) bool {
	for _, line := range lines {
		if strings.ContainsAny(line, "\r\n\u0085\u2028\u2029") || strings.TrimSpace(line) == "" {
			o.fail("limitTo", "a rule that is empty or has more than one line, expected one rule a text")
			return true
		}
	}
	return false
}

// clientsOf reads the ranges of a merge patch: they are replaced as a whole.
func clientsOf(o *object) []edit.Field {
	if o.isNull("clients") {
		return []edit.Field{{Key: "clients"}}
	}
	clients, there := o.object("clients")
	if !there {
		return nil
	}
	value := map[string]any{}
	for _, name := range []string{"allow", "deny"} {
		if list, there := clients.texts(name); there && len(list) > 0 {
			value[name] = anys(list)
		}
	}
	o.within(clients)
	if len(value) == 0 {
		return []edit.Field{{Key: "clients"}}
	}
	return []edit.Field{{Key: "clients", Value: value}}
}

func anys(list []string) []any {
	values := make([]any, len(list))
	for i := range list {
		values[i] = list[i]
	}
	return values
}

func (h *Handler) getSnippets(_ http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	if values := r.URL.Query(); values.Has("lang") && values.Get("lang") == "" {
		return nil, fieldProblem("lang", "an empty language, expected one or no lang at all")
	}
	list, err := h.Snippets(r.Context(), c, r.PathValue("name"), r.URL.Query().Get("lang"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"items": list}, nil
}

func (h *Handler) getEvents(_ http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	list, err := h.Calls(r.Context(), c, r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"items": list}, nil
}
