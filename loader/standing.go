package loader

import (
	"crypto/sha256"
	"maps"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// standing is what runs, by the file that it comes from. With it, a load in which only some
// files of tokens differ costs what those files cost, however many others there are: a
// revocation among a million tokens is in force as soon as among ten.
//
// It only ever says yes. Whatever else differs, and whatever is wrong, is judged as a whole.
type standing struct {
	known    map[string][sha256.Size]byte // what each file holds
	tokens   map[string][]*policy.Token   // of each file that has nothing but tokens
	docs     *documents                   // the rest
	compiler *compiler
}

// newStanding remembers a load that runs, and nothing where two files have one name.
func newStanding(t *tree, docs *documents, rows *policy.Rows) *standing {
	if t.ambiguous() {
		return nil
	}
	st := &standing{known: make(map[string][sha256.Size]byte, len(t.files)), tokens: make(map[string][]*policy.Token, len(t.files))}
	for _, f := range t.files {
		st.known[f.name] = f.sum
		st.tokens[f.name] = nil
	}
	for i, doc := range docs.tokens { // a row each, in the same order
		st.tokens[doc.File] = append(st.tokens[doc.File], rows.Tokens[i])
	}
	st.docs = &documents{
		gates: docs.gates, groups: docs.groups, policies: docs.policies, users: docs.groupsByUser(),
		names: map[string]*manifest.Document{}, kinds: docs.kinds, hints: map[string]string{},
	}
	for name, doc := range docs.names {
		if doc.Kind != manifest.KindAPIToken {
			st.docs.names[name] = doc
			delete(st.tokens, doc.File)
		}
	}
	st.compiler = newCompiler(rows.Policies, rows.Groups)
	return st
}

// files returns what is known of each file. Nothing stands where st is nil.
func (st *standing) files() map[string][sha256.Size]byte {
	if st == nil {
		return nil
	}
	return st.known
}

// exchange makes a reading the running revision, where only files of tokens differ from what
// stands, and nothing is wrong with any of them. done is false where it is not known to be
// so: then nothing has changed, and the reading must be judged as a whole.
func (l *Loader) exchange(t *tree) (r Report, done bool) {
	st := l.standing
	if st == nil || len(t.problems) > 0 || t.ambiguous() {
		return r, false
	}
	changed, leaving := st.differences(t)
	var old []*policy.Token
	for name := range leaving {
		rows, alone := st.tokens[name]
		if !alone {
			return r, false
		}
		old = append(old, rows...)
	}
	running := l.index.Snapshot()
	docs := st.decode(l.processors(), changed)
	if docs.broken {
		_ = l.narrow(docs.tokens) // the load is rejected, which the whole of it need not show first
	}
	if !docs.clean(st) || taken(docs, running, leaving) {
		return r, false
	}
	rows, byFile := st.compile(docs, running)
	if rows == nil {
		return r, false
	}
	change, err := l.index.Exchange(old, rows, t.digest, l.o.Now())
	if err != nil {
		return r, false
	}
	for name := range leaving {
		delete(st.known, name)
		delete(st.tokens, name)
	}
	for _, f := range changed {
		st.known[f.name], st.tokens[f.name] = f.sum, byFile[f.name]
	}
	return Report{SHA256: t.digest, Files: len(t.files), Change: change, Revived: l.revived(running, rows)}, true
}

// compile makes the rows of tokens, and lists them by file. After a panic it returns none: the load is
// then judged as a whole, which says what is wrong.
func (st *standing) compile(docs *documents, running *policy.Snapshot) (rows []*policy.Token, byFile map[string][]*policy.Token) {
	defer func() {
		if recover() != nil {
			rows, byFile = nil, nil
		}
	}()
	compiler := *st.compiler
	compiler.old = running
	rows = make([]*policy.Token, len(docs.tokens))
	byFile = map[string][]*policy.Token{}
	for i, doc := range docs.tokens {
		rows[i] = compiler.token(doc)
		byFile[doc.File] = append(byFile[doc.File], rows[i])
	}
	return rows, byFile
}

// differences returns the files that are new or differ from what stands, and which of those
// that stand differ or are gone.
func (st *standing) differences(t *tree) (changed []file, leaving map[string]bool) {
	leaving = map[string]bool{}
	there := make(map[string]bool, len(t.files))
	for _, f := range t.files {
		there[f.name] = true
		sum, stood := st.known[f.name]
		if stood && sum == f.sum {
			continue
		}
		if stood {
			leaving[f.name] = true
		}
		changed = append(changed, f)
	}
	for name := range st.known {
		if !there[name] {
			leaving[name] = true
		}
	}
	return changed, leaving
}

// decode decodes files and checks them beside what stands, where nothing is wrong so far.
func (st *standing) decode(processors int, files []file) *documents {
	stands := st.docs
	d := &documents{
		gates: stands.gates, groups: stands.groups, policies: stands.policies, users: stands.users,
		names: maps.Clone(stands.names), kinds: maps.Clone(stands.kinds), hints: map[string]string{},
	}
	if d.decode(processors, files); d.clean(st) {
		d.check()
	}
	return d
}

// clean reports whether nothing but tokens was decoded beside what stands, and nothing is
// wrong with them.
func (d *documents) clean(st *standing) bool {
	stands := st.docs
	return !d.broken && len(d.problems) == 0 && len(d.unread) == 0 &&
		len(d.gates)+len(d.groups)+len(d.policies) == len(stands.gates)+len(stands.groups)+len(stands.policies)
}

// taken reports whether a token's name or digest is that of one in a file that stays.
func taken(d *documents, running *policy.Snapshot, leaving map[string]bool) bool {
	stays := func(t *policy.Token) bool { return t != nil && !leaving[t.Source.File] }
	for _, doc := range d.tokens {
		if stays(running.TokenByName(doc.Metadata.Name.Text)) || stays(running.Token(&doc.APIToken.Digest.Sum)) {
			return true
		}
		for i := range doc.APIToken.Previous {
			if stays(running.Token(&doc.APIToken.Previous[i].Digest.Sum)) {
				return true
			}
		}
	}
	return false
}
