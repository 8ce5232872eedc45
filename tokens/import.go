package tokens

import (
	"context"
	"errors"
	"slices"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/ruleset"
)

// ImportRequest is a request to store tokens from elsewhere, whose digests are known: all of them or none.
type ImportRequest struct {
	Request
	Tokens      []edit.NewToken
	DryRun      bool // store nothing
	SkipRefused bool // leave out the tokens whose manifests would be refused, and store the others
}

// ImportedToken is the result of one token's import.
type ImportedToken struct {
	File    string       // of its manifest; empty where it was left out
	Refused string       // why it was left out
	After   *ruleset.Set // the documents with all that is stored among them, for warnings

	token edit.NewToken
	text  []byte
	undo  func(context.Context) error
}

// Import stores the manifests of tokens from elsewhere. They are checked together with all documents:
// it returns a *RefusedError for whatever `patgate check` would refuse, and for names that are taken,
// unless the request leaves such tokens out. What it returns is in the order of the tokens. Rights and
// limits do not count: these tokens exist.
func (s *Service) Import(ctx context.Context, r ImportRequest) ([]ImportedToken, error) {
	set, err := s.Documents.Documents(ctx)
	if err != nil {
		return nil, err
	}
	done := make([]ImportedToken, len(r.Tokens))
	var refused []string
	for i := range r.Tokens {
		if done[i], err = s.prepareImport(&r.Tokens[i], set); err == nil {
			continue
		}
		var no *RefusedError
		if !errors.As(err, &no) {
			return nil, err
		}
		done[i].Refused = no.Error()
		refused = append(refused, no.Reasons...)
	}
	if len(refused) > 0 && !r.SkipRefused {
		return nil, &RefusedError{Code: Invalid, Reasons: refused}
	}
	after, err := leaveOut(done, set, r.SkipRefused)
	for i := range done {
		done[i].After = after
	}
	if err != nil || r.DryRun {
		return done, err
	}
	return done, s.storeAll(ctx, &r.Request, done, after)
}

// prepareImport makes the manifest of a token whose name is free.
func (s *Service) prepareImport(t *edit.NewToken, set *ruleset.Set) (done ImportedToken, err error) {
	file, err := s.Documents.FileFor(t.Name)
	if err != nil {
		return done, err
	}
	if err := isFree(set, t.Name); err != nil {
		return done, err
	}
	text, err := t.YAML()
	if err != nil {
		return done, err
	}
	return ImportedToken{File: file, token: *t, text: text}, nil
}

// leaveOut checks the manifests together with those that are there. Where they may be, those
// with problems are left out, until the others have none: one may be refused for another's sake.
func leaveOut(done []ImportedToken, there *ruleset.Set, skip bool) (*ruleset.Set, error) {
	for {
		var files []ruleset.File
		for _, d := range done {
			if d.Refused == "" {
				files = append(files, ruleset.File{Name: d.File, Data: d.text})
			}
		}
		after := there.With(files...)
		if len(after.Problems) == 0 {
			return after, nil
		}
		if left := skip && refuseByFile(done, after.Problems); !left {
			return nil, refusedFor(after.Problems)
		}
	}
}

// refuseByFile leaves out the tokens whose files have problems, and reports whether there
// are any.
func refuseByFile(done []ImportedToken, problems []diag.Problem) (left bool) {
	why := map[string]string{}
	for _, p := range problems {
		if why[p.File] == "" {
			why[p.File] = p.Field + ": " + p.Message
		}
	}
	for i := range done {
		if reason := why[done[i].File]; done[i].Refused == "" && reason != "" {
			done[i], left = ImportedToken{Refused: reason}, true
		}
	}
	return left
}

// storeAll stores new tokens; where one fails, those before it go again.
func (s *Service) storeAll(ctx context.Context, r *Request, done []ImportedToken, after *ruleset.Set) error {
	for i := range done {
		d := &done[i]
		if d.Refused != "" {
			continue
		}
		receipt, err := s.Store.Apply(ctx, d.token.Name, "", &edit.Change{Create: &d.token})
		if err != nil {
			for _, stored := range slices.Backward(done[:i]) {
				if stored.undo != nil {
					err = errors.Join(err, stored.undo(ctx))
				}
			}
			return err
		}
		d.undo = receipt.Undo
	}
	for i := range done {
		if doc := after.Find(manifest.KindAPIToken, done[i].token.Name); done[i].Refused == "" && doc != nil {
			s.event(r, Created, doc)
		}
	}
	return nil
}
