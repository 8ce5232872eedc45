package manifest

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestLoadsSharePatterns checks that a pattern is compiled once for all loads while a row holds
// it, and is released afterwards.
func TestLoadsSharePatterns(t *testing.T) {
	const text = "/rest/api/2/issue/[A-Z]+-of-a-test"
	var first, second Decoder
	p, err := first.pattern(text)
	if err != nil {
		t.Fatal(err)
	}
	if q, _ := second.pattern(text); q != p {
		t.Error("a second load compiled it again")
	}
	runtime.KeepAlive(&first)
	first, second = Decoder{}, Decoder{}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		runtime.GC()
		if _, there := inUse.Load(text); !there {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no row holds it, and it is still there")
		}
	}
	for i := range 2 {
		var dec Decoder
		if _, err := dec.pattern(fmt.Sprintf("(%d", i)); err == nil {
			t.Error("a bad pattern was taken")
		}
	}
}
