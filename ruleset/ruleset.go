// Package ruleset holds the documents of all origins as one set. It decodes files, checks documents against each other
// (references, names, values, gates that match the same requests), and compiles them into the rows that policy
// evaluates. It reads no directory and no clock: its result depends only on its arguments.
//
// Gates, groups and policies are called shared documents, because many tokens refer to each of them.
package ruleset

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// File is one file of manifests. Its name is the one that users gave.
type File struct {
	Name   string
	Data   []byte            // nil where only its digest was read
	Sum    [sha256.Size]byte // of Data
	Origin string            // its origin; empty: that of its Input

	// Read reads the data that a large load deferred: Data is nil then. Only Loaded.Step uses it. It returns false
	// if the file no longer matches Sum.
	Read func() (data []byte, ok bool)
	Size int64 // of the deferred data
}

// Input holds the files that a source read.
type Input struct {
	Origin   string           // where the files come from, as problems of the whole set name it
	Scopes   map[string]Scope // what the files' own origins may hold; none: everything
	Files    []File           // by name
	Tests    []File           // with PolicyTests, which are not part of the revision; by name
	Problems []diag.Problem
	Empty    []diag.Problem    // the Problems that report an origin without documents
	Digest   [sha256.Size]byte // of all files and problems
}

// Options of a Load. Zero values mean the defaults.
type Options struct {
	Workers int              // goroutines that decode; default one for each processor
	Running *policy.Snapshot // the snapshot to share unchanged rows with; default none

	AllowEmpty bool // origins may be empty and gates may be missing: documents will be added later

	IsolateTokens bool // an invalid token is not accepted, and the others run
}

// Set holds documents that belong together. Make one with Load. Documents are in the order of their files. Where there are
// problems, the set holds every document that could be decoded, and of a broken one the parts that could be.
type Set struct {
	Gates, Tokens, Groups, Policies, Tests []*manifest.Document

	Problems []diag.Problem
	Rows     policy.Rows // none where there are problems
	Faulted  bool        // one of the problems is a bug in patgate: a panic

	Isolated []diag.Problem // of tokens that are not accepted while the others run, with Options.IsolateTokens

	input   Input
	options Options
	decoder *manifest.Decoder
	files   [][]*manifest.Document        // of each of input.Files
	broken  bool                          // one of the documents is
	unread  []*manifest.Document          // whose specs could not be read
	names   map[string]*manifest.Document // by kind and name, broken ones too
	kinds   map[string]bool               // that there are, broken ones too
	hints   map[string]string
	sorted  map[string][]string // names of a kind, once they were needed
	ranges  map[bool]*tokenRanges
	schemes map[manifest.Namespace]policy.Schemes // of all gates, once they were needed
	users   map[memberOf][]*manifest.Document     // their groups, once they were needed
	partial bool                                  // more tokens are to come

	id          uint64         // of this set
	changes     policy.Changes // how its rows differ from those of the set with the id cameFrom
	changesFrom uint64
	policyCosts map[string]int // instructions of each policy, once they were needed

	more     int // problems that are counted and not described
	compared int // how many names were compared for hints
}

// Load decodes the files, checks them together and compiles them. It never fails: the Problems of the set say what is
// wrong.
func Load(in Input, o Options) *Set {
	s := Read(in, o)
	s.Check()
	return s
}

// Read decodes the files and reports only the problems that decoding finds, so that revocations
// are known before problems are explained. Check does the rest.
func Read(in Input, o Options) *Set {
	s := newSet()
	s.input, s.options = in, o.withDefaults()
	s.addAll(s.decode(s.options.Workers, in.Files))
	return s
}

func (o Options) withDefaults() Options {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Running == nil {
		o.Running = policy.NewIndex().Snapshot()
	}
	return o
}

// With returns the set with more files. A file replaces the one of the same name.
func (s *Set) With(files ...File) *Set {
	in := s.input
	in.Files, in.Digest = slices.Clone(in.Files), [sha256.Size]byte{}
	for _, f := range files {
		f.Origin = cmp.Or(f.Origin, in.originOf(f.Name))
		in.Files = replaceFile(in.Files, f)
	}
	return s.Reload(in)
}

// replaceFile replaces the files of the same name, or adds the file.
func replaceFile(files []File, f File) []File {
	f.Sum = sha256.Sum256(f.Data)
	known := false
	for i := range files {
		if files[i].Name == f.Name {
			files[i], known = f, true
		}
	}
	if !known {
		files = append(files, f)
	}
	return files
}

// Known returns the digest of each file.
func (s *Set) Known() map[string][sha256.Size]byte {
	known := make(map[string][sha256.Size]byte, len(s.input.Files))
	for _, f := range s.input.Files {
		known[f.Name] = f.Sum
	}
	return known
}

// Reload loads the current files of a source with the same options. It does not decode files that are unchanged since
// this set; they need no Data.
func (s *Set) Reload(in Input) *Set {
	if after := s.reloadTokens(in); after != nil {
		return after
	}
	type version struct {
		name string
		sum  [sha256.Size]byte
	}
	known := make(map[version]int, len(s.input.Files))
	for i, f := range s.input.Files {
		known[version{f.Name, f.Sum}] = i
	}
	after := newSet()
	in.Files = slices.Clone(in.Files)
	after.input, after.options = in, s.options
	all := make([][]*manifest.Document, len(in.Files))
	var changed []File
	var places []int
	for i, f := range in.Files {
		if k, same := known[version{f.Name, f.Sum}]; same {
			all[i], in.Files[i].Data = s.files[k], s.input.Files[k].Data
			continue
		}
		changed, places = append(changed, f), append(places, i)
	}
	for i, docs := range after.decode(s.options.Workers, changed) {
		all[places[i]] = docs
	}
	after.addAll(all)
	after.Check()
	return after
}

// Detached returns the set without its reference to the running revision, which would otherwise stay in memory.
func (s *Set) Detached() *Set {
	detached := *s
	detached.id = ids.Add(1)
	detached.options.Running = policy.NewIndex().Snapshot()
	return &detached
}

// Broken reports whether a document has problems of its own.
func (s *Set) Broken() bool { return s.broken }

// Check finds every problem of the documents, and compiles the set if there is none.
func (s *Set) Check() {
	s.explain()
	s.checkComplete()
	s.check()
	s.decodeTests()
	if s.Problems = manifest.FoldProblems(s.Problems, s.more); len(s.Problems) == 0 {
		s.compile(s.options.Running)
		s.groupsByUser() // from now on the set is only read
		return
	}
	if s.options.IsolateTokens {
		s.isolate()
	}
}

// checkComplete reports files that could not be read, and a set without a gate.
func (s *Set) checkComplete() {
	s.Problems = append(s.Problems, s.ReadProblems()...)
	if !s.options.AllowEmpty && len(s.input.Problems) == 0 && !s.kinds[manifest.KindGate] && !s.kinds[""] { // "": it may have been meant as one
		s.Problems = append(s.Problems, diag.Problem{
			File: s.input.Origin, Message: "no Gate in the manifests, expected at least one: without it every request is refused (`patgate check --help` shows one)",
		})
	}
}

func newSet() *Set {
	return &Set{id: ids.Add(1), decoder: new(manifest.Decoder), names: map[string]*manifest.Document{}, kinds: map[string]bool{}, hints: map[string]string{}}
}

// compile makes the rows. A panic becomes a problem: a bug in patgate rejects the set, as an invalid file does, and the
// process goes on.
func (s *Set) compile(running *policy.Snapshot) {
	defer func() {
		if p := recover(); p != nil {
			s.Rows, s.Problems, s.Faulted = policy.Rows{}, []diag.Problem{fault("compiled", p)}, true
		}
	}()
	s.Rows = compile(s, running)
	s.Rows.SHA256 = s.input.Digest
}

// fault returns the problem that reports a panic.
func fault(what string, panicked any) diag.Problem {
	return diag.Problem{File: "the manifests", Message: token.Mask(fmt.Sprintf("can't be %s, a fault of patgate: %v", what, panicked))}
}

// decode decodes files, many at a time.
func (s *Set) decode(workers int, files []File) [][]*manifest.Document {
	var next atomic.Int64
	decoded := make([][]*manifest.Document, len(files))
	var group sync.WaitGroup
	for range min(workers, len(files)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				decoded[i] = s.decoder.Read(files[i].Name, files[i].Data)
				for _, doc := range decoded[i] {
					doc.Origin = cmp.Or(files[i].Origin, s.input.Origin)
				}
			}
		})
	}
	group.Wait()
	return decoded
}

// addAll adds documents in the order of their files.
func (s *Set) addAll(files [][]*manifest.Document) {
	s.files = files
	for _, docs := range files {
		for _, doc := range docs {
			s.broken = s.broken || doc.Broken()
			s.add(doc)
		}
	}
}

// explain adds the problems that explain why documents are broken.
func (s *Set) explain() {
	if !s.broken {
		return
	}
	for _, docs := range s.files {
		for _, doc := range docs {
			for _, p := range s.decoder.Explain([]*manifest.Document{doc}) {
				s.keep(p)
			}
		}
	}
}

// decodeTests decodes the PolicyTests.
func (s *Set) decodeTests() {
	var dec manifest.Decoder
	for _, f := range s.input.Tests {
		docs, problems := dec.DecodeTests(f.Name, f.Data)
		s.Tests, s.Problems = append(s.Tests, docs...), append(s.Problems, problems...)
	}
	s.checkUniqueTestNames()
}

// checkUniqueTestNames reports PolicyTests that share a name: reports identify them by it.
func (s *Set) checkUniqueTestNames() {
	first := map[string]*manifest.Document{}
	for _, doc := range s.Tests {
		name := doc.Metadata.Name
		if other, taken := first[name.Text]; taken && name.Text != "" {
			s.problem(doc, name.At, "metadata.name", "%s %s appears twice, first at %s, expected a name of its own",
				manifest.KindPolicyTest, name.Text, other.Place(other.Metadata.Name.At))
			continue
		}
		first[name.Text] = doc
	}
}

// Unread lists the documents whose specs could not be read at all.
func (s *Set) Unread() []*manifest.Document { return s.unread }

// Find returns the document of a kind and name, broken ones too, or nil.
func (s *Set) Find(kind, name string) *manifest.Document { return s.names[kind+"/"+name] }

// ReadProblems returns the problems of reading the files. It leaves out the problems of their content.
func (s *Set) ReadProblems() []diag.Problem {
	if !s.options.AllowEmpty {
		return s.input.Problems
	}
	return slices.DeleteFunc(slices.Clone(s.input.Problems), func(p diag.Problem) bool { return slices.Contains(s.input.Empty, p) })
}

// Files calls yield with the name and content of each file that was read, until yield returns false.
func (s *Set) Files(yield func(name string, data []byte) bool) {
	for _, f := range s.input.Files {
		if !yield(f.Name, f.Data) {
			return
		}
	}
}

// File returns the content of a file.
func (s *Set) File(name string) (data []byte, known bool) {
	i := slices.IndexFunc(s.input.Files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return nil, false
	}
	return s.input.Files[i].Data, true
}

// Holds reports whether the content of a file has this digest.
func (s *Set) Holds(name string, sum [sha256.Size]byte) bool {
	return slices.ContainsFunc(s.input.Files, func(f File) bool { return f.Name == name && f.Sum == sum })
}

// TokenNames returns the names of the tokens, in their order.
func (s *Set) TokenNames() []string {
	var names []string
	for _, doc := range s.Tokens {
		if name := doc.Key(); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// LongestLifetime returns a user's cap in a namespace, and the group that gives it.
func (s *Set) LongestLifetime(namespace manifest.Namespace, user string) (longest time.Duration, group *manifest.Document) {
	for _, g := range s.Groups {
		spec := g.UserGroup
		if spec.Tokens == nil || g.Metadata.Namespace != namespace || !slices.Contains(spec.Members, manifest.User(user)) {
			continue
		}
		if l := time.Duration(spec.Tokens.MaxLifetime); l > longest {
			longest, group = l, g
		}
	}
	return longest, group
}
