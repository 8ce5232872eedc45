// Package check reads configurations of Envoy, Istio and Envoy Gateway, and finds settings that let requests bypass
// patgate or weaken what it promises.
//
// It reads text and calls no server. A configuration becomes a tree with places (node). A check of a single field is a
// row of a table (fields.go); other checks are functions. What can't be decided is a finding too.
package check

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
)

// File is one file to read: YAML with any number of documents, or JSON.
type File struct {
	Name string // for places alone
	Data []byte
}

// SeverityOf returns how much findings of a code matter.
func SeverityOf(code Code) diag.Severity { return codes[code].severity }

// Options say what a configuration is for. The zero value asks about no gates.
type Options struct {
	Gates *Gates   // nil: what only the manifests know is not checked
	Open  []string // names, or ADDRESS:PORT, of listeners that are open on purpose: patgate need not check their requests
}

// Check checks configurations together: resources of one file are found from another.
// The findings are in the order of their places, those too that a comment suppresses. An
// error says that a file can't be read, or holds nothing that could be checked.
func Check(files []File, o Options) ([]diag.Problem, error) {
	c := &checker{gates: o.Gates, open: o.Open, listeners: map[string]bool{}, loose: newScope(), led: map[*node]map[string]bool{}, asked: map[string]bool{}, readBy: map[*node]bool{}}
	var problems []error
	for _, f := range files {
		if err := c.read(&text{file: f.Name, data: f.Data}); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	c.judge()
	if c.judged == 0 {
		return nil, errors.New("nothing to check: no listener, no ext_authz filter and no policy that names one was found")
	}
	for _, name := range o.Open {
		if !c.listeners[name] {
			if name == "" {
				name = `""`
			}
			return nil, fmt.Errorf("no listener is called %s, %s", name, diag.Suggest(name, slices.Sorted(maps.Keys(c.listeners))))
		}
	}
	c.suppress()
	slices.SortStableFunc(c.findings, func(a, b diag.Problem) int {
		return cmp.Or(diag.Compare(a, b), cmp.Compare(a.Code, b.Code))
	})
	return slices.CompactFunc(c.findings, func(a, b diag.Problem) bool { // an anchor is met wherever it is named
		return a.Code == b.Code && a.File == b.File && a.Pos == b.Pos && a.Message == b.Message
	}), nil
}

// checker is one run.
type checker struct {
	gates     *Gates
	open      []string
	listeners map[string]bool // names and addresses of those that were seen
	texts     []*text
	scopes    []*scope
	loose     *scope // resources in files of their own
	kube      objects

	led   map[*node]map[string]bool // where routes lead to
	asked map[string]bool           // routes that were checked, for filters of these names

	settings []setting      // of ext_authz at routes, where a chain has no filter of the name
	readBy   map[*node]bool // whether another chain has one

	judged   int // how many things there were to check
	authz    []*authz
	findings []diag.Problem
}

// read takes in a file, or a text within one.
func (c *checker) read(t *text) error {
	docs, twice, err := readText(t)
	if err != nil {
		return fmt.Errorf("%s: %s", t.file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(docs) == 0 {
		return fmt.Errorf("%s: is empty: expected a configuration of Envoy", t.file)
	}
	c.texts = append(c.texts, t)
	for _, s := range twice {
		c.find(DuplicateField, s, "appears twice: it is not certain which one Envoy uses")
	}
	for _, doc := range docs {
		if err := c.document(t, doc); err != nil {
			return err
		}
	}
	return nil
}

// check applies the rules to everything that was read.
func (c *checker) judge() {
	if len(c.loose.listeners)+len(c.loose.clusters)+len(c.loose.routes) > 0 {
		c.scopes = append(c.scopes, c.loose)
	}
	for _, s := range c.scopes {
		c.checkScope(s)
	}
	c.unread()
	c.checkObjects()
	c.checkGates()
}

// find adds a finding.
func (c *checker) find(code Code, at spot, format string, args ...any) {
	c.findings = append(c.findings, diag.Problem{
		Code: code, Severity: codes[code].severity, File: at.at.file, Pos: diag.Pos{Line: at.at.line, Column: at.at.column}, Field: at.path,
		Message: fmt.Sprintf(format, args...), Fix: codes[code].fix,
	})
}

// suppress marks the findings that comments suppress, and warns of comments that suppress none.
func (c *checker) suppress() {
	for _, t := range c.texts {
		for _, s := range diag.Suppressions(t.data) {
			problems := make([]*diag.Problem, len(c.findings))
			for i := range c.findings {
				problems[i] = &c.findings[i]
			}
			covers := func(i int) bool { return problems[i].File == t.file && s.Covers(problems[i].Pos.Line-t.line) }
			for _, text := range s.Suppress(problems, known(), covers) {
				c.find(UnusedAccept, spot{t.place(s.Pos.Line, s.Pos.Column), s.Word}, "%s", text)
			}
		}
	}
}
