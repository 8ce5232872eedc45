package main

import (
	"fmt"

	"github.com/patgate/patgate/diag"
)

// checkResult is the JSON output of check.
type checkResult struct {
	OK       bool           `json:"ok"` // the exit code is 0
	SHA256   string         `json:"sha256,omitempty"`
	Gates    int            `json:"gates"`
	Tokens   int            `json:"tokens"`
	Groups   int            `json:"groups"`
	Policies int            `json:"policies"`
	Problems []diag.Report  `json:"problems"`
	Warnings []diag.Report  `json:"warnings"`
	Accepted []diag.Report  `json:"accepted,omitempty"` // warnings that a comment accepts
	NotRead  []string       `json:"notRead,omitempty"`  // files with manifests whose names keep them from being read
	Against  *checkAgainst  `json:"against,omitempty"`
	Examples []checkExample `json:"examples,omitempty"`
}

// checkAgainst is the result of the comparison with older manifests.
type checkAgainst struct {
	Problems []diag.Report  `json:"problems"` // of the older manifests
	Revivals []checkRevival `json:"revivals"`
}

type checkRevival struct {
	Token string `json:"token"`
	diag.Report
	Was string `json:"was"` // FILE:LINE:COLUMN in the older manifests
}

func (c *checked) describe(ok bool) checkResult {
	rows := &c.in.Rows
	r := checkResult{
		OK: ok, Gates: len(rows.Gates), Tokens: len(rows.Tokens), Groups: len(rows.Groups), Policies: len(rows.Policies), Examples: c.examples, NotRead: c.passedOver,
		Problems: diag.Reports(c.in.Problems), Warnings: diag.Reports(c.warnings),
	}
	if len(c.in.Problems) == 0 {
		r.SHA256 = fmt.Sprintf("%x", rows.SHA256)
	}
	if len(c.accepted) > 0 {
		r.Accepted = diag.Reports(c.accepted)
	}
	if c.older != nil {
		r.Against = &checkAgainst{Problems: diag.Reports(c.older.Problems), Revivals: []checkRevival{}}
		for _, v := range c.revivals {
			r.Against.Revivals = append(r.Against.Revivals, checkRevival{v.Token, v.Report(), v.Was})
		}
	}
	return r
}
