package wire

import (
	"unicode/utf8"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxHealthMessage is the maximum length of a request of the health service.
const maxHealthMessage = 4 << 10

// The statuses of grpc.health.v1.HealthCheckResponse.
const (
	statusUnknown        = 0 // not sent yet
	statusServing        = 1
	statusNotServing     = 2
	statusServiceUnknown = 3
)

// health answers a call of the health service.
func (c *conn) health(st *stream, text string) {
	service, ok := healthService(text)
	if !ok {
		c.refuse(st, codeInternal, "expected a HealthCheckRequest")
		return
	}
	known := service == "" || "/"+service+"/" == c.s.o.Method[:len(c.s.o.Method)-len(methodName(c.s.o.Method))]
	switch {
	case st.kind == kindHealthWatch:
		st.status = statusServiceUnknown
		if known {
			st.status = statusUnknown
		}
		c.out = appendHeaders(c.out, st.id, 0, c.firstBlock(), headOK)
		c.notifyWatcher(st)
	case !known:
		c.refuse(st, codeNotFound, "unknown service")
	default:
		st.deciding = true
		c.answer(st.id, healthMessage(c.status()))
	}
}

// methodName returns what follows the last slash.
func methodName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}

// healthService reads the service's name of a HealthCheckRequest.
func healthService(text string) (service string, ok bool) {
	for b := []byte(text); len(b) > 0; {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return "", false
		}
		b = b[size:]
		if n == 1 && kind == protowire.BytesType {
			var value []byte
			if value, size = protowire.ConsumeBytes(b); size < 0 || !utf8.Valid(value) {
				return "", false
			}
			service = string(value)
		} else if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
			return "", false
		}
		b = b[size:]
	}
	return service, true
}

func healthMessage(status int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(status))
}

func (c *conn) status() int {
	if c.s.serving.Load() {
		return statusServing
	}
	return statusNotServing
}

// notifyWatcher sends a watcher the changed status, if the peer has read the one before.
func (c *conn) notifyWatcher(st *stream) {
	status := c.status()
	if st.status == statusServiceUnknown {
		status = statusServiceUnknown
	}
	if len(st.rest) > 0 || st.sent == status || st.done {
		return
	}
	st.sent = status
	message := healthMessage(status)
	c.sendRest(st, append(appendPrefix(nil, len(message)), message...), nil)
}

// notifyWatchers sends the status to all watchers of the connection.
func (c *conn) notifyWatchers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, st := range c.streams {
		if st.kind == kindHealthWatch && st.ended {
			c.notifyWatcher(st)
		}
	}
	c.flushAside()
}

// endWatches ends the streams that would never end by themselves.
func (c *conn) endWatches() {
	for _, st := range c.streams {
		if st.kind != kindHealthWatch || !st.ended {
			continue
		}
		block := append(literal("grpc-status", "14"), literal("grpc-message", "the server leaves")...)
		c.out = appendHeaders(c.out, st.id, http2.FlagHeadersEndStream, nil, block)
		c.finish(st)
	}
}
