package check

import (
	"slices"
	"strings"
)

// statuses are the names of envoy.type.v3.StatusCode: each run of numbers by its first
// (TestStatuses).
var statuses = map[int64]string{
	100: "Continue",
	200: "OK Created Accepted NonAuthoritativeInformation NoContent ResetContent PartialContent MultiStatus AlreadyReported",
	226: "IMUsed",
	300: "MultipleChoices MovedPermanently Found SeeOther NotModified UseProxy",
	307: "TemporaryRedirect PermanentRedirect",
	400: "BadRequest Unauthorized PaymentRequired Forbidden NotFound MethodNotAllowed NotAcceptable ProxyAuthenticationRequired RequestTimeout Conflict Gone",
	411: "LengthRequired PreconditionFailed PayloadTooLarge URITooLong UnsupportedMediaType RangeNotSatisfiable ExpectationFailed",
	421: "MisdirectedRequest UnprocessableEntity Locked FailedDependency",
	426: "UpgradeRequired",
	428: "PreconditionRequired TooManyRequests",
	431: "RequestHeaderFieldsTooLarge",
	500: "InternalServerError NotImplemented BadGateway ServiceUnavailable GatewayTimeout HTTPVersionNotSupported VariantAlsoNegotiates InsufficientStorage LoopDetected",
	510: "NotExtended NetworkAuthenticationRequired",
}

// The consequences of a status for an outage. Envoy sends any status that it knows
// (measured), and calls no upstream.
const (
	asRefusal = "clients take an outage for a refusal, and throw away good tokens"
	asSuccess = "clients take an outage for a success: Envoy answers itself, and the upstream gets nothing"
	asNeither = "clients do not learn of an outage: Envoy answers itself, and the upstream gets nothing"
)

// isStatus refuses the statuses of some classes, such as 4 for 4xx. Class 0 are those
// that Envoy does not know. Where names are not read, it does not know them either.
func isStatus(names bool, classes ...int64) want {
	return func(n *node) string {
		switch {
		case !slices.Contains(classes, status(n, names)/100):
			return ""
		case n.get("code") != nil:
			return shown(n.get("code"))
		case n == nil || n.kind == mapping:
			return "is missing"
		case n.str() == "":
			return "is empty"
		}
		return shown(n)
	}
}

// status returns the status that clients get: of an HttpStatus, or of a scalar as Istio and
// Envoy Gateway have it. It is 0 for one that Envoy does not know.
func status(n *node, names bool) int64 {
	if code := n.get("code"); code != nil {
		n = code
	}
	if n == nil || n.kind != list && n.text == "" {
		return 403 // Envoy's default
	}
	number, given := n.number()
	for first, run := range statuses {
		for i, name := range strings.Fields(run) {
			if known := first + int64(i); given && number == known || names && strings.EqualFold(n.text, name) {
				return known
			}
		}
	}
	return 0
}
