package admin

import (
	"context"
	"net/http"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

// Me describes the caller, and what they may do.
type Me struct {
	User   string     `json:"user"`
	Groups []string   `json:"groups"`
	Rights RightsView `json:"rights"`
	Gates  []GateView `json:"gates"`
	Token  string     `json:"token,omitempty"` // that asks; it grants no more than it has
	Secure bool       `json:"secureMode"`
}

// RightsView shows the rights that a user has by their groups.
type RightsView struct {
	Admin       bool   `json:"admin"`
	Create      bool   `json:"create"`
	MaxLifetime string `json:"maxLifetime,omitempty"` // empty: no group says
	CapBy       string `json:"maxLifetimeFrom,omitempty"`
	Max         int    `json:"max,omitempty"` // 0: no limit
	Held        int    `json:"held"`
}

// GateView is a Gate, and how it takes tokens.
type GateView struct {
	Name     string   `json:"name"`
	Schemes  []string `json:"schemes"`
	Hosts    []string `json:"hosts,omitempty"`
	Admitted bool     `json:"admitted"` // whether it admits the user
}

// Me returns who asks, and what they may do.
func (m *Manager) Me(ctx context.Context, c *Caller) (*Me, error) {
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	me := &Me{User: c.User, Groups: []string{}, Gates: []GateView{}, Token: c.Actor.Token, Secure: m.o.Secure, Rights: rightsView(&c.Rights)}
	own := v.snapshot.GroupsOf(c.User)
	for _, g := range own {
		me.Groups = append(me.Groups, g.Name)
	}
	as := &policy.Token{User: c.User, Groups: own}
	for _, g := range v.snapshot.Gates() {
		shown := GateView{Name: g.Name, Schemes: []string{}, Hosts: g.Hosts, Admitted: as.AdmittedAt(g)}
		for _, s := range []policy.Scheme{policy.Basic, policy.Bearer} {
			if g.Accepted(m.o.Now()).Has(s) {
				shown.Schemes = append(shown.Schemes, s.String())
			}
		}
		me.Gates = append(me.Gates, shown)
	}
	return me, nil
}

func rightsView(r *tokens.Rights) RightsView {
	v := RightsView{Admin: r.Admin, Create: r.Create || r.Admin, Max: r.Max, Held: r.Held}
	if r.MaxLifetime > 0 {
		v.MaxLifetime = tokens.LifetimeText(r.MaxLifetime)
		v.CapBy = r.CapBy.Key()
	}
	return v
}

func (h *Handler) getMe(w http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	return h.Me(r.Context(), c)
}
