package page

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/patgate/patgate/admin"
)

// peopleView lists who has tokens.
type peopleView struct {
	frame
	People []admin.Person
	Left   int // of those who left and have live tokens
	Total  int
	Text   string
}

// maxPeople is how many people a page shows; a search finds the others.
const maxPeople = 200

func (s *site) people(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	found, err := s.h.People(r.Context(), c)
	if err != nil {
		return err
	}
	v := peopleView{frame: s.frame(r, c, "people", "People"), Text: r.URL.Query().Get("q")}
	for _, p := range found {
		if p.Left {
			v.Left++
		}
		if strings.Contains(strings.ToLower(p.User), strings.ToLower(v.Text)) {
			v.People = append(v.People, p)
		}
	}
	v.Total = len(v.People)
	v.People = v.People[:min(len(v.People), maxPeople)]
	return s.show(w, http.StatusOK, "people", v)
}

// groupsView lists the groups and what they allow.
type groupsView struct {
	frame
	Groups []admin.GroupView
}

func (s *site) groups(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	found, err := s.h.Groups(r.Context(), c)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, "groups", groupsView{s.frame(r, c, "groups", "Groups"), found})
}

// manyView asks for confirmation before many tokens are revoked, and then shows the result.
type manyView struct {
	frame
	Many   admin.Many
	What   string // in words
	Found  *admin.RevokedMany
	Tokens []manyToken
	Used   int // of them in the last 24 hours
	Failed []manyFailed
	Sent   bool
}

// Revoked returns the number of tokens that were revoked.
func (v manyView) Revoked() int { return v.Found.Count - len(v.Failed) }

type manyToken struct {
	admin.Token
	Used bool // in the last 24 hours
}

type manyFailed struct{ Name, Why string }

// revokeMany asks for confirmation first: the form holds how many tokens its reader saw.
func (s *site) revokeMany(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	v := manyView{frame: s.frame(r, c, "all", "Revoke tokens"), Many: manyOf(values), Sent: values.Get("sure") == "yes"}
	v.What = manyText(&v.Many)
	if v.Many.Expect, err = strconv.Atoi(values.Get("expect")); err != nil || !v.Sent {
		v.Many.DryRun, v.Sent = true, false
	}
	if v.Many.User+v.Many.Group == "" && len(v.Many.Names) == 0 {
		return admin.Expected(http.StatusBadRequest, "invalid", "names", "no token is chosen, expected one at least: go back and tick those to revoke")
	}
	if v.Found, err = s.h.RevokeMany(r.Context(), c, &v.Many); err != nil {
		return err
	}
	for name, why := range v.Found.Failed {
		v.Failed = append(v.Failed, manyFailed{name, why})
	}
	slices.SortFunc(v.Failed, func(a, b manyFailed) int { return strings.Compare(a.Name, b.Name) })
	if v.Sent {
		v.Title = "Tokens are revoked"
		return s.show(w, http.StatusOK, "many", v)
	}
	if err := s.fillMany(r, c, &v); err != nil {
		return err
	}
	return s.show(w, http.StatusOK, "many", v)
}

// shownMany is the number of tokens that the confirmation shows.
const shownMany = 100

func (s *site) fillMany(r *http.Request, c *admin.Caller, v *manyView) error {
	for _, name := range v.Found.Names[:min(len(v.Found.Names), shownMany)] {
		d, err := s.h.Get(r.Context(), c, name)
		if err != nil {
			return err
		}
		one := manyToken{Token: d.Token}
		one.Used = d.LastUsed != nil && s.h.Now().Sub(d.LastUsed.Time) < day
		if one.Used {
			v.Used++
		}
		v.Tokens = append(v.Tokens, one)
	}
	return nil
}

func manyOf(values url.Values) admin.Many {
	return admin.Many{User: values.Get("user"), Group: values.Get("group"), Names: values["names"]}
}

// manyText says whose tokens are meant.
func manyText(m *admin.Many) string {
	switch {
	case m.User != "":
		return "of " + m.User
	case m.Group != "":
		return "of the members of " + m.Group
	}
	return "that you ticked"
}
