package controller

import (
	"fmt"
	"slices"
	"testing"
)

// TestLanes adds items to both lanes, again and while they are looked at: each comes once, and those of the first lane first.
func TestLanes(t *testing.T) {
	l := newLanes()
	q := newQueue(l)
	defer q.ShutDown()
	add := func(item string, patient bool) {
		l.choose(item, patient)
		q.Add(item)
	}
	var got []string
	take := func() string {
		item, _ := q.Get()
		got = append(got, item)
		return item
	}
	for i := range 3 {
		add(fmt.Sprint("old-", i), true)
	}
	add("new", false)
	add("old-2", false) // it has changed
	add("old-1", true)
	add("new", true) // it stays in the first lane
	q.Done(take())
	during := take()
	add(during, true) // it changes while it is looked at
	add("newer", false)
	q.Done(during)
	for q.Len() > 0 {
		q.Done(take())
	}
	if want := []string{"new", "old-2", "newer", "old-0", "old-1", "old-2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(l.patient)+len(l.waits) > 0 {
		t.Errorf("kept: %v %v", l.patient, l.waits)
	}
}
