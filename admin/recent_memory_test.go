package admin

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// TestRecentKeepsNoNames lets a token's name be a part of much text, as the index has it: what is remembered of the
// token must not keep that.
func TestRecentKeepsNoNames(t *testing.T) {
	text := strings.Repeat("names and rules of many tokens ", 100)
	name := text[:5]
	var r Recent
	r.Seen(&policy.Decision{Token: &policy.Token{Name: name}}, &audit.Event{})
	kept := 0
	r.tokens.Range(func(key, _ any) bool {
		kept++
		if unsafe.StringData(key.(string)) == unsafe.StringData(name) {
			t.Error("the name that is kept is a part of the text")
		}
		return true
	})
	if kept != 1 {
		t.Errorf("%d tokens are kept", kept)
	}
}
