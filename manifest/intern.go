package manifest

import (
	"runtime"
	"sync"
	"weak"

	"github.com/patgate/patgate/policy"
)

// inUse are the compiled patterns that something holds, by their texts. Loads share them: tokens
// that are rotated one at a time, each by a load of its own, would otherwise come to have a
// program each (4 KiB and more) of the patterns that they all name.
var inUse sync.Map // of weak.Pointer[policy.Pattern]

// compile returns the pattern of a text that is in use, or a new one.
func compile(text string) (*policy.Pattern, error) {
	if w, ok := inUse.Load(text); ok {
		if p := w.(weak.Pointer[policy.Pattern]).Value(); p != nil {
			return p, nil
		}
	}
	p, err := policy.CompilePattern(text)
	if err != nil {
		return nil, err
	}
	w := weak.Make(p)
	inUse.Store(text, w)
	runtime.AddCleanup(p, func(text string) { inUse.CompareAndDelete(text, w) }, text)
	return p, nil
}
