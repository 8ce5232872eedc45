package main

import (
	"fmt"
	"io"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/lint"
)

// checkExample is a rule with a request that it decides and a near one that it does not.
type checkExample struct {
	Rule   string        `json:"rule"`
	Policy string        `json:"policy,omitempty"`
	Kind   string        `json:"kind"` // allow or deny
	Source string        `json:"source"`
	Token  string        `json:"token,omitempty"`
	User   string        `json:"user,omitempty"` // who presented a token of any user
	Gate   string        `json:"gate,omitempty"`
	Allows *checkRequest `json:"allows,omitempty"`
	Denies *checkRequest `json:"denies,omitempty"`
	Note   string        `json:"note,omitempty"` // why one is missing
}

type checkRequest struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Host   string `json:"host,omitempty"`
	User   string `json:"user,omitempty"`
	Client string `json:"client,omitempty"`
	Body   string `json:"body,omitempty"`
	Type   string `json:"contentType,omitempty"` // of a body that is not application/json
	Reason string `json:"reason"`
}

func describeExamples(examples []lint.Example) []checkExample {
	list := []checkExample{}
	for _, e := range examples {
		d := checkExample{
			Rule: e.Rule.Name, Policy: e.Rule.Policy, Kind: "allow", Source: e.Rule.Source.String(),
			Token: e.Token, User: e.User, Gate: e.Gate, Allows: describeAsked(e.Hit), Denies: describeAsked(e.Near), Note: e.Note,
		}
		if e.Deny {
			d.Kind, d.Allows, d.Denies = "deny", d.Denies, d.Allows
		}
		list = append(list, d)
	}
	return list
}

func describeAsked(a *lint.Asked) *checkRequest {
	if a == nil {
		return nil
	}
	r := &checkRequest{Method: a.Method, Target: a.Target, Host: a.Host, User: a.User, Body: string(a.Body), Reason: a.Reason.String()}
	if types := a.Header["content-type"]; len(types) == 1 && types[0] != "application/json" {
		r.Type = types[0]
	}
	if a.Client.IsValid() {
		r.Client = a.Client.String()
	}
	return r
}

func (r *checkRequest) text() string {
	text := r.Method + " " + r.Target
	if r.Host != "" {
		text += " at " + r.Host
	}
	if r.Client != "" {
		text += " from " + r.Client
	}
	if r.Body != "" {
		text += " with " + r.Body
		if r.Type != "" {
			text += " (" + r.Type + ")"
		}
	}
	return diag.Escape(text)
}

// printExamples prints examples for people. What a rule is there for comes first.
func printExamples(out io.Writer, examples []checkExample) error {
	for _, e := range examples {
		who := e.Kind + " rule " + e.Rule
		if e.Policy != "" {
			who += " of policy " + e.Policy
		}
		switch {
		case e.Token != "" && e.User != "":
			who += ", asked as token " + e.Token + " by " + e.User + " at gate " + e.Gate
		case e.Token != "":
			who += ", asked as token " + e.Token + " at gate " + e.Gate
		case e.Gate != "":
			who += ", asked without a credential at gate " + e.Gate
		}
		allows, denies := exampleLine("allows", e.Allows), exampleLine("denies", e.Denies)
		if e.Kind == "deny" {
			allows, denies = denies, allows
		}
		text := fmt.Sprintf("%s: %s\n%s%s", diag.Escape(e.Source), diag.Escape(who), allows, denies)
		if e.Note != "" {
			text += "  none found: " + diag.Escape(e.Note) + "\n"
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
	return nil
}

func exampleLine(what string, r *checkRequest) string {
	switch {
	case r == nil:
		return ""
	case what == "denies":
		return "  " + what + "  " + r.text() + "  (" + r.Reason + ")\n"
	}
	return "  " + what + "  " + r.text() + "\n"
}
