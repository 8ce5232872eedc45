package ruleset

import (
	"cmp"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

// tokenObject is a token, in little room: there may be very many. Its document is decoded when it is needed.
type tokenObject struct {
	id      string // APIToken/team-a/ci
	text    string // its uid and its spec
	uid     int    // the length of its uid
	created int64  // in seconds since 1970
	digests []token.Digest
	more    *moreOfToken // nil: nothing
}

// moreOfToken holds the fields that few tokens have.
type moreOfToken struct {
	generation int64            // where decisions are remembered
	values     []manifest.Value // that a controller made
}

// tokenPrefix precedes the key in the ID of a token.
const tokenPrefix = manifest.KindAPIToken + "/"

// set puts a version of the object in place of another.
func (t *tokenObject) set(object *Object, track bool) {
	if t.more = nil; track || len(object.Values) > 0 {
		t.more = &moreOfToken{object.Generation, object.Values}
	}
	t.text, t.uid, t.created = object.UID+string(object.Spec), len(object.UID), object.Created.Unix()
}

// object returns the object as it came.
func (t *tokenObject) object() Object {
	object := Object{
		Kind: manifest.KindAPIToken, Namespace: t.namespace(), Name: t.key()[strings.IndexByte(t.key(), '/')+1:], UID: t.text[:t.uid],
		Created: time.Unix(t.created, 0).UTC(), Spec: []byte(t.text[t.uid:]),
	}
	if t.more != nil {
		object.Generation, object.Values = t.more.generation, t.more.values
	}
	return object
}

func (t *tokenObject) key() string { return t.id[len(tokenPrefix):] }

func (t *tokenObject) namespace() string {
	return t.key()[:max(strings.IndexByte(t.key(), '/'), 0)]
}

// older orders tokens as Object.older orders objects.
func (t *tokenObject) older(other *tokenObject) int {
	return cmp.Or(cmp.Compare(t.created, other.created), cmp.Compare(t.text[:t.uid], other.text[:other.uid]))
}

// claims says whose value a digest is: that of the oldest token that has it. The zero value has none.
type claims struct {
	owners    map[token.Digest]*tokenObject
	contested map[token.Digest][]*tokenObject // all tokens, where there are several; the oldest first
}

// of returns the tokens with a digest, the oldest first.
func (c *claims) of(d token.Digest) []*tokenObject {
	if list := c.contested[d]; list != nil {
		return list
	}
	if owner := c.owners[d]; owner != nil {
		return []*tokenObject{owner}
	}
	return nil
}

// set makes tokens those with a digest.
func (c *claims) set(d token.Digest, list []*tokenObject) {
	delete(c.contested, d)
	if len(list) == 0 {
		delete(c.owners, d)
		return
	}
	if c.owners == nil {
		c.owners, c.contested = map[token.Digest]*tokenObject{}, map[token.Digest][]*tokenObject{}
	}
	if c.owners[d] = list[0]; len(list) > 1 {
		c.contested[d] = list
	}
}
