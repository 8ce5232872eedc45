package admin

// MaxTaken is how many texts that were taken a process remembers.
const MaxTaken = maxTaken

// The bounds on bodies.
const (
	SmallBody   = smallBody
	LargeBodies = largeBodies
)

// Taken returns how many it remembers.
func (s *Sessions) Taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}
