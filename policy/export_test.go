package policy

// Grown returns how much edits have added to what tokens share.
func (x *Index) Grown() int { return x.Snapshot().revision.tokens.grown }

// InUse reports whether a compiled pattern of this text is shared.
func InUse(text string) bool {
	_, there := inUse.Load(text)
	return there
}
