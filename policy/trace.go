package policy

// Trace records how Evaluate reached a decision: each step in its order, and
// each rule that was checked. The zero value is ready to use.
type Trace struct {
	Steps []TraceStep
	Rules []TraceRule
}

// TraceStep is one check and its result.
type TraceStep struct {
	Step   Step
	Passed bool
}

// TraceRule is one rule's answer.
type TraceRule struct {
	Level   Level
	Group   string // at LevelGroup: whose policy has the rule
	Rule    *Rule
	Deny    bool   // a deny rule
	Matched bool   // every condition held
	Unclear bool   // a condition could not be decided
	Failed  Part   // the condition that failed or was unclear
	Name    string // of its parameter or node
	Second  bool   // checked against the path of Destination
	Why     string // why it was unclear
}

func (t *Trace) step(s Step, passed bool) {
	t.Steps = append(t.Steps, TraceStep{s, passed})
}

func (t *Trace) rule(level Level, r *Rule, deny bool, o outcome) {
	t.Rules = append(t.Rules, TraceRule{
		Level: level, Rule: r, Deny: deny, Matched: o.verdict == matches,
		Unclear: o.verdict == undecided, Failed: o.part, Name: o.name, Why: o.why,
	})
}

// Step is one check on the way to a decision.
type Step uint8

// The steps, in the order in which they are taken.
const (
	StepReady Step = iota
	StepTarget
	StepMethodOverride
	StepGate
	StepGateValid
	StepGateTarget
	StepTLS
	StepGateClients
	StepCredential
	StepToken
	StepForward
	StepCanary
	StepGateSchemes
	StepRevoked
	StepSuspended
	StepNotYetValid
	StepExpired
	StepTokenSchemes
	StepUser
	StepGateGroups
	StepTokenGates
	StepTokenClients
	StepActAs
)

// String names what the step checks.
func (s Step) String() string {
	return [...]string{
		StepReady:          "readiness",
		StepTarget:         "target",
		StepMethodOverride: "method override",
		StepGate:           "gate",
		StepGateValid:      "gate valid",
		StepGateTarget:     "target at this gate",
		StepTLS:            "TLS",
		StepGateClients:    "the gate's clients",
		StepCredential:     "credential",
		StepToken:          "token",
		StepForward:        "forwarding of unknown credentials",
		StepCanary:         "canary",
		StepGateSchemes:    "the gate's schemes",
		StepRevoked:        "revoked",
		StepSuspended:      "suspended",
		StepNotYetValid:    "not yet valid",
		StepExpired:        "expired",
		StepTokenSchemes:   "the token's schemes",
		StepUser:           "user",
		StepGateGroups:     "the gate's groups",
		StepTokenGates:     "the token's gates",
		StepTokenClients:   "the token's clients",
		StepActAs:          "act-as",
	}[s]
}

// Level is the level that a rule belongs to.
type Level uint8

// The levels, in the order in which they are checked.
const (
	LevelGate Level = iota
	LevelGroup
	LevelGrant    // of the token, or of the gate's anonymous callers
	LevelObserved // of a policy that only observes
)

// String returns what a message calls the level.
func (l Level) String() string {
	return [...]string{"gate", "group", "grant", "observed"}[l]
}
