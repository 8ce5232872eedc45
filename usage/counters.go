package usage

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// Counters count the uses of each token, from any number of goroutines: none waits for another. Counts are exact;
// times, and who called last, are exact to the minute. The zero value is empty.
type Counters struct {
	table atomic.Pointer[table]
	seed  maphash.Seed // of the table

	mu     sync.Mutex // held to add a token, and to list
	size   int
	cursor uint64 // of the last change that was listed
}

// table finds counters by name: a hash table with linear probing, in which nothing is ever removed or replaced, so
// that readers need no lock.
type table []atomic.Pointer[counter]

// counter counts the uses of one token.
type counter struct {
	name  string
	hash  uint64
	cells [4]cell // by scheme, and whether the value was an older one

	rules      atomic.Pointer[ruleCounter] // those that allowed calls
	otherRules atomic.Int64                // calls that further rules allowed

	// Of the list, under Counters.mu.
	listed   int64  // the count when it was listed last
	version  uint64 // the cursor then
	reported int64  // the count when it was reported last
}

// cell counts the uses by one scheme and one kind of value.
type cell struct {
	count atomic.Int64
	first atomic.Int64 // Unix microseconds
	last  atomic.Pointer[lastUse]
}

// lastUse is the first call of the last minute with calls.
type lastUse struct {
	time      int64 // Unix microseconds
	client    netip.Addr
	gate      string
	user      string
	basicEnds time.Time
}

const microsPerMinute = int64(time.Minute / time.Microsecond)

// Seen counts the use of a token, if the decision is one. It keeps neither the decision nor the event, nor the
// message that their texts are of.
func (c *Counters) Seen(d *policy.Decision, e *audit.Event) {
	if d.Token == nil || d.Effect != policy.Allow || d.Shadowed {
		return
	}
	k := c.find(d.Token.Name)
	if k == nil {
		k = c.add(d.Token.Name)
	}
	cell := &k.cells[cellOf(d.Scheme, d.Previous)]
	now := e.Time.UnixMicro()
	// What is listed must be at least as new as the count.
	if last := cell.last.Load(); last == nil || now/microsPerMinute > last.time/microsPerMinute || last.gate != e.Gate {
		cell.note(d, e, now)
	}
	if d.Rule != nil {
		k.allowedBy(d.Rule, now)
	}
	cell.count.Add(1)
}

func cellOf(scheme policy.Scheme, previous bool) int {
	at := 0
	if scheme == policy.Basic {
		at = 1
	}
	if previous {
		at += 2
	}
	return at
}

// schemeOf is the scheme of a cell, and whether it counts uses of older values. A token is presented by basic or
// by bearer.
func schemeOf(cell int) (scheme policy.Scheme, previous bool) {
	if scheme = policy.Bearer; cell&1 == 1 {
		scheme = policy.Basic
	}
	return scheme, cell&2 == 2
}

// note keeps the first call of a minute.
func (c *cell) note(d *policy.Decision, e *audit.Event, now int64) {
	c.first.CompareAndSwap(0, now)
	last := &lastUse{time: now, client: e.Client.WithZone(""), gate: strings.Clone(e.Gate), basicEnds: e.BasicEnds}
	last.user = strings.Clone(cmp.Or(d.Principal.Actor, d.Principal.User))
	c.last.Store(last)
}

func (c *Counters) find(name string) *counter {
	t := c.table.Load()
	if t == nil {
		return nil
	}
	return t.find(name, maphash.String(c.seed, name))
}

func (t table) find(name string, hash uint64) *counter {
	for at := hash; ; at++ {
		k := t[at&uint64(len(t)-1)].Load()
		if k == nil || k.hash == hash && k.name == name {
			return k
		}
	}
}

// add returns the counter of a token, a new one if there is none yet.
func (c *Counters) add(name string) *counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.table.Load()
	if t == nil {
		c.seed = maphash.MakeSeed()
		fresh := make(table, 64)
		t = &fresh
		c.table.Store(t)
	}
	hash := maphash.String(c.seed, name)
	if k := t.find(name, hash); k != nil {
		return k
	}
	if c.size++; c.size > len(*t)/2 {
		grown := make(table, 2*len(*t))
		for i := range *t {
			if k := (*t)[i].Load(); k != nil {
				grown.put(k)
			}
		}
		t = &grown
		c.table.Store(t)
	}
	k := &counter{name: strings.Clone(name), hash: hash}
	t.put(k)
	return k
}

func (t table) put(k *counter) {
	for at := k.hash; ; at++ {
		if place := &t[at&uint64(len(t)-1)]; place.Load() == nil {
			place.Store(k)
			return
		}
	}
}

// Token returns how a token was used since the server started, or nil.
func (c *Counters) Token(name string) *Token {
	k := c.find(name)
	if k == nil {
		return nil
	}
	if t := k.token(); t.Count > 0 {
		return &t
	}
	return nil
}

// token reads a counter.
func (k *counter) token() Token {
	t := Token{Token: k.name}
	var newest *lastUse
	for i := range k.cells {
		cell := &k.cells[i]
		n, last := cell.count.Load(), cell.last.Load()
		if n == 0 || last == nil {
			continue
		}
		scheme, previous := schemeOf(i)
		t.Uses = append(t.Uses, audit.Use{Scheme: scheme.String(), Previous: previous, Count: n, First: instant(cell.first.Load()), Last: instant(last.time)})
		if scheme == policy.Basic && !last.basicEnds.IsZero() {
			ends := last.basicEnds.UTC()
			t.BasicEnds = &ends
		}
		if newest == nil || last.time > newest.time {
			newest, t.LastScheme = last, scheme.String()
		}
	}
	if newest != nil {
		t.User, t.LastGate = newest.user, newest.gate
		if newest.client.IsValid() {
			t.LastClient = newest.client.String()
		}
	}
	slices.SortFunc(t.Uses, compareUses)
	t.total()
	return t
}

func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// Entry is a token in a list, with the cursor of its last change.
type Entry struct {
	Token
	Cursor uint64 `json:"cursor"`
}

// List returns the tokens that changed after a cursor, in the order of their cursors; 0: all. A later call with
// the highest cursor of a list returns what changed since.
func (c *Counters) List(after uint64) []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Entry
	c.each(func(k *counter) {
		t := k.token()
		if t.Count != k.listed {
			c.cursor++
			k.listed, k.version = t.Count, c.cursor
		}
		if k.version > after {
			k.addRules(&t)
			list = append(list, Entry{t, k.version})
		}
	})
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Cursor, b.Cursor) })
	return list
}

// Report calls write with each token that was used since it was reported last, by name, and stops at the first
// error; what was not written comes the next time.
func (c *Counters) Report(write func(*Token) error) error {
	type changed struct {
		counter *counter
		token   Token
	}
	var list []changed
	c.mu.Lock()
	c.each(func(k *counter) {
		if t := k.token(); t.Count != k.reported {
			list = append(list, changed{k, t})
		}
	})
	c.mu.Unlock()
	slices.SortFunc(list, func(a, b changed) int { return cmp.Compare(a.token.Token, b.token.Token) })
	for i := range list {
		if err := write(&list[i].token); err != nil {
			return err
		}
		c.mu.Lock()
		list[i].counter.reported = list[i].token.Count
		c.mu.Unlock()
	}
	return nil
}

// each calls f with each counter.
func (c *Counters) each(f func(*counter)) {
	t := c.table.Load()
	if t == nil {
		return
	}
	for i := range *t {
		if k := (*t)[i].Load(); k != nil {
			f(k)
		}
	}
}
