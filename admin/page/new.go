package page

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

// newView is the form of a new token.
type newView struct {
	frame
	Form     form
	Filled   []string // by a link
	Unknown  []string // policies of a link that there are not
	Errors   map[string]string
	Presets  []preset
	Forever  bool
	Least    string // dates
	Most     string
	Cap      string // the longest lifetime, in words; empty: there is none
	CapBy    string
	Policies []admin.PolicyView
	Gates    []admin.GateView
	Methods  []choice
	Rights   admin.RightsView
	Preview  *admin.Preview
	Part     bool   // the preview alone is shown, with what is wrong
	ID       string // of the form, which is sent once
}

// preset is a lifetime that the form offers.
type preset struct {
	Value, Text, Date string
	Beyond            bool // the cap
}

const day = 24 * time.Hour

// presetDays are the lifetimes that the form offers, in days.
var presetDays = []int{7, 30, 60, 90}

// defaultDays is the lifetime that is selected at first.
const defaultDays = 30

func (s *site) newForm(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	v, err := s.newView(r, c)
	if err != nil {
		return err
	}
	v.Form, v.Filled = prefilled(r.URL.Query())
	v.complete()
	if len(v.Filled) > 0 {
		s.preview(r, c, v)
	}
	return s.show(w, http.StatusOK, "new", v)
}

// newView is the form without what is in it.
func (s *site) newView(r *http.Request, c *admin.Caller) (*newView, error) {
	v := &newView{frame: s.frame(r, c, "new", "New token"), Errors: map[string]string{}, ID: s.sent.id()}
	me, err := s.h.Me(r.Context(), c)
	if err != nil {
		return nil, err
	}
	v.Gates, v.Rights, v.Cap, v.CapBy = me.Gates, me.Rights, me.Rights.MaxLifetime, me.Rights.CapBy
	if v.Policies, err = s.h.Policies(r.Context()); err != nil {
		return nil, err
	}
	v.ends(&c.Rights, s.h.Now())
	for _, m := range methodChoices {
		v.Methods = append(v.Methods, choice{m.Value, m.Text})
	}
	return v, nil
}

// capped reports whether groups limit how long tokens live.
func capped(r *tokens.Rights) bool { return r.MaxLifetime > 0 && r.MaxLifetime != policy.Forever }

// ends fills in which ends the form offers.
func (v *newView) ends(r *tokens.Rights, now time.Time) {
	longest, capped := r.MaxLifetime, capped(r)
	days := slices.Clone(presetDays)
	if most := int(longest / day); capped && most > 0 && most < presetDays[len(presetDays)-1] && !slices.Contains(days, most) {
		days = append(days, most)
		slices.Sort(days)
	}
	for _, n := range days {
		d := time.Duration(n) * day
		v.Presets = append(v.Presets, preset{tokens.LifetimeText(d), count(n, "day"), date(now.Add(d)), capped && d > longest})
	}
	v.Forever = !capped
	v.Least = date(now.Add(day))
	if capped {
		v.Most = date(now.Add(longest))
	}
}

// complete fills in what is chosen where nothing is said.
func (v *newView) complete() {
	f := &v.Form
	f.Scope = cmp.Or(f.Scope, "limited")
	if f.Ends == "" {
		for _, p := range v.Presets {
			if !p.Beyond && (f.Ends == "" || p.Value == tokens.LifetimeText(defaultDays*day)) {
				f.Ends = p.Value
			}
		}
	}
	if f.Ends == "" {
		f.Ends = "date"
	}
	if f.Ends != "date" && f.Ends != "forever" && !slices.ContainsFunc(v.Presets, func(p preset) bool { return p.Value == f.Ends }) {
		v.Presets = append(v.Presets, preset{Value: f.Ends, Text: f.Ends})
	}
	if len(f.Rules) == 0 || f.Rules[len(f.Rules)-1].Path != "" {
		f.Rules = append(f.Rules, ruleRow{Methods: "read", Below: true})
	}
	f.Try.Method = cmp.Or(f.Try.Method, "GET")
	for _, name := range f.Policies {
		if !slices.ContainsFunc(v.Policies, func(p admin.PolicyView) bool { return p.Name == name }) {
			v.Unknown = append(v.Unknown, name)
		}
	}
}

// newToken handles the buttons of the form.
func (s *site) newToken(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	v, err := s.newView(r, c)
	if err != nil {
		return err
	}
	v.Form, v.ID = formOf(values), cmp.Or(values.Get("form"), v.ID)
	switch values.Get("do") {
	case "create":
		return s.create(w, r, c, v)
	case "add":
		v.complete()
		return s.show(w, http.StatusOK, "new", v)
	}
	v.complete()
	status := http.StatusOK
	if !s.preview(r, c, v) {
		status = http.StatusUnprocessableEntity
	}
	if r.Header.Get("X-Part") == "preview" {
		v.Part = v.Problem != nil
		return s.write(w, http.StatusOK, "new", "preview", v)
	}
	return s.show(w, status, "new", v)
}

// preview fills in what the token would be, or what is wrong with the form.
func (s *site) preview(r *http.Request, c *admin.Caller, v *newView) bool {
	n, err := v.Form.newToken()
	var try *admin.Try
	if err == nil {
		try, err = v.Form.Try.try()
	}
	if err == nil {
		v.Preview, err = s.h.Preview(r.Context(), c, n, try)
	}
	if err != nil {
		p := admin.ProblemOf(err)
		if p.Status != http.StatusBadRequest { // a form that is not complete yet is no event
			p = s.h.Refuse(r, c, err)
		}
		v.wrong(p)
		return false
	}
	return true
}

// wrong shows a problem beside the field that it is about.
func (v *newView) wrong(p *admin.Problem) {
	v.Problem = shownProblem(p)
	if field := fieldFor(p.Field); field != "" {
		v.Errors[field] = v.Problem.Detail
	}
}

// place is the place of a problem in a file, which means nothing to people who see a form.
var place = regexp.MustCompile(`^\S+:\d+(:\d+)?: `)

// shownProblem is a problem without places in manifests.
func shownProblem(p *admin.Problem) *admin.Problem {
	shown := *p
	var lines []string
	for line := range strings.SplitSeq(p.Detail, "\n") {
		if line != "The manifest would be refused:" {
			lines = append(lines, plain(place.ReplaceAllString(line, "")))
		}
	}
	shown.Detail = strings.Join(lines, "\n")
	return &shown
}

// rulePlace is the place of a problem in a list of rules.
var rulePlace = regexp.MustCompile(`^spec\.(limitTo|allow)\[(\d+)\][^: ]*: `)

// fieldPlace is in which field a problem is, as manifests call it.
var fieldPlace = regexp.MustCompile(`^spec\.[^: ]+: `)

// plain writes a problem without the names of manifests, which the form does not show.
func plain(line string) string {
	if m := rulePlace.FindStringSubmatch(line); m != nil {
		if n, err := strconv.Atoi(m[2]); err == nil {
			return fmt.Sprintf("rule %d: %s", n+1, line[len(m[0]):])
		}
	}
	return fieldPlace.ReplaceAllString(line, "")
}

// fieldFor is the part of the form for a field of the API.
func fieldFor(field string) string {
	field = strings.TrimPrefix(field, "spec.")
	end := strings.IndexAny(field, ".[")
	if end > 0 {
		field = field[:end]
	}
	switch field {
	case "displayName", "name":
		return "name"
	case "expires", "expiresIn", "forever":
		return "ends"
	case "limitTo", "allow", "policies", "unrestricted", "limits":
		return "scope"
	case "request", "client", "method", "path", "gate", "body":
		return "try"
	}
	return field
}

// create creates the token, and shows its value.
func (s *site) create(w http.ResponseWriter, r *http.Request, c *admin.Caller, v *newView) error {
	made, first := s.sent.begin(c.User, v.ID)
	if !first {
		return s.already(w, r, c, made)
	}
	n, err := v.Form.newToken()
	var created *admin.Created
	if err == nil {
		n.Form = v.ID
		created, err = s.h.Create(r.Context(), c, n)
	}
	if sent := new(tokens.SentError); errors.As(err, &sent) { // to another process
		s.sent.end(c.User, v.ID, sent.Name)
		return s.already(w, r, c, sent.Name)
	}
	if err != nil {
		s.sent.end(c.User, v.ID, "")
		p := s.h.Refuse(r, c, err)
		v.complete()
		v.wrong(p)
		return s.show(w, p.Status, "new", v)
	}
	s.sent.end(c.User, v.ID, created.Name)
	return s.value(w, r, c, created, false)
}

// already answers a form that was sent before.
func (s *site) already(w http.ResponseWriter, r *http.Request, c *admin.Caller, name string) error {
	v := struct {
		frame
		Name string
	}{s.frame(r, c, "new", "This form was sent already"), name}
	return s.show(w, http.StatusConflict, "already", v)
}

// valueView shows a value, once.
type valueView struct {
	frame
	Token    *admin.Created
	Rotated  bool
	Curl     string
	Snippets []admin.Snippet
	NoCode   string // why there are none
	Waiting  bool   // it is not in force everywhere yet
}

func (s *site) value(w http.ResponseWriter, r *http.Request, c *admin.Caller, made *admin.Created, rotated bool) error {
	v := valueView{frame: s.frame(r, c, "new", "Your new token"), Token: made, Rotated: rotated, Waiting: made.InForce != nil && !*made.InForce}
	if rotated {
		v.frame = s.frame(r, c, "mine", "The new value of your token")
	}
	list, err := s.h.Snippets(r.Context(), c, made.Name, "")
	if err != nil {
		v.NoCode = admin.ProblemOf(err).Detail
	}
	for _, one := range list {
		if one.Language == "curl" {
			v.Curl = one.Code
			continue
		}
		v.Snippets = append(v.Snippets, one)
	}
	return s.show(w, http.StatusCreated, "value", v)
}
