package main

import (
	"encoding/xml"
	"fmt"
	"os"

	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/policy"
)

// The elements of a JUnit report, as CI systems read it.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    string        `xml:"time,attr"` // seconds
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes the cases and, where the run requires that each rule is matched, the
// rules that no case has matched.
func writeJUnit(file string, report *explain.Report, uncovered bool) error {
	all := junitSuites{Tests: len(report.Results), Failures: report.Failed}
	for _, r := range report.Results {
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != r.Test {
			all.Suites = append(all.Suites, junitSuite{Name: r.Test})
		}
		suite := &all.Suites[len(all.Suites)-1]
		c := junitCase{Class: r.Test, Name: r.Name, File: r.Source.File, Line: r.Source.Line, Time: fmt.Sprintf("%.6f", r.Took.Seconds())}
		if !r.Passed {
			suite.Failures++
			c.Failure = &junitFailure{Message: r.Got + ", want " + r.Want, Text: r.Why}
		}
		suite.Tests++
		suite.Cases = append(suite.Cases, c)
	}
	if uncovered {
		all.addMissed(report.Missed)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(xml.Header), append(text, '\n')...), 0o644)
}

// addMissed adds a failed case for each rule that no case of a test has matched.
func (s *junitSuites) addMissed(rules []*policy.Rule) {
	suite := junitSuite{Name: "coverage", Tests: len(rules), Failures: len(rules)}
	for _, r := range rules {
		suite.Cases = append(suite.Cases, junitCase{
			Class: suite.Name, Name: ruleName(r.Policy, r.Name), File: r.Source.File, Line: r.Source.Line, Time: "0.000000",
			Failure: &junitFailure{Message: "no case matches the rule"},
		})
	}
	s.Suites = append(s.Suites, suite)
	s.Tests, s.Failures = s.Tests+len(rules), s.Failures+len(rules)
}
