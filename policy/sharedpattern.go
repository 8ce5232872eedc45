package policy

import (
	"runtime"
	"sync"
	"weak"
)

// inUse are the compiled patterns that something holds, by their texts. Loads share them: tokens
// that are rotated one at a time, each by a load of its own, would otherwise come to have a
// program each (4 KiB and more) of the patterns that they all name.
var inUse sync.Map // of weak.Pointer[Pattern]

// SharedPattern returns the pattern of a text that is in use, or compiles a new one.
func SharedPattern(text string) (*Pattern, error) {
	if w, ok := inUse.Load(text); ok {
		if p := w.(weak.Pointer[Pattern]).Value(); p != nil {
			return p, nil
		}
	}
	p, err := CompilePattern(text)
	if err != nil {
		return nil, err
	}
	w := weak.Make(p)
	inUse.Store(text, w)
	runtime.AddCleanup(p, func(text string) { inUse.CompareAndDelete(text, w) }, text)
	return p, nil
}
