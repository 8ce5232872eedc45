package controller

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/patgate/patgate/token"
)

// The types of conditions.
const (
	accepted    = "Accepted"
	ready       = "Ready"
	expiresSoon = "ExpiresSoon"
	revoked     = "Revoked"
)

// status is the status of an object.
type status struct {
	ObservedGeneration int64       `json:"observedGeneration,omitempty"`
	State              string      `json:"state,omitempty"`
	Ends               *time.Time  `json:"ends,omitempty"`
	LastUsed           *time.Time  `json:"lastUsed,omitempty"`
	Rules              *int        `json:"rules,omitempty"`
	Conditions         []condition `json:"conditions,omitempty"`
	Values             []value     `json:"values,omitempty"`
}

// condition is one thing that is true of an object, or not.
type condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	ObservedGeneration int64     `json:"observedGeneration,omitempty"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
}

// value is a value of a token, by its digest.
type value struct {
	Digest string     `json:"digest"`
	Issued time.Time  `json:"issued"`
	Until  *time.Time `json:"until,omitempty"`
}

// statusOf reads the status of an object; one that can't be read is none.
func statusOf(u *unstructured.Unstructured) (s status) {
	text, err := json.Marshal(u.Object["status"])
	if err != nil || json.Unmarshal(text, &s) != nil {
		return status{}
	}
	for i := range s.Conditions {
		s.Conditions[i].share()
	}
	s.State, s.Conditions = shared(s.State), slices.Clip(s.Conditions)
	return s
}

// share keeps the texts of a condition once for all objects that have the same.
func (c *condition) share() {
	c.Type, c.Status, c.Reason, c.Message = shared(c.Type), shared(c.Status), shared(c.Reason), shared(c.Message)
}

func shared(text string) string { return unique.Make(text).Value() }

// clone returns a copy whose lists are its own.
func (s *status) clone() status {
	own := *s
	own.Conditions, own.Values = slices.Clone(s.Conditions), slices.Clone(s.Values)
	return own
}

// same reports whether two statuses say the same.
func (s *status) same(other *status) bool {
	return string(s.json()) == string(other.json())
}

func (s *status) json() []byte {
	text, _ := json.Marshal(s) // of plain fields
	return text
}

// fields returns the status as an object's field.
func (s *status) fields() (fields map[string]any) {
	_ = json.Unmarshal(s.json(), &fields) // of what was made a moment ago
	return fields
}

// condition returns one by its type, or nil.
func (s *status) condition(kind string) *condition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == kind {
			return &s.Conditions[i]
		}
	}
	return nil
}

// is reports whether a condition holds.
func (s *status) is(kind string) bool {
	c := s.condition(kind)
	return c != nil && c.Status == "True"
}

// set sets a condition. The time of its last transition is that of its status.
func (s *status) set(kind string, holds bool, reason, message string, generation int64, now time.Time) {
	c := condition{kind, "False", generation, now.UTC().Truncate(time.Second), reason, message}
	if holds {
		c.Status = "True"
	}
	if was := s.condition(kind); was != nil {
		if was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
		*was = c
		return
	}
	s.Conditions = append(s.Conditions, c)
}

func sameValues(a, b []value) bool {
	return slices.EqualFunc(a, b, func(a, b value) bool { return reflect.DeepEqual(a, b) })
}

// sum returns the digest of a value; the zero one where it is none.
func (v *value) sum() token.Digest {
	d, err := token.ParseDigest(v.Digest)
	if err != nil {
		return token.Digest{}
	}
	return d
}
