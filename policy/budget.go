package policy

// Budget decides whether a costly evaluation may continue: whether the call's deadline is
// not over, and whether the token has not more than its share.
type Budget interface {
	// MayContinue is called before each piece of costly work. The token is nil for callers
	// without one.
	MayContinue(t *Token) bool
}

// pieceOfWork is how many steps patterns may cost between two calls of MayContinue. A step
// is one instruction of a pattern at one byte of a text, and takes some nanoseconds. The
// rules of ordinary requests cost less than one piece.
const pieceOfWork = 1 << 17

// meter counts what the rules of a request cost.
type meter struct {
	budget Budget
	token  *Token
	steps  int
	over   bool // MayContinue returned false
}

// allows reports whether a pattern may be matched against a text. Once it may not, no other
// pattern may be.
func (m *meter) allows(p *Pattern, text string) bool { return m.spend(p.steps(text)) }

// spend reports whether work of some steps may be done.
func (m *meter) spend(steps int) bool {
	if m.steps += steps; m.steps < pieceOfWork {
		return true
	}
	m.over = m.over || m.budget != nil && !m.budget.MayContinue(m.token) // mutant: costly-rules-dont-stop
	if !m.over {
		m.steps = 0
	}
	return !m.over
}
