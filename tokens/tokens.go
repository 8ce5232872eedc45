// Package tokens creates, changes and ends tokens. It is the only path for this, for every caller: names, rights, caps
// and events are decided here. The command line, the management API and the controller differ in their Store and in
// what they print. The package knows nothing of HTTP, flags or directories: errors name fields, and the caller
// translates them into its own names, such as flags.
//
// Every change is checked together with all documents and then written as a compare-and-swap, so that concurrent
// changes are never lost.
package tokens

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/ruleset"
)

// Revision distinguishes two states of a document, as an ETag does. It is empty for one that does not
// exist.
type Revision string

// Stored is a token as its store holds it.
type Stored struct {
	Document *manifest.Document // its spec may have problems
	File     string             // the name under which problems show its text
	Data     []byte             // the text of the file, which may have other documents
	Revision Revision
}

// Receipt describes what a store has written.
type Receipt struct {
	File     string
	Revision Revision
	Undo     func(context.Context) error // writes back what was there; an error where that has changed
}

// Store keeps APIToken documents. Apply is a compare-and-swap on the revision.
type Store interface {
	// Get returns a token by its name, whatever is wrong with other documents. It returns an
	// *UnknownError where there is none, and a *RefusedError where that is not known.
	Get(ctx context.Context, name string) (*Stored, error)

	// Apply makes a change of the token that has this revision; an empty one: that does not exist.
	// It returns a *ConflictError where it has another one, and a *RefusedError where this store
	// can't make the change. A dry run finds out whether it could, and writes nothing.
	Apply(ctx context.Context, name string, was Revision, change *edit.Change) (Receipt, error)
}

// Documents gives a Service all documents, tokens and others.
type Documents interface {
	// Documents returns what is stored now, with its Problems.
	Documents(ctx context.Context) (*ruleset.Set, error)

	// FileFor returns the name that the file of a new token gets. It returns a *RefusedError where
	// there can't be one.
	FileFor(name string) (string, error)
}

// Service creates, changes and ends tokens.
type Service struct {
	Store     Store
	Documents Documents
	Now       func() time.Time // default: time.Now
	Events    func(Event)      // gets what was changed; default: none
}

func (s *Service) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// RefusedError explains why a token was not created or changed.
type RefusedError struct {
	Code    Code
	Field   string   // of the request, as manifests call it; may be empty
	Reasons []string // each is a line
}

// Code names a kind of refusal. Codes are stable.
type Code string

// The codes.
const (
	Invalid     Code = "invalid"      // the manifest would be refused
	NameTaken   Code = "name_taken"   // a token has the name
	BeyondCap   Code = "beyond_cap"   // the user's groups allow no such lifetime
	BeyondGrant Code = "beyond_grant" // the caller's token may not grant that
	NoRight     Code = "no_right"     // the actor may not do that
	TooMany     Code = "too_many"     // the user holds as many tokens as the groups allow
	Widens      Code = "widens"       // the token could do more than before
	BadState    Code = "bad_state"    // the token has ended, or is no token to change
	NotEditable Code = "not_editable" // the store can't change this document
	BadDocument Code = "bad_document" // other documents have problems
)

// Error returns the reasons, one a line.
func (e *RefusedError) Error() string { return strings.Join(e.Reasons, "\n") }

// Refuse returns a RefusedError with one reason.
func Refuse(code Code, field, format string, args ...any) error {
	return &RefusedError{code, field, []string{fmt.Sprintf(format, args...)}}
}

// refusedFor refuses a manifest for its problems.
func refusedFor(problems []diag.Problem) error {
	return &RefusedError{Invalid, problems[0].Field, append([]string{"The manifest would be refused:"}, diag.Strings(problems)...)}
}

// ConflictError reports that a document has changed since it was read.
type ConflictError struct{ File string }

// Error says what to do.
func (e *ConflictError) Error() string {
	return e.File + " was changed by somebody else meanwhile: nothing is written, try again"
}

// UnavailableError reports that a store can't be read or written now, or not at all by this process.
type UnavailableError struct{ Err error }

// Error returns why.
func (e *UnavailableError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *UnavailableError) Unwrap() error { return e.Err }

// LeftoverError reports that a change could not be undone.
type LeftoverError struct {
	File string
	Err  error
}

func (e *LeftoverError) Error() string { return e.File + " could not be restored: " + e.Err.Error() }

// Unwrap returns why.
func (e *LeftoverError) Unwrap() error { return e.Err }

// Request holds the fields of every change.
type Request struct {
	Actor Actor
	Via   Via
}

// Event is one change of a token.
type Event struct {
	Action Action
	Time   time.Time
	By     string // who asked; empty: the user of the command line
	Via    Via
	Token  string
	User   string   // whose token it is
	Fields []string // that an update changed
}

// Action is the change that an Event reports.
type Action string

// The actions.
const (
	Created Action = "token.created"
	Updated Action = "token.updated"
	Revoked Action = "token.revoked"
	Rotated Action = "token.rotated"
)

// Via is the interface through which a change was requested.
type Via string

// The ways.
const (
	ViaCommand    Via = "cli"
	ViaAPI        Via = "api"
	ViaPage       Via = "page"
	ViaController Via = "controller"
)

// event reports a change.
func (s *Service) event(r *Request, action Action, doc *manifest.Document, fields ...string) {
	if s.Events == nil {
		return
	}
	s.Events(Event{
		Action: action, Time: s.now().UTC(), By: r.Actor.User, Via: r.Via,
		Token: doc.Key(), User: string(doc.APIToken.User), Fields: fields,
	})
}
