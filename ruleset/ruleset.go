// Package ruleset holds documents of all origins as one set: it decodes files, checks what the
// documents must hold together (references, names, values, gates that match the same requests),
// and compiles them into the rows that policy decides by. It reads no directory and has no clock:
// what it is given decides what it returns.
package ruleset

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// File is one file of manifests, by the name that people know it under.
type File struct {
	Name string
	Data []byte            // nil where only its digest was read
	Sum  [sha256.Size]byte // of Data
}

// Input is what a source read.
type Input struct {
	Origins  []string // where the files come from, as problems of the whole set name it
	Files    []File   // by name
	Tests    []File   // with PolicyTests, which are no part of what runs; by name
	Problems []diag.Problem
	Empty    []diag.Problem    // those of Problems that say that an origin has nothing
	Digest   [sha256.Size]byte // of all files and problems
}

// Options of a Load. Zero values mean the defaults.
type Options struct {
	Workers int              // that decode; default one for each processor
	Running *policy.Snapshot // what it shares rows with; default none

	AllowEmpty bool // origins may have nothing, and there may be no gate: documents are yet to come
}

// Set is documents as one set. Make one with Load. Documents are in the order of their files: all
// that decode, also where there are problems, and broken ones as far as they do.
type Set struct {
	Gates, Tokens, Groups, Policies, Tests []*manifest.Document

	Problems []diag.Problem
	Rows     policy.Rows // none where there are problems

	input   Input
	options Options
	decoded []decodedFile                 // of input.Files
	unread  []*manifest.Document          // whose specs could not be read
	names   map[string]*manifest.Document // by kind and name, broken ones too
	kinds   map[string]bool               // that there are, broken ones too
	hints   map[string]string
	users   map[manifest.User][]*manifest.Document // their groups, once they were asked for
}

// decodedFile is what decoding made of a file.
type decodedFile struct {
	docs     []*manifest.Document
	problems []diag.Problem
}

// Load decodes the files, checks them together and compiles them. It never fails: what is wrong
// are the Problems of the set.
func Load(in Input, o Options) *Set {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Running == nil {
		o.Running = policy.NewIndex().Snapshot()
	}
	return assemble(in, o, decode(o.Workers, in.Files))
}

// With returns the set with other files: those of names that there are take their place.
func (s *Set) With(files ...File) *Set {
	in := s.input
	in.Files, in.Digest = slices.Clone(in.Files), [sha256.Size]byte{}
	decoded := slices.Clone(s.decoded)
	for i, d := range decode(s.options.Workers, files) {
		known := false
		for k := range in.Files {
			if in.Files[k].Name == files[i].Name {
				in.Files[k], decoded[k], known = files[i], d, true
			}
		}
		if !known {
			in.Files, decoded = append(in.Files, files[i]), append(decoded, d)
		}
	}
	return assemble(in, s.options, decoded)
}

// assemble makes a set of decoded files.
func assemble(in Input, o Options, decoded []decodedFile) *Set {
	s := newSet()
	s.input, s.options, s.decoded, s.Problems = in, o, decoded, slices.Clone(in.Problems)
	if o.AllowEmpty {
		s.Problems = slices.DeleteFunc(s.Problems, func(p diag.Problem) bool { return slices.Contains(in.Empty, p) })
	}
	s.addAll(decoded)
	if !o.AllowEmpty && len(in.Problems) == 0 && !s.kinds[manifest.KindGate] && !s.kinds[""] { // "": it may have been meant as one
		s.Problems = append(s.Problems, diag.Problem{
			File: strings.Join(in.Origins, ", "), Message: "no Gate in the manifests, expected at least one: without it every request is refused (`patgate check --help` shows one)",
		})
	}
	s.check()
	s.decodeTests()
	diag.Sort(s.Problems)
	if len(s.Problems) == 0 {
		s.compile(o.Running)
	}
	return s
}

func newSet() *Set {
	return &Set{names: map[string]*manifest.Document{}, kinds: map[string]bool{}, hints: map[string]string{}}
}

// compile makes the rows. A panic is a problem: a fault of patgate rejects a set, as a bad file
// does, and does not end what runs.
func (s *Set) compile(running *policy.Snapshot) {
	defer func() {
		if p := recover(); p != nil {
			s.Rows, s.Problems = policy.Rows{}, []diag.Problem{fault("compiled", p)}
		}
	}()
	s.Rows = compile(s, running)
	s.Rows.SHA256 = s.input.Digest
}

// fault is the problem of a panic.
func fault(what string, panicked any) diag.Problem {
	return diag.Problem{File: "the manifests", Message: token.Mask(fmt.Sprintf("can't be %s, a fault of patgate: %v", what, panicked))}
}

// decode decodes files, many at a time.
func decode(workers int, files []File) []decodedFile {
	var dec manifest.Decoder
	var next atomic.Int64
	decoded := make([]decodedFile, len(files))
	var group sync.WaitGroup
	for range min(workers, len(files)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				decoded[i].docs, decoded[i].problems = dec.Decode(files[i].Name, files[i].Data)
			}
		})
	}
	group.Wait()
	return decoded
}

// addAll adds documents in the order of their files.
func (s *Set) addAll(decoded []decodedFile) {
	for i := range decoded {
		s.Problems = append(s.Problems, decoded[i].problems...)
		for _, doc := range decoded[i].docs {
			s.add(doc)
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

// checkUniqueTestNames reports PolicyTests that share a name: reports tell them apart by it.
func (s *Set) checkUniqueTestNames() {
	first := map[string]*manifest.Document{}
	for _, doc := range s.Tests {
		name := doc.Metadata.Name
		if other, taken := first[name.Text]; taken && name.Text != "" {
			s.problem(doc, name.At, "metadata.name", "%s %s stands twice, first at %s, expected a name of its own",
				manifest.KindPolicyTest, name.Text, other.Place(other.Metadata.Name.At))
			continue
		}
		first[name.Text] = doc
	}
}

// Origins are where the files come from.
func (s *Set) Origins() []string { return s.input.Origins }

// Unread lists the documents whose specs could not be read at all.
func (s *Set) Unread() []*manifest.Document { return s.unread }

// Find returns the document of a kind and name, broken ones too, or nil.
func (s *Set) Find(kind, name string) *manifest.Document { return s.names[kind+"/"+name] }

// ReadProblems returns what was wrong with reading the files, without what is wrong with them.
func (s *Set) ReadProblems() []diag.Problem { return s.input.Problems }

// Files calls yield with each file that was read and what it held, by name, until it
// returns false.
func (s *Set) Files(yield func(name string, data []byte) bool) {
	for _, f := range s.input.Files {
		if !yield(f.Name, f.Data) {
			return
		}
	}
}

// TokenNames returns the names of the tokens, in their order.
func (s *Set) TokenNames() []string {
	var names []string
	for _, doc := range s.Tokens {
		if name := doc.Metadata.Name.Text; name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// LongestLifetime returns the user's cap, and the group that gives it.
func (s *Set) LongestLifetime(user string) (longest time.Duration, group *manifest.Document) {
	for _, g := range s.Groups {
		spec := g.UserGroup
		if spec.Tokens == nil || !slices.Contains(spec.Members, manifest.User(user)) {
			continue
		}
		if l := time.Duration(spec.Tokens.MaxLifetime); l > longest {
			longest, group = l, g
		}
	}
	return longest, group
}
