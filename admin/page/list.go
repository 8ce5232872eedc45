package page

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/patgate/patgate/admin"
)

// listView is a list of tokens.
type listView struct {
	frame
	Tokens   []admin.Token
	Total    int
	Filtered bool
	Query    filter
	States   []string
	Gates    []string
	Groups   []string
	Unused   []choice
	Sorts    []choice
	First    string // the address of the first page; empty: this is it
	Next     string // of the next; empty: there is none
	Everyone bool   // others' tokens too
	Rights   admin.RightsView
	Wrong    map[string]string // what is wrong with a filter
}

// choice is an option of a select.
type choice struct{ Value, Text string }

// filter holds the fields of the form of a list.
type filter struct{ Text, State, Gate, User, Group, Unused, Sort string }

// sorts are the orders that the page offers.
var sorts = []choice{
	{"-issued", "Newest first"}, {"displayName", "Name"}, {"expires", "Ends first"}, {"-lastUsed", "Last used"}, {"state", "State"},
}

// sortsOfAll are those of a list of everybody's tokens.
var sortsOfAll = append(append([]choice{}, sorts...), choice{"user", "User"})

// unusedChoices are for how long a token was not used.
var unusedChoices = []choice{{"7", "7 days"}, {"30", "30 days"}, {"90", "90 days"}}

// stateChoices are the states in the order of interest.
var stateChoices = []string{"active", "expires-soon", "suspended", "deactivated", "not-yet-valid", "expired", "revoked", "canary"}

// pageLimit is how many tokens a page shows.
const pageLimit = 25

func (s *site) mine(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	return s.list(w, r, c, false)
}

func (s *site) all(w http.ResponseWriter, r *http.Request, c *admin.Caller) error {
	if _, err := s.h.Groups(r.Context(), c); err != nil { // for administrators alone
		return err
	}
	return s.list(w, r, c, true)
}

func (s *site) list(w http.ResponseWriter, r *http.Request, c *admin.Caller, everyone bool) error {
	f := filterOf(r.URL.Query())
	v := listView{frame: s.frame(r, c, "mine", "My tokens"), Query: f, States: stateChoices[:len(stateChoices)-1], Sorts: sorts, Unused: unusedChoices, Everyone: everyone}
	q := &admin.Query{Text: f.Text, Gate: f.Gate, Sort: f.Sort, Limit: pageLimit, Cursor: r.URL.Query().Get("cursor"), User: c.User}
	if f.State != "" {
		q.States = []string{f.State}
	}
	if everyone {
		v.frame = s.frame(r, c, "all", "All tokens")
		v.States, v.Sorts = stateChoices, sortsOfAll
		q.User, q.Group = f.User, f.Group
		if days, err := strconv.Atoi(f.Unused); err == nil {
			q.UnusedSince = s.h.Now().Add(-time.Duration(days) * 24 * time.Hour)
		}
	}
	f.Sort = ""
	v.Filtered = f != filter{}
	if err := s.fillList(r, c, &v, q); err != nil {
		return err
	}
	return s.show(w, http.StatusOK, "list", v)
}

func (s *site) fillList(r *http.Request, c *admin.Caller, v *listView, q *admin.Query) error {
	me, err := s.h.Me(r.Context(), c)
	if err != nil {
		return err
	}
	v.Rights = me.Rights
	for _, g := range me.Gates {
		v.Gates = append(v.Gates, g.Name)
	}
	if v.Everyone {
		groups, err := s.h.Groups(r.Context(), c)
		if err != nil {
			return err
		}
		for _, g := range groups {
			v.Groups = append(v.Groups, g.Name)
		}
	}
	found, err := s.h.List(r.Context(), c, q)
	if err != nil {
		return err
	}
	v.Tokens, v.Total = found.Items, found.Total
	values := r.URL.Query()
	values.Del("done")
	if values.Has("cursor") {
		values.Del("cursor")
		v.First = addressOf(r, values)
	}
	if found.Next != "" {
		values.Set("cursor", found.Next)
		v.Next = addressOf(r, values)
	}
	return nil
}

func addressOf(r *http.Request, values url.Values) string {
	if len(values) == 0 {
		return r.URL.Path
	}
	return r.URL.Path + "?" + values.Encode()
}

// filterOf reads the form of a list.
func filterOf(values url.Values) filter {
	f := filter{
		Text: values.Get("q"), State: values.Get("state"), Gate: values.Get("gate"), User: values.Get("user"), Group: values.Get("group"),
		Unused: values.Get("unused"), Sort: values.Get("sort"),
	}
	if f.Sort == "" {
		f.Sort = "-issued"
	}
	return f
}
