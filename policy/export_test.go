package policy

// Grown returns how much edits have added to what tokens share.
func (x *Index) Grown() int { return x.Snapshot().revision.tokens.grown }
