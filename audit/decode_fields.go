package audit

// textField returns the field of a text; nil: it is none.
func (l *Logged) textField(key string) *string {
	switch key {
	case "instance":
		return &l.Instance
	case "kind":
		return (*string)(&l.Kind)
	case "severity":
		return (*string)(&l.Severity)
	case "id":
		return &l.ID
	case "decision":
		return &l.Decision
	case "reason":
		return &l.Reason
	case "detail":
		return &l.Detail
	case "gate":
		return &l.Gate
	case "scheme":
		return &l.Scheme
	case "user":
		return &l.User
	case "actor":
		return &l.Actor
	case "actAs":
		return &l.ActAs
	case "token":
		return &l.Token
	case "policy":
		return &l.Policy
	case "rule":
		return &l.Rule
	case "source":
		return &l.Source
	case "shadow":
		return &l.Shadow
	case "bodyState":
		return &l.BodyState
	case "client":
		return &l.Client
	case "clientSource":
		return &l.ClientSource
	case "peer":
		return &l.Peer
	case "peerName":
		return &l.PeerName
	case "method":
		return &l.Method
	case "host":
		return &l.Host
	case "path":
		return &l.Path
	case "query":
		return &l.Query
	case "userAgent":
		return &l.UserAgent
	case "requestId":
		return &l.RequestID
	case "traceparent":
		return &l.Traceparent
	case "by":
		return &l.By
	case "via":
		return &l.Via
	case "chain":
		return &l.Chain
	case "note":
		return &l.Note
	}
	return nil
}

// flagField returns the field of a flag; nil: it is none.
func (l *Logged) flagField(key string) *bool {
	switch key {
	case "routeNamed":
		return &l.RouteNamed
	case "userAsserted":
		return &l.UserAsserted
	case "previous":
		return &l.Previous
	case "destination":
		return &l.Destination
	case "truncated":
		return &l.Truncated
	}
	return nil
}

// intField returns the field of a number; nil: it is none.
func (l *Logged) intField(key string) *int {
	switch key {
	case "v":
		return &l.V
	case "status":
		return &l.Status
	case "pathBytes":
		return &l.PathBytes
	case "queryBytes":
		return &l.QueryBytes
	case "count":
		return &l.Count
	}
	return nil
}

// listField returns the field of a list; nil: it is none.
func (l *Logged) listField(key string) *Strings {
	switch key {
	case "unmatched":
		return &l.Unmatched
	case "problems":
		return &l.Problems
	case "tokens":
		return &l.Tokens
	case "fields":
		return &l.Fields
	}
	return nil
}
