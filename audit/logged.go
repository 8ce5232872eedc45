package audit

import "time"

// Logged is an event as a log has it: a line of the audit, read back. Fields that the line does
// not have are at their zero value; `time` and `kind` are always there. Its text may be masked or cut,
// as described at Event.
type Logged struct {
	V        int       `json:"v"`
	Seq      uint64    `json:"seq"` // gapless in a process
	Instance string    `json:"instance"`
	Time     time.Time `json:"time"`
	Kind     Kind      `json:"kind"`
	Severity Severity  `json:"severity,omitempty"`
	ID       string    `json:"id,omitempty"`

	Decision     string            `json:"decision,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Detail       string            `json:"detail,omitempty"`
	Unmatched    Strings           `json:"unmatched,omitempty"`
	Status       int               `json:"status,omitempty"`
	Gate         string            `json:"gate,omitempty"`
	RouteNamed   bool              `json:"routeNamed,omitempty"`
	Scheme       string            `json:"scheme,omitempty"`
	User         string            `json:"user,omitempty"`
	UserAsserted bool              `json:"userAsserted,omitempty"`
	Actor        string            `json:"actor,omitempty"`
	ActAs        string            `json:"actAs,omitempty"`
	Token        string            `json:"token,omitempty"`
	Previous     bool              `json:"previous,omitempty"`
	Policy       string            `json:"policy,omitempty"`
	Rule         string            `json:"rule,omitempty"`
	Source       string            `json:"source,omitempty"`
	Observed     map[string]string `json:"observed,omitempty"`
	Shadow       string            `json:"shadow,omitempty"`
	BodyVerdicts map[string]string `json:"bodyVerdicts,omitempty"`
	BodyState    string            `json:"bodyState,omitempty"`
	Destination  bool              `json:"destination,omitempty"`

	Client       string `json:"client,omitempty"`
	ClientSource string `json:"clientSource,omitempty"`
	Peer         string `json:"peer,omitempty"`
	PeerName     string `json:"peerName,omitempty"`
	TLS          *bool  `json:"tls,omitempty"` // nil: an event of a version that did not say
	Method       string `json:"method,omitempty"`
	Host         string `json:"host,omitempty"`
	Path         string `json:"path,omitempty"`
	PathBytes    int    `json:"pathBytes,omitempty"`
	Query        string `json:"query,omitempty"`
	QueryBytes   int    `json:"queryBytes,omitempty"`
	UserAgent    string `json:"userAgent,omitempty"`
	RequestID    string `json:"requestId,omitempty"`
	Traceparent  string `json:"traceparent,omitempty"`
	Truncated    bool   `json:"truncated,omitempty"`

	Revision  uint64    `json:"revision,omitempty"`
	Micros    int64     `json:"micros,omitempty"`
	BasicEnds time.Time `json:"basicEnds,omitzero"`

	Problems Strings `json:"problems,omitempty"`
	Tokens   Strings `json:"tokens,omitempty"`
	Count    int     `json:"count,omitempty"`
	By       string  `json:"by,omitempty"`
	Via      string  `json:"via,omitempty"`
	Fields   Strings `json:"fields,omitempty"`
	Uses     []Use   `json:"uses,omitempty"`
	Chain    string  `json:"chain,omitempty"` // see SealOf
	Note     string  `json:"note,omitempty"`  // of a checkpoint
}
