package tokens_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/tokens/storetest"
)

// elsewhere is a store beside which another process creates tokens.
type elsewhere struct {
	*storetest.Map
	others int
	err    error
}

func (e *elsewhere) TokensOf(ctx context.Context, user string) (list []*manifest.APIToken, err error) {
	set, _ := e.Documents(ctx)
	for _, doc := range set.Tokens {
		if string(doc.APIToken.User) == user {
			list = append(list, doc.APIToken)
		}
	}
	for range e.others {
		list = append(list, &manifest.APIToken{User: manifest.User(user)})
	}
	return list, e.err
}

// TestTokensAreCountedAgain creates a token while another process creates more: what would be too many is taken back, and so is
// what can't be counted.
func TestTokensAreCountedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		actor  string
		others int
		err    error
		want   string
	}{
		"nothing elsewhere":   {actor: "alice", want: "done"},
		"as many as allowed":  {actor: "alice", others: 1, want: "done"},
		"one more":            {actor: "alice", others: 2, want: "too_many user"},
		"not known":           {actor: "alice", err: errors.New("no answer"), want: "no answer"},
		"by an administrator": {actor: "root", others: 9, want: "done"},
	} {
		t.Run(name, func(t *testing.T) {
			store := &elsewhere{office(), c.others, c.err}
			s := &tokens.Service{Store: store, Documents: store}
			made, err := s.Create(t.Context(), tokens.CreateRequest{
				Request: tokens.Request{Actor: actor(t, s, c.actor)}, Token: edit.NewToken{Name: "ci", User: "alice", Unrestricted: true}, Lifetime: time.Hour,
			})
			if got := codeOf(err); got != c.want {
				t.Fatalf("%s, want %s", got, c.want)
			}
			if revoked := strings.Contains(store.Text(), "revoked:"); revoked != (err != nil) || (made == nil) != revoked {
				t.Errorf("it is revoked: %v", revoked)
			}
		})
	}
}

// TestAFormIsSentAgainAfterTheCount sends a form again whose token was taken back: it makes a token then.
func TestAFormIsSentAgainAfterTheCount(t *testing.T) {
	store := &elsewhere{office(), 2, nil}
	s := &tokens.Service{Store: store, Documents: store}
	create := func(name string) string {
		_, err := s.Create(t.Context(), tokens.CreateRequest{
			Request: tokens.Request{Actor: actor(t, s, "alice")}, Token: edit.NewToken{Name: name, User: "alice", Unrestricted: true}, Lifetime: time.Hour, Form: "f",
		})
		var sent *tokens.SentError
		if errors.As(err, &sent) {
			return "sent " + sent.Name
		}
		return codeOf(err)
	}
	first := create("ci")
	store.others = 0
	if again, third := create("ci-2"), create("ci-3"); first != "too_many user" || again != "done" || third != "sent ci-2" {
		t.Errorf("%s, then %s, then %s", first, again, third)
	}
}
