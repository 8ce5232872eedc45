package ruleset

// Decision is what was decided about an object.
type Decision struct {
	Object  string // its ID
	Problem string // why it is not accepted; empty: it is
	Kept    bool   // its last good version runs
}

// track remembers a decision.
func (o *Objects) track(object *Object, problem string, kept bool) {
	if o.Track {
		o.decided = append(o.decided, Decision{object.ID(), problem, kept})
	}
}

// Decisions returns what was decided since the last call, in that order. An object that has not changed may be among them.
func (o *Objects) Decisions() []Decision {
	list := o.decided
	o.decided = nil
	return list
}
