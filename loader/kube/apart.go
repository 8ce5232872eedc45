package kube

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/tokens"
)

// tokenIn reads a token's object as a document, whatever is wrong with it.
func tokenIn(id, name string, text []byte) (*manifest.Document, error) {
	in := ruleset.Input{Origin: policy.OriginObjects, Files: []ruleset.File{{Name: id, Data: text}}}
	return tokens.Find(ruleset.Read(in, ruleset.Options{AllowEmpty: true}), name)
}

// Apart returns the tokens of the namespace that Documents do not have: those that are not accepted, and the controller's.
func (s *Store) Apart(context.Context) (map[string]tokens.Apart, error) {
	found := map[string]tokens.Apart{}
	list, problems := s.documents.apart()
	snapshot := s.index.Snapshot()
	for id, d := range list {
		name := strings.TrimPrefix(id, manifest.KindAPIToken+"/")
		if strings.Contains(name, "/") {
			continue // of another namespace
		}
		doc := d.asToken(id, name)
		if doc == nil {
			continue // it can't be shown whose it is
		}
		a := tokens.Apart{Document: doc, Problem: problems[id], Secret: d.secret()}
		if row := snapshot.TokenByName(name); row != nil && a.Problem == "" {
			a.State = snapshot.State(row, s.o.Now()).String()
		}
		found[name] = a
	}
	return found, nil
}

// asToken returns the document of a token's object, which is decoded once; nil: it can't be decoded.
func (d *document) asToken(id, name string) *manifest.Document {
	d.decoding.Do(func() {
		text, err := textOf(d.object, d.annotations)
		if err != nil {
			return // an object without a spec
		}
		doc, err := tokenIn(id, name, text)
		if err != nil {
			return
		}
		if d.secret() != "" {
			doc.APIToken.Issued.Time = issued(d.object) // its values are in the status
		}
		d.decoded = doc
	})
	return d.decoded
}

// secret is the name of the Secret that has the token's value; empty: none.
func (d *document) secret() string {
	var spec struct{ Secret struct{ Name string } }
	_ = json.Unmarshal(d.object.Spec, &spec) // of an object of the API server
	return spec.Secret.Name
}

// issued is when the newest value of a token was made; of one without a value, when the token was.
func issued(o *ruleset.Object) time.Time {
	if n := len(o.Values); n > 0 {
		return o.Values[n-1].Issued
	}
	return o.Created
}
