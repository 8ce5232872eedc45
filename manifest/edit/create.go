package edit

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

// NewToken holds the fields of a new APIToken. Empty fields are left out.
type NewToken struct {
	Name         string
	Annotations  map[string]string
	DisplayName  string
	Description  string
	User         string
	AnyUser      bool
	Logins       []string
	ActAs        []string
	Canary       bool
	Digest       token.Digest
	Issued       time.Time
	Expires      time.Time // zero: no end
	Schemes      []string
	Gates        []string
	AllowFrom    []string
	DenyFrom     []string
	Policies     []string
	LimitTo      []string
	Allow        []any // rules, as YAML and JSON hold them
	Unrestricted bool
}

// tokenFile is the form in which a new token is written.
type tokenFile struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string            `yaml:"name"`
		Annotations map[string]string `yaml:"annotations,omitempty"`
	} `yaml:"metadata"`
	Spec tokenSpec `yaml:"spec"`
}

type tokenSpec struct {
	DisplayName  string       `yaml:"displayName,omitempty"`
	Description  string       `yaml:"description,omitempty"`
	User         string       `yaml:"user,omitempty"`
	AnyUser      bool         `yaml:"anyUser,omitempty"`
	Logins       []string     `yaml:"logins,flow,omitempty"`
	Digest       string       `yaml:"digest"`
	Issued       time.Time    `yaml:"issued"`
	Expires      *time.Time   `yaml:"expires,omitempty"`
	Schemes      []string     `yaml:"schemes,flow,omitempty"`
	Gates        []string     `yaml:"gates,flow,omitempty"`
	Clients      *tokenRanges `yaml:"clients,omitempty"`
	Policies     []string     `yaml:"policies,flow,omitempty"`
	Allow        []any        `yaml:"allow,omitempty"`
	LimitTo      string       `yaml:"limitTo,omitempty"`
	ActAs        []string     `yaml:"actAs,flow,omitempty"`
	Unrestricted bool         `yaml:"unrestricted,omitempty"`
	Canary       bool         `yaml:"canary,omitempty"`
}

type tokenRanges struct {
	Allow []string `yaml:"allow,flow,omitempty"`
	Deny  []string `yaml:"deny,flow,omitempty"`
}

// YAML writes the manifest of a new token. It is not checked here: Decode does that.
func (t *NewToken) YAML() ([]byte, error) {
	f := tokenFile{APIVersion: manifest.APIVersion, Kind: manifest.KindAPIToken}
	f.Metadata.Name, f.Metadata.Annotations = t.Name, t.Annotations
	f.Spec = tokenSpec{
		DisplayName: t.DisplayName, Description: t.Description, User: t.User, AnyUser: t.AnyUser, Digest: t.Digest.String(), Issued: t.Issued.UTC().Truncate(time.Second),
		Schemes: t.Schemes, Gates: t.Gates, Policies: t.Policies, Allow: t.Allow, Unrestricted: t.Unrestricted,
		Logins: t.Logins, ActAs: t.ActAs, Canary: t.Canary,
	}
	if !t.Expires.IsZero() {
		end := t.Expires.UTC().Truncate(time.Second)
		f.Spec.Expires = &end
	}
	if len(t.AllowFrom)+len(t.DenyFrom) > 0 {
		f.Spec.Clients = &tokenRanges{t.AllowFrom, t.DenyFrom}
	}
	for _, line := range t.LimitTo {
		if strings.ContainsAny(line, "\r\n\u0085\u2028\u2029") {
			return nil, errors.New("a rule with a line's end in it, expected one rule a line")
		}
	}
	if len(t.LimitTo) > 0 {
		f.Spec.LimitTo = strings.Join(t.LimitTo, "\n") + "\n"
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(f); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}
