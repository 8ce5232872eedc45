package policy

import "slices"

// hashes finds numbers by 64-bit hashes. It is flat and immutable: an edit copies the shards that it
// touches, some two KiB each, so that readers of an older one see nothing of it. Each slot holds a
// tag, which is the low half of the hash, above the number plus one; a slot of zero is empty.
type hashes struct {
	shards [][]uint64 // a power of two of them; each open addressed, with a power of two of slots
	shift  uint       // of a hash, to its shard's index
	owned  []bool     // the shards that the edit under way has copied; nil: none is under way
	counts []uint32   // of the numbers in each shard
}

const (
	perShard  = 256       // numbers in a shard, on average, when all are placed anew
	shardSize = 8         // slots of a new shard
	maxShards = 1 << 16   // as many as a hundred million numbers need
	fullest   = 8         // of ten slots
	tagMask   = 1<<32 - 1 // of a hash
)

// newHashes returns an empty one that is good for some numbers.
func newHashes(numbers int) hashes {
	n, bits := 1, uint(0)
	for n*perShard < numbers && n < maxShards {
		n, bits = 2*n, bits+1
	}
	return hashes{shards: make([][]uint64, n), counts: make([]uint32, n), shift: 64 - bits}
}

// find returns the number with a hash for which same returns true.
func (x *hashes) find(hash uint64, same func(number uint32) bool) (number uint32, found bool) {
	if len(x.shards) == 0 {
		return 0, false
	}
	shard := x.shards[hash>>x.shift]
	if len(shard) == 0 {
		return 0, false
	}
	mask := len(shard) - 1
	for at := int(hash&tagMask) & mask; shard[at] != 0; at = (at + 1) & mask {
		if shard[at]>>32 == hash&tagMask && same(uint32(shard[at]&tagMask)-1) {
			return uint32(shard[at]&tagMask) - 1, true
		}
	}
	return 0, false
}

// edit returns one that can be changed while x stays as it is.
func (x *hashes) edit() hashes {
	return hashes{slices.Clone(x.shards), x.shift, make([]bool, len(x.shards)), slices.Clone(x.counts)}
}

// own returns a shard that can be changed, with room for one number more.
func (x *hashes) own(i int) []uint64 {
	shard := x.shards[i]
	switch {
	case len(shard) == 0:
		shard = make([]uint64, shardSize)
	case int(x.counts[i]+1)*10 > len(shard)*fullest:
		grown := make([]uint64, 2*len(shard))
		for _, slot := range shard {
			if slot != 0 {
				place(grown, slot)
			}
		}
		shard = grown
	case x.owned != nil && !x.owned[i]:
		shard = slices.Clone(shard)
	default:
		return shard
	}
	if x.owned != nil {
		x.owned[i] = true
	}
	x.shards[i] = shard
	return shard
}

func place(shard []uint64, slot uint64) {
	mask := len(shard) - 1
	at := int(slot>>32) & mask
	for shard[at] != 0 {
		at = (at + 1) & mask
	}
	shard[at] = slot
}

// add puts a number in.
func (x *hashes) add(hash uint64, number uint32) {
	i := int(hash >> x.shift)
	place(x.own(i), hash<<32|uint64(number+1))
	x.counts[i]++
}

// remove takes a number out. The slots after it move up, so that none is lost behind a gap.
func (x *hashes) remove(hash uint64, number uint32) {
	i, slot := int(hash>>x.shift), hash<<32|uint64(number+1)
	if len(x.shards[i]) == 0 {
		return
	}
	shard := x.own(i)
	mask := len(shard) - 1
	at := int(hash&tagMask) & mask
	for ; shard[at] != slot; at = (at + 1) & mask {
		if shard[at] == 0 {
			return
		}
	}
	shard[at] = 0
	x.counts[i]--
	for at = (at + 1) & mask; shard[at] != 0; at = (at + 1) & mask {
		moving := shard[at]
		shard[at] = 0
		place(shard, moving)
	}
}
