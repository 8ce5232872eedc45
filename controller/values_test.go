package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

var day = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at returns a time in hours.
func at(hours int) time.Time { return day.Add(time.Duration(hours) * time.Hour) }

func digestOf(n int) token.Digest { return token.Sum(token.NewSecret(fmt.Sprint("value ", n))) }

// valued returns values by their numbers, an hour apart; with their ends in hours, of which 0 is none.
func valued(ends ...int) (list []value) {
	for n, end := range ends {
		v := value{Digest: digestOf(n).String(), Issued: at(n)}
		if end > 0 {
			until := at(end)
			v.Until = &until
		}
		list = append(list, v)
	}
	return list
}

// TestPlans plans by what the status and the Secret hold, also as a controller finds them that comes after one which died.
func TestPlans(t *testing.T) {
	c := &Controller{index: policy.NewIndex(), o: Options{Now: func() time.Time { return at(10) }}}
	holding := func(n int) secretState { return secretState{state: intact, digest: digestOf(n)} }
	for name, s := range map[string]struct {
		values []value
		found  secretState
		secret manifest.TokenSecret
		now    int
		want   string // the values: by number, or new; with the hour at which each ends
	}{
		"nothing yet":                        {nil, secretState{state: absent}, manifest.TokenSecret{}, 10, "new"},
		"all is well":                        {valued(0), holding(0), manifest.TokenSecret{}, 10, "0"},
		"the Secret is gone":                 {valued(0), secretState{state: absent}, manifest.TokenSecret{}, 10, "new"},
		"the Secret was edited":              {valued(24, 0), secretState{state: edited}, manifest.TokenSecret{}, 10, "new"},
		"the Secret holds another value":     {valued(0), holding(7), manifest.TokenSecret{}, 10, "new"},
		"the status is lost":                 {nil, holding(0), manifest.TokenSecret{}, 10, "new"},
		"an overlap goes on":                 {valued(20, 0), holding(1), manifest.TokenSecret{}, 10, "0-20 1"},
		"an overlap has ended":               {valued(10, 0), holding(1), manifest.TokenSecret{}, 10, "1"},
		"it is due":                          {valued(0), holding(0), manifest.TokenSecret{}, 30 * 24, "0 new"},
		"it is almost due":                   {valued(0), holding(0), manifest.TokenSecret{}, 30*24 - 1, "0"},
		"it is due earlier":                  {valued(0), holding(0), manifest.TokenSecret{RotateEvery: manifest.Lifetime(5 * time.Hour)}, 5, "0 new"},
		"it is never due":                    {valued(0), holding(0), manifest.TokenSecret{RotateEvery: manifest.Lifetime(policy.Forever)}, 1e5, "0"},
		"the newest went into no Secret":     {valued(0, 0), holding(0), manifest.TokenSecret{}, 10, "0 new"},
		"the end of the other was not set":   {valued(0, 0), holding(1), manifest.TokenSecret{}, 10, "0-34 1"},
		"the Secret is gone within an hour":  {valued(0, 0), secretState{state: absent}, manifest.TokenSecret{}, 10, "new"},
		"the Secret is gone within a moment": {valued(0), secretState{state: absent}, manifest.TokenSecret{}, 0, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			o := &object{id: "APIToken/a/ci", namespace: "a", name: "ci", secret: &s.secret}
			p := plan{values: s.values}
			c.follow(o, &p, s.found, at(s.now))
			var got []string
			for _, v := range p.values {
				text := "new"
				for n := range s.values {
					if v.sum() == digestOf(n) {
						text = fmt.Sprint(n)
					}
				}
				if v.Until != nil {
					text += fmt.Sprintf("-%d", int(v.Until.Sub(day).Hours()))
				}
				got = append(got, text)
			}
			if text := strings.Join(got, " "); text != s.want {
				t.Errorf("values %s, want %s", text, s.want)
			}
			if (p.minted != nil) != strings.Contains(s.want, "new") || p.minted != nil && last(p.values).sum() != p.minted.digest {
				t.Errorf("minted: %v", p.minted != nil)
			}
		})
	}
}

// TestCapShortensRotation checks that a value is replaced before the user's groups end it, and that at most two are good.
func TestCapShortensRotation(t *testing.T) {
	for _, s := range []struct{ longest, every, overlap, wantEvery, wantOverlap time.Duration }{
		{0, 0, 0, 30 * 24 * time.Hour, 24 * time.Hour},
		{90 * 24 * time.Hour, 0, 0, 30 * 24 * time.Hour, 24 * time.Hour},
		{7 * 24 * time.Hour, 0, 0, 6 * 24 * time.Hour, 24 * time.Hour},
		{10 * time.Hour, 0, 0, 5 * time.Hour, 150 * time.Minute},
		{policy.Forever, 0, 0, 30 * 24 * time.Hour, 24 * time.Hour},
		{7 * 24 * time.Hour, policy.Forever, 0, 6 * 24 * time.Hour, 24 * time.Hour},
		{0, 2 * time.Hour, 0, 2 * time.Hour, time.Hour},
		{0, policy.Forever, 0, 0, 24 * time.Hour},
	} {
		index := policy.NewIndex()
		group := &policy.Group{Name: "a/g", Namespace: "a", Members: []string{"ci"}, MaxLifetime: s.longest}
		row := &policy.Token{Name: "a/ci", Namespace: "a", User: "ci", Digest: digestOf(0), Issued: day, Groups: []*policy.Group{group}, Grant: policy.Grant{Unrestricted: true}}
		if _, err := index.Replace(policy.Rows{Groups: []*policy.Group{group}, Tokens: []*policy.Token{row}}, day); err != nil {
			t.Fatal(err)
		}
		c := &Controller{index: index}
		o := &object{namespace: "a", name: "ci", secret: &manifest.TokenSecret{RotateEvery: manifest.Lifetime(s.every), Overlap: manifest.Lifetime(s.overlap)}}
		if every, overlap := c.rotation(o); every != s.wantEvery || overlap != s.wantOverlap {
			t.Errorf("a cap of %s: every %s with %s, want %s with %s", s.longest, every, overlap, s.wantEvery, s.wantOverlap)
		}
	}
}

// TestLastUsedIsWrittenHourly checks that the last use is at most an hour behind, and written at most once an hour.
func TestLastUsedIsWrittenHourly(t *testing.T) {
	written := at(1)
	for used, want := range map[time.Time]time.Time{
		{}: written, at(0): written, at(1): written, at(2).Add(-time.Second): written, at(2): at(2), at(9): at(9),
	} {
		if got := lastUsed(&written, used); !got.Equal(want) {
			t.Errorf("used at %s: %s, want %s", used, got, want)
		}
	}
	if lastUsed(nil, time.Time{}) != nil || !lastUsed(nil, at(0)).Equal(at(0)) {
		t.Error("the first use")
	}
}
