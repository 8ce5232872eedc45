package main

import (
	"fmt"

	"github.com/patgate/patgate/lint"
	"github.com/patgate/patgate/manifest"
)

// checkResult is what check tells a program.
type checkResult struct {
	OK       bool           `json:"ok"` // the exit code is 0
	SHA256   string         `json:"sha256,omitempty"`
	Gates    int            `json:"gates"`
	Tokens   int            `json:"tokens"`
	Groups   int            `json:"groups"`
	Policies int            `json:"policies"`
	Problems []checkProblem `json:"problems"`
	Warnings []checkWarning `json:"warnings"`
	Accepted []checkWarning `json:"accepted,omitempty"` // warnings that a comment accepts
	Against  *checkAgainst  `json:"against,omitempty"`
	Examples []checkExample `json:"examples,omitempty"`
}

type checkProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

type checkWarning struct {
	Code string `json:"code"`
	checkProblem
	Fix    string `json:"fix"`
	Reason string `json:"reason,omitempty"` // of the comment that accepts it
}

// checkAgainst is what the comparison with older manifests found.
type checkAgainst struct {
	Problems []checkProblem `json:"problems"` // of the older manifests
	Revivals []checkRevival `json:"revivals"`
}

type checkRevival struct {
	Token string `json:"token"`
	checkProblem
	Was string `json:"was"` // FILE:LINE:COLUMN in the older manifests
}

func (c *checked) describe(ok bool) checkResult {
	rows := &c.in.Rows
	r := checkResult{
		OK: ok, Gates: len(rows.Gates), Tokens: len(rows.Tokens), Groups: len(rows.Groups), Policies: len(rows.Policies), Examples: c.examples,
		Problems: describeProblems(c.in.Problems), Warnings: []checkWarning{},
	}
	if len(c.in.Problems) == 0 {
		r.SHA256 = fmt.Sprintf("%x", rows.SHA256)
	}
	for _, w := range c.warnings {
		r.Warnings = append(r.Warnings, describeWarning(w))
	}
	for _, w := range c.accepted {
		r.Accepted = append(r.Accepted, describeWarning(w))
	}
	if c.older != nil {
		r.Against = &checkAgainst{Problems: describeProblems(c.older.Problems), Revivals: []checkRevival{}}
		for _, v := range c.revivals {
			at := checkProblem{v.File, v.Pos.Line, v.Pos.Column, v.Field, v.Message}
			r.Against.Revivals = append(r.Against.Revivals, checkRevival{v.Token, at, v.Was})
		}
	}
	return r
}

func describeWarning(w lint.Warning) checkWarning {
	return checkWarning{string(w.Code), checkProblem{w.File, w.Pos.Line, w.Pos.Column, w.Field, w.Message}, w.Fix, w.Accepted}
}

func describeProblems(problems []manifest.Problem) []checkProblem {
	list := []checkProblem{}
	for _, p := range problems {
		list = append(list, checkProblem{p.File, p.Pos.Line, p.Pos.Column, p.Field, p.Message})
	}
	return list
}
