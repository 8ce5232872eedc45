package policy_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
)

// TestLoadsSharePatterns checks that a pattern is compiled once for all loads while a row holds
// it, and is released afterwards.
func TestLoadsSharePatterns(t *testing.T) {
	const text = "/rest/api/2/issue/[A-Z]+-of-a-test"
	p, err := policy.SharedPattern(text)
	if err != nil {
		t.Fatal(err)
	}
	if q, _ := policy.SharedPattern(text); q != p {
		t.Error("a second load compiled it again")
	}
	runtime.KeepAlive(p)
	for deadline := time.Now().Add(10 * time.Second); policy.InUse(text); time.Sleep(time.Millisecond) {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatal("no row holds it, and it is still there")
		}
	}
	for i := range 2 {
		if _, err := policy.SharedPattern(fmt.Sprintf("(%d", i)); err == nil {
			t.Error("a bad pattern was taken")
		}
	}
}
