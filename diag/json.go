package diag

import "strconv"

// Report is a Problem in JSON.
type Report struct {
	Code     Code   `json:"code,omitempty"`
	Severity string `json:"severity,omitempty"` // of what has a code
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Field    string `json:"field,omitempty"`
	Message  string `json:"message"`
	Fix      string `json:"fix,omitempty"`
	Reason   string `json:"reason,omitempty"` // of the comment that suppresses it
	Source   string `json:"source,omitempty"` // FILE:LINE, as other commands have it
}

// Report returns the problem in the form for JSON.
func (p Problem) Report() Report {
	severity := ""
	if p.Code != "" {
		severity = p.Severity.String()
	}
	source := p.File
	if p.Pos.Line > 0 {
		source += ":" + strconv.Itoa(p.Pos.Line)
	}
	return Report{p.Code, severity, p.File, p.Pos.Line, p.Pos.Column, p.Field, p.Message, p.Fix, p.Suppressed, source}
}

// Reports returns problems in the form for JSON: a list that may be empty and is never null.
func Reports(problems []Problem) []Report {
	list := make([]Report, 0, len(problems))
	for _, p := range problems {
		list = append(list, p.Report())
	}
	return list
}
