package envoy

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Times are Envoy's timeouts. A zero field takes the value of DefaultTimes.
type Times struct {
	RouteTimeout          time.Duration // for the whole answer of the API; negative or zero: as long as it flows
	RequestTimeout        time.Duration // for the whole request; negative or zero: as long as it flows
	RequestHeadersTimeout time.Duration // for a request's headers
	IdleTimeout           time.Duration // for a request or an answer of which nothing comes
	ConnectionIdleTimeout time.Duration // for the next request on a connection
	ConnectTimeout        time.Duration // for a connection to the API
}

// DefaultTimes end what is idle, and let pass what flows: uploads, downloads,
// streams of events, watches.
var DefaultTimes = Times{RequestHeadersTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute, ConnectionIdleTimeout: 5 * time.Minute, ConnectTimeout: time.Second}

// complete returns the times with their defaults.
func (t Times) complete() Times {
	for _, field := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&t.RequestHeadersTimeout, DefaultTimes.RequestHeadersTimeout}, {&t.IdleTimeout, DefaultTimes.IdleTimeout},
		{&t.ConnectionIdleTimeout, DefaultTimes.ConnectionIdleTimeout}, {&t.ConnectTimeout, DefaultTimes.ConnectTimeout},
	} {
		if *field.value == 0 {
			*field.value = field.or
		}
	}
	return t
}

// longestTime keeps a time within the range of a mesh's durations.
const longestTime = 24 * time.Hour

// check checks that Envoy and the meshes accept each time.
func (t Times) check() error {
	var errs []error
	for _, field := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{
		{"route timeout", t.RouteTimeout, 0}, {"request timeout", t.RequestTimeout, 0}, {"request headers timeout", t.RequestHeadersTimeout, time.Millisecond},
		{"idle timeout", t.IdleTimeout, time.Millisecond}, {"connection idle timeout", t.ConnectionIdleTimeout, time.Millisecond}, {"connect timeout", t.ConnectTimeout, time.Millisecond},
	} {
		if field.value < field.least || field.value > longestTime || field.value%time.Millisecond != 0 {
			errs = append(errs, fmt.Errorf("a %s of %s, expected %s to %s in whole milliseconds, such as 90s", field.name, field.value, field.least, longestTime))
		}
	}
	return errors.Join(errs...)
}

// seconds writes a protobuf Duration.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

// gatewayDuration writes a Duration of the Gateway API, which has no fractions.
func gatewayDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}
