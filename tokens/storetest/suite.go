package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/tokens"
)

// Store is a store of tokens, with the documents around them.
type Store interface {
	tokens.Store
	tokens.Documents
}

// Open returns an empty store, and a way to change a file or object behind its back.
type Open func(t *testing.T) (store Store, put func(name, text string))

// Gate is a manifest of a Gate, without which nothing is admitted.
const Gate = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\nspec: {schemes: [basic, bearer]}\n"

// Run tests a store of files.
func Run(t *testing.T, open Open) {
	run(t, open, map[string]func(*suite){"not tokens": (*suite).broken})
}

// RunUnique tests a store in which no two tokens can have one name.
func RunUnique(t *testing.T, open Open) { run(t, open, nil) }

func run(t *testing.T, open Open, more map[string]func(*suite)) {
	tests := map[string]func(*suite){
		"unknown":   (*suite).unknown,
		"create":    (*suite).create,
		"changes":   (*suite).changes,
		"dry run":   (*suite).dryRun,
		"conflicts": (*suite).conflicts,
		"undo":      (*suite).undo,
		"race":      (*suite).race,
		"others":    (*suite).others,
		"service":   (*suite).service,
	}
	maps.Copy(tests, more)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			store, put := open(t)
			put("gate.yaml", Gate)
			test(&suite{T: t, store: store, put: put})
		})
	}
}

type suite struct {
	*testing.T
	store Store
	put   func(name, text string)
}

var issued = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// newToken is a change that creates a token.
func newToken(name string) *edit.Change {
	t := &edit.NewToken{Name: name, User: "alice", Unrestricted: true, Issued: issued}
	copy(t.Digest[:], name)
	return &edit.Change{Create: t}
}

func (s *suite) made(name string) tokens.Receipt {
	s.Helper()
	receipt, err := s.store.Apply(context.Background(), name, "", newToken(name))
	if err != nil || receipt.Revision == "" || receipt.File == "" || receipt.Undo == nil {
		s.Fatalf("%+v, %v", receipt, err)
	}
	return receipt
}

func (s *suite) get(name string) *tokens.Stored {
	s.Helper()
	stored, err := s.store.Get(context.Background(), name)
	if err != nil {
		s.Fatal(err)
	}
	return stored
}

func (s *suite) apply(name string, was tokens.Revision, change *edit.Change) tokens.Receipt {
	s.Helper()
	receipt, err := s.store.Apply(context.Background(), name, was, change)
	if err != nil {
		s.Fatal(err)
	}
	return receipt
}

// wantConflict checks that a change of an outdated revision is refused.
func (s *suite) wantConflict(name string, was tokens.Revision, change *edit.Change) {
	s.Helper()
	var conflict *tokens.ConflictError
	if _, err := s.store.Apply(context.Background(), name, was, change); !errors.As(err, &conflict) {
		s.Errorf("%v, want a conflict", err)
	}
}

func (s *suite) wantUnknown(err error) {
	s.Helper()
	var unknown *tokens.UnknownError
	if !errors.As(err, &unknown) {
		s.Errorf("%v, want an unknown token", err)
	}
}

func named(text string) *edit.Change {
	return &edit.Change{Fields: []edit.Field{{Key: "displayName", Value: text}}}
}

func (s *suite) unknown() {
	_, err := s.store.Get(context.Background(), "ci")
	s.wantUnknown(err)
	_, err = s.store.Apply(context.Background(), "ci", "x", named("x"))
	s.wantUnknown(err)
	s.made("ci")
	_, err = s.store.Get(context.Background(), "cj")
	s.wantUnknown(err)
}

func (s *suite) create() {
	made := s.made("ci")
	stored := s.get("ci")
	if stored.Revision != made.Revision || stored.Document.APIToken.User != "alice" || !stored.Document.APIToken.Issued.Equal(issued) {
		s.Errorf("%+v", stored)
	}
	set, err := s.store.Documents(context.Background())
	if err != nil || len(set.Problems) > 0 || len(set.Rows.Tokens) != 1 {
		s.Errorf("%v, %v", err, set.Problems)
	}
	s.wantConflict("ci", "", newToken("ci"))
	s.wantConflict("ci", made.Revision, newToken("ci"))
}

func (s *suite) changes() {
	revision := s.made("ci").Revision
	until := issued.Add(time.Hour)
	next := edit.Rotation{Issued: issued.Add(time.Minute)}
	copy(next.Digest[:], "next")
	next.Add = &edit.Replaced{Digest: s.get("ci").Document.APIToken.Digest.Sum, Issued: issued, Until: until}
	for name, c := range map[string]struct {
		change *edit.Change
		holds  func(*manifest.APIToken) bool
	}{
		"a field":    {named("CI"), func(t *manifest.APIToken) bool { return t.DisplayName == "CI" }},
		"a flag":     {&edit.Change{Fields: []edit.Field{{Key: "suspended", Value: true}}}, func(t *manifest.APIToken) bool { return t.Suspended }},
		"a rotation": {&edit.Change{Rotation: &next}, func(t *manifest.APIToken) bool { return t.Digest.Sum == next.Digest && len(t.Previous) == 1 }},
		"a list": {&edit.Change{Fields: []edit.Field{{Key: "gates", Value: []string{"g"}}}},
			func(t *manifest.APIToken) bool { return len(t.Gates) == 1 && t.Gates[0].Text == "g" }},
		"the end": {&edit.Change{Revoked: until}, func(t *manifest.APIToken) bool { return t.Revoked.Equal(until) }},
	} {
		receipt := s.apply("ci", revision, c.change)
		stored := s.get("ci")
		if !c.holds(stored.Document.APIToken) || stored.Revision != receipt.Revision || receipt.Revision == revision {
			s.Errorf("%s: %s", name, stored.Data)
		}
		revision = receipt.Revision
	}
}

func (s *suite) dryRun() {
	change := newToken("ci")
	change.DryRun = true
	s.apply("ci", "", change)
	_, err := s.store.Get(context.Background(), "ci")
	s.wantUnknown(err)
	revision := s.made("ci").Revision
	change = named("x")
	change.DryRun = true
	s.apply("ci", revision, change)
	if stored := s.get("ci"); stored.Revision != revision {
		s.Errorf("a dry run changed %s", stored.Data)
	}
	s.wantConflict("ci", "x", change)
}

func (s *suite) conflicts() {
	first := s.made("ci").Revision
	second := s.apply("ci", first, named("second")).Revision
	s.wantConflict("ci", first, named("third"))
	s.wantConflict("ci", "", named("third"))
	stored := s.get("ci")
	s.put(stored.File, string(stored.Data)+"# by somebody else\n")
	s.wantConflict("ci", second, named("third"))
	if stored = s.get("ci"); stored.Document.APIToken.DisplayName != "second" {
		s.Errorf("%s", stored.Data)
	}
}

func (s *suite) undo() {
	made := s.made("ci")
	changed := s.apply("ci", made.Revision, named("x"))
	if err := changed.Undo(context.Background()); err != nil || s.get("ci").Revision != made.Revision {
		s.Errorf("%v: %s", err, s.get("ci").Data)
	}
	if err := made.Undo(context.Background()); err != nil {
		s.Error(err)
	}
	_, err := s.store.Get(context.Background(), "ci")
	s.wantUnknown(err)
	made = s.made("ci")
	s.apply("ci", made.Revision, named("x"))
	if err := made.Undo(context.Background()); err == nil {
		s.Error("what somebody else changed was taken back")
	}
	s.get("ci")
}

// race has many writers that have read the same: one of them wins each round, and nothing is lost.
func (s *suite) race() {
	revision := s.made("ci").Revision
	for round := range 3 {
		var won, lost atomic.Int64
		var writers sync.WaitGroup
		for i := range 8 {
			writers.Go(func() {
				_, err := s.store.Apply(context.Background(), "ci", revision, named(fmt.Sprintf("round %d writer %d", round, i)))
				var conflict *tokens.ConflictError
				switch {
				case err == nil:
					won.Add(1)
				case errors.As(err, &conflict):
					lost.Add(1)
				default:
					s.Error(err)
				}
			})
		}
		writers.Wait()
		if won.Load() != 1 || lost.Load() != 7 {
			s.Errorf("round %d: %d won, %d lost", round, won.Load(), lost.Load())
		}
		revision = s.get("ci").Revision
	}
}

// others checks that a token is found and revoked while other documents are broken.
func (s *suite) others() {
	revision := s.made("ci").Revision
	s.put("broken.yaml", "[\n")
	if stored := s.get("ci"); stored.Revision != revision {
		s.Errorf("%s", stored.Revision)
	}
	s.apply("ci", revision, &edit.Change{Revoked: issued})
	if set, err := s.store.Documents(context.Background()); err != nil || len(set.Problems) == 0 {
		s.Errorf("%v, %v", err, set.Problems)
	}
}

// broken checks that what is not one token is refused.
func (s *suite) broken() {
	stored := s.made("ci")
	s.put("other.yaml", string(s.get("ci").Data))
	var refused *tokens.RefusedError
	if _, err := s.store.Get(context.Background(), "ci"); !errors.As(err, &refused) || refused.Code != tokens.BadDocument {
		s.Errorf("two of a name: %v", err)
	}
	if _, err := s.store.Apply(context.Background(), "ci", stored.Revision, named("x")); !errors.As(err, &refused) {
		s.Errorf("two of a name: %v", err)
	}
}

// service lives a token's life over the store.
func (s *suite) service() {
	ctx := context.Background()
	service := &tokens.Service{Store: s.store, Documents: s.store}
	made, err := service.Create(ctx, tokens.CreateRequest{Token: edit.NewToken{Name: "ci", User: "alice", LimitTo: []string{"[get]/a", "[get]/b"}}})
	if err != nil {
		s.Fatal(err)
	}
	var refused *tokens.RefusedError
	if _, err := service.Create(ctx, tokens.CreateRequest{Token: edit.NewToken{Name: "ci", User: "alice", Unrestricted: true}}); !errors.As(err, &refused) || refused.Code != tokens.NameTaken {
		s.Errorf("a second token of the name: %v", err)
	}
	request := tokens.Request{Actor: tokens.Actor{User: "alice"}}
	for _, fields := range [][]edit.Field{
		{{Key: "displayName", Value: "CI"}, {Key: "limitTo", Value: "[get]/a\n"}},
		{{Key: "gates", Value: []string{"g"}}, {Key: "schemes", Value: []string{"bearer"}}},
	} {
		if _, err := service.Update(ctx, tokens.UpdateRequest{Request: request, Name: "ci", Fields: fields}); err != nil {
			s.Fatal(err)
		}
	}
	if _, err := service.Update(ctx, tokens.UpdateRequest{Request: request, Name: "ci", If: made.Revision}); err == nil {
		s.Error("an update of an old revision is taken")
	}
	rotated, err := service.Rotate(ctx, tokens.RotateRequest{Request: request, Name: "ci", Overlap: time.Hour})
	if err != nil || rotated.Secret.Reveal() == made.Secret.Reveal() {
		s.Fatal(err)
	}
	if _, err := service.Suspend(ctx, request, "ci", true); err != nil {
		s.Fatal(err)
	}
	if list, err := service.List(ctx, request.Actor, tokens.Query{}); err != nil || len(list) != 1 || list[0].State != "suspended" {
		s.Errorf("%+v, %v", list, err)
	}
	if _, err := service.Revoke(ctx, tokens.RevokeRequest{Request: request, Name: "ci"}); err != nil {
		s.Fatal(err)
	}
	view, err := service.Describe(ctx, request.Actor, "ci", time.Time{})
	if err != nil || view.State != "revoked" || view.DisplayName != "CI" || len(view.Rules) != 1 || len(view.Previous) != 1 {
		s.Errorf("%+v, %v", view, err)
	}
}
