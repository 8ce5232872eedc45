package audit

import "testing"

// BenchmarkSeal is what a sealed line costs beyond a plain one.
func BenchmarkSeal(b *testing.B) {
	private, _, err := NewChainKey("audit")
	if err != nil {
		b.Fatal(err)
	}
	key, err := ParseChainKey(private)
	if err != nil {
		b.Fatal(err)
	}
	en := &entry{line: appendEvent(nil, allow("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "pod-1")}
	for name, l := range map[string]*Log{"plain": {}, "sealed": {chain: newChain(key, "pod-1")}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(en.line)))
			b.ReportAllocs()
			var buf []byte
			var seal tag
			for seq := uint64(1); b.Loop(); seq++ {
				buf, seal = l.appendLine(buf[:0], en, seq, seal)
			}
		})
	}
}
