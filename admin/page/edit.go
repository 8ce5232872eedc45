package page

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/tokens"
)

// editForm holds the fields of the form of a change. Lists have what the token keeps.
type editForm struct {
	Name, Description  string
	Date               string // another end; empty: as it is
	Cap                string // the longest lifetime; empty: there is none, or the caller may not move the end later
	Policies, Lines    []string
	Allow              []allowRow // rules in their long form
	Gates, Schemes     []string
	AllowFrom          []string
	Least, Most        string
	AllGates           []string
	AllSchemes         []string
	Ranges, DenyRanges []string
	More               string // rules that are added
	Revision           string
}

// allowRow is a rule in its long form.
type allowRow struct {
	Index string
	Text  string
	Keep  bool
}

// allowRows shows rules in their long form.
func allowRows(rules []any) (rows []allowRow) {
	for i, rule := range rules {
		text, err := json.Marshal(rule)
		if err != nil {
			text = []byte("a rule that can't be shown")
		}
		rows = append(rows, allowRow{strconv.Itoa(i), string(text), true})
	}
	return rows
}

// keptRules are the rules whose rows are ticked.
func (e *editForm) keptRules(rules []any, sent []string) (list []any) {
	for i := range e.Allow {
		if e.Allow[i].Keep = slices.Contains(sent, e.Allow[i].Index); e.Allow[i].Keep {
			list = append(list, rules[i])
		}
	}
	return list
}

func (s *site) editForm(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	v, err := s.tokenView(r, c)
	if err != nil {
		return err
	}
	s.fillEdit(c, v)
	return s.show(w, http.StatusOK, "edit", v)
}

// fillEdit fills in what the token has.
func (s *site) fillEdit(c *admin.Caller, v *tokenView) {
	d := v.Token
	v.Title = "Change " + d.DisplayName
	e := &v.Edit
	*e = editForm{
		Name: d.DisplayName, Description: d.Description, Policies: d.Policies, Lines: d.LimitTo, Allow: allowRows(d.Allow), Gates: d.Gates, AllGates: d.Gates,
		Schemes: d.Schemes, AllSchemes: d.Schemes, Least: date(s.h.Now().Add(day)), Revision: string(d.Revision),
	}
	if d.Clients != nil {
		e.AllowFrom, e.Ranges, e.DenyRanges = d.Clients.Allow, d.Clients.Allow, d.Clients.Deny
	}
	if d.Expires != nil {
		e.Most = date(*d.Expires)
	}
	if capped(&c.Rights) && v.Own && c.Actor.Admin { // for others an end only moves earlier
		e.Cap, e.Most = tokens.LifetimeText(c.Rights.MaxLifetime), date(d.Issued.Add(c.Rights.MaxLifetime))
	}
}

// edit changes a token.
func (s *site) edit(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	v, err := s.tokenView(r, c)
	if err != nil {
		return err
	}
	s.fillEdit(c, v)
	if s.h.Secure() { // whatever was sent
		_, err := s.h.Update(r.Context(), c, v.Token.Name, []edit.Field{{Key: "displayName", Value: values.Get("name")}}, "")
		return err
	}
	changed, err := v.Edit.change(values, v.Token)
	if err == nil && len(changed) == 0 {
		return back(w, r, v.Token.Name, "unchanged")
	}
	if err == nil {
		fields, failed := admin.ChangeOf(changed)
		if err = failed; err == nil {
			_, err = s.h.Update(r.Context(), c, v.Token.Name, fields, tokens.Revision(values.Get("revision")))
		}
	}
	if err == nil {
		return back(w, r, v.Token.Name, "changed")
	}
	p := shownProblem(s.h.Refuse(r, c, err))
	v.Problem = p
	if field := fieldFor(p.Field); field != "" {
		v.Errors[field] = p.Detail
	}
	return s.show(w, p.Status, "edit", v)
}

// change takes over what was sent, and returns what of it is new, as the API takes it.
func (e *editForm) change(values url.Values, d *admin.Details) (map[string]any, error) {
	was := *e
	e.Name, e.Description, e.Date, e.More = values.Get("name"), strings.TrimSpace(values.Get("description")), values.Get("date"), values.Get("more")
	e.Policies, e.Lines, e.Gates, e.Schemes = kept(was.Policies, values["policy"]), kept(was.Lines, values["line"]), kept(was.Gates, values["gate"]), kept(was.Schemes, values["scheme"])
	e.AllowFrom = kept(was.Ranges, values["allow-from"])
	changed := map[string]any{}
	if e.Name != was.Name {
		changed["displayName"] = e.Name
	}
	if e.Description != was.Description {
		changed["description"] = e.Description
		if e.Description == "" {
			changed["description"] = nil
		}
	}
	if e.Date != "" {
		changed["expires"] = e.Date + "T00:00:00Z"
	}
	for _, list := range []struct {
		field    string
		was, now []string
	}{
		{"policies", was.Policies, e.Policies}, {"limitTo", was.Lines, append(slices.Clone(e.Lines), linesOf(e.More)...)},
		{"gates", was.Gates, e.Gates}, {"schemes", was.Schemes, e.Schemes},
	} {
		if slices.Equal(list.was, list.now) {
			continue
		}
		if len(list.now) == 0 && (list.field == "gates" || list.field == "schemes") {
			return nil, admin.Expected(http.StatusBadRequest, "invalid", list.field, "none is left, which would stand for all of them: expected one at least; revoke the token to end it")
		}
		changed[list.field] = anys(list.now)
	}
	if !slices.Equal(was.Ranges, e.AllowFrom) {
		if len(e.AllowFrom) == 0 {
			return nil, admin.Expected(http.StatusBadRequest, "invalid", "clients", "no address is left, which would stand for all of them: expected one at least")
		}
		clients := map[string]any{"allow": anys(e.AllowFrom)}
		if len(was.DenyRanges) > 0 {
			clients["deny"] = anys(was.DenyRanges)
		}
		changed["clients"] = clients
	}
	if rules := e.keptRules(d.Allow, values["allow"]); len(rules) < len(d.Allow) {
		changed["allow"] = rules
		if len(rules) == 0 {
			changed["allow"] = nil
		}
	}
	if d.Free && len(d.Policies)+len(d.LimitTo) == 0 && e.More != "" {
		changed["unrestricted"] = nil // rules are less than everything
	}
	return changed, nil
}

// kept are those of a list that were sent, in their order.
func kept(was, sent []string) (list []string) {
	for _, one := range was {
		if slices.Contains(sent, one) {
			list = append(list, one)
		}
	}
	return list
}
