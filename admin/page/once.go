package page

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// once remembers which forms were sent, so that loading the page of a new value again does not make
// another one.
type once struct {
	now  func() time.Time
	mu   sync.Mutex
	sent map[formKey]sentForm
}

// formKey is the digest of a user and the id of a form. Clients send the id, and it may be long.
type formKey [sha256.Size]byte

func keyOf(user, id string) formKey { return sha256.Sum256([]byte(user + "\x00" + id)) }

type sentForm struct {
	token string // that it made; empty: it is at it
	at    time.Time
}

// The bounds on what is remembered of forms.
const (
	onceSpan = 24 * time.Hour
	onceMost = 10_000
)

func newOnce(now func() time.Time) *once { return &once{now: now, sent: map[formKey]sentForm{}} }

// id is for a new form.
func (o *once) id() string { return rand.Text() }

// begin reports whether a form of a user is sent for the first time, and otherwise what it made.
func (o *once) begin(user, id string) (token string, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := keyOf(user, id)
	if was, there := o.sent[key]; there {
		return was.token, false
	}
	if len(o.sent) >= onceMost {
		o.forget()
	}
	o.sent[key] = sentForm{at: o.now()}
	return "", true
}

// forget drops old forms, and all where none is old.
func (o *once) forget() {
	for key, f := range o.sent {
		if o.now().Sub(f.at) > onceSpan {
			delete(o.sent, key)
		}
	}
	if len(o.sent) >= onceMost {
		clear(o.sent)
	}
}

// end remembers what a form made; nothing: it may be sent again.
func (o *once) end(user, id, token string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := keyOf(user, id)
	if token == "" {
		delete(o.sent, key)
		return
	}
	o.sent[key] = sentForm{token, o.now()}
}
