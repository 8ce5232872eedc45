package page

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

// tokenView is a page about one token.
type tokenView struct {
	frame
	Token    *admin.Details
	Own      bool // it is the caller's
	Calls    []admin.Call
	Examples []example
	Observes bool              // whether uses are seen here
	Bounds   []tokens.RuleView // of gates and groups
	Gates    []admin.GateView
	Recent   []use // in the last 24 hours
	Count    int   // of calls in them
	Try      tryForm
	Verdict  *explain.Explanation
	Errors   map[string]string
	Edit     editForm
	Rotate   rotateForm
	ID       string
}

// example is a rule of a token, and how it was used.
type example struct {
	admin.Example
	Known bool // how it was used
	Uses  int
	Last  time.Time
}

// use counts the uses of a token by a client.
type use struct {
	Client  string
	Gate    string
	Count   int
	Refused int
	Last    time.Time
}

func (s *site) tokenView(r *http.Request, c *admin.Caller) (*tokenView, error) {
	name := r.PathValue("name")
	d, err := s.h.Get(r.Context(), c, name)
	if err != nil {
		return nil, err
	}
	v := &tokenView{frame: s.frame(r, c, "mine", d.DisplayName), Token: d, Own: d.User == c.User, Observes: s.h.Observes(), Errors: map[string]string{}}
	if !v.Own {
		v.At = "all"
	}
	if v.Calls, err = s.h.Calls(r.Context(), c, name); err != nil {
		return nil, err
	}
	v.Recent, v.Count = usesSince(v.Calls, s.h.Now().Add(-24*time.Hour))
	me, err := s.h.Me(r.Context(), c)
	if err != nil {
		return nil, err
	}
	for _, g := range me.Gates {
		if d.EveryGate || slices.Contains(d.Gates, g.Name) {
			v.Gates = append(v.Gates, g)
		}
	}
	return v, nil
}

// usesSince sums up the calls since a moment by client and gate, the last first.
func usesSince(calls []admin.Call, since time.Time) (list []use, total int) {
	for _, call := range calls {
		if call.Time.Before(since) {
			continue
		}
		total++
		i := slices.IndexFunc(list, func(u use) bool { return u.Client == call.Client && u.Gate == call.Gate })
		if i < 0 {
			list, i = append(list, use{Client: call.Client, Gate: call.Gate, Last: call.Time}), len(list)
		}
		list[i].Count++
		if call.Decision != "allow" {
			list[i].Refused++
		}
	}
	return list, total
}

func (s *site) token(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	v, err := s.tokenView(r, c)
	if err != nil {
		return err
	}
	return s.showToken(w, r, c, http.StatusOK, v)
}

func (s *site) showToken(w http.ResponseWriter, r *http.Request, c *admin.Caller, status int, v *tokenView) error {
	found, err := s.h.Examples(r.Context(), c, v.Token.Name)
	if err != nil && admin.ProblemOf(err).Status != http.StatusNotFound { // broken manifests show no rules
		return err
	}
	for _, e := range found {
		v.Examples = append(v.Examples, exampleOf(e, v.Token.Rules))
	}
	for _, rule := range v.Token.Rules {
		if rule.Level != policy.LevelGrant.String() {
			v.Bounds = append(v.Bounds, rule.RuleView)
		}
	}
	v.Try.Method = cmp.Or(v.Try.Method, "GET")
	return s.show(w, status, "token", v)
}

// exampleOf adds to an example how its rule was used, if it allows calls.
func exampleOf(e admin.Example, rules []admin.RuleView) example {
	shown := example{Example: e}
	for i := range rules {
		r := &rules[i]
		if e.Denies || r.Uses == nil || r.Policy != e.Policy || r.Text != e.Rule {
			continue
		}
		shown.Known, shown.Uses = true, int(min(*r.Uses, math.MaxInt32))
		if r.LastUsed != nil {
			shown.Last = *r.LastUsed
		}
		break
	}
	return shown
}

// try evaluates a request.
func (s *site) try(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	v, err := s.tokenView(r, c)
	if err != nil {
		return err
	}
	v.Try = tryFormOf(values)
	try, err := v.Try.try()
	switch {
	case err == nil && try == nil:
		v.Errors["try"] = "The path is empty, expected one such as /rest/api/2/issue/JRA-1."
	case err == nil:
		v.Verdict, err = s.h.Try(r.Context(), c, v.Token.Name, try)
	}
	status := http.StatusOK
	if err != nil {
		p := admin.ProblemOf(err)
		if fieldFor(p.Field) != "try" {
			return err
		}
		v.Errors["try"], status = shownProblem(p).Detail, p.Status
	}
	return s.showToken(w, r, c, status, v)
}

// back leads to the page of a token after a change.
func back(w http.ResponseWriter, r *http.Request, name, done string) error {
	http.Redirect(w, r, "/tokens/"+url.PathEscape(name)+"?done="+done, http.StatusSeeOther)
	return nil
}

// suspend suspends a token, or lifts that.
func (s *site) suspend(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	change, done := map[string]any{"suspended": true}, "suspended"
	if values.Get("suspended") == "false" {
		change, done = map[string]any{"suspended": nil}, "lifted"
	}
	fields, err := admin.ChangeOf(change)
	if err == nil {
		_, err = s.h.Update(r.Context(), c, r.PathValue("name"), fields, "")
	}
	if err != nil {
		return err
	}
	return back(w, r, r.PathValue("name"), done)
}

// rotateForm holds the fields of the form of a rotation.
type rotateForm struct{ Overlap, Lifetime string }

func (s *site) rotateForm(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	v, err := s.tokenView(r, c)
	if err != nil {
		return err
	}
	v.Title, v.ID, v.Rotate.Overlap = "Rotate "+v.Token.DisplayName, s.sent.id(), "1d"
	return s.show(w, http.StatusOK, "rotate", v)
}

func (s *site) rotate(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	name, id := r.PathValue("name"), cmp.Or(values.Get("form"), s.sent.id())
	form := rotateForm{values.Get("overlap"), strings.TrimSpace(values.Get("lifetime"))}
	if made, first := s.sent.begin(c.User, id); !first {
		return s.already(w, r, c, made)
	}
	overlap, err := admin.LifetimeOf("overlap", form.Overlap)
	var lifetime time.Duration
	if err == nil {
		lifetime, err = admin.LifetimeOf("lifetime", form.Lifetime)
	}
	var made *admin.Created
	if err == nil {
		made, err = s.h.Rotate(r.Context(), c, name, overlap, lifetime, tokens.Revision(values.Get("revision")))
	}
	if err == nil {
		s.sent.end(c.User, id, name)
		return s.value(w, r, c, made, true)
	}
	s.sent.end(c.User, id, "")
	v, failed := s.tokenView(r, c)
	if failed != nil {
		return failed
	}
	p := shownProblem(s.h.Refuse(r, c, err))
	v.Title, v.ID, v.Rotate, v.Problem = "Rotate "+v.Token.DisplayName, id, form, p
	switch p.Field {
	case "overlap", "lifetime":
		v.Errors[p.Field] = p.Detail
	case "expires":
		v.Errors["lifetime"] = p.Detail
	}
	return s.show(w, p.Status, "rotate", v)
}

func (s *site) revokeForm(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	v, err := s.tokenView(r, c)
	if err != nil {
		return err
	}
	v.Title = "Revoke " + v.Token.DisplayName
	return s.show(w, http.StatusOK, "revoke", v)
}

func (s *site) revoke(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	if _, err := readForm(r); err != nil {
		return err
	}
	if _, err := s.h.Revoke(r.Context(), c, r.PathValue("name")); err != nil {
		return err
	}
	return back(w, r, r.PathValue("name"), "revoked")
}
