package policy

import "strings"

// normalizeHost returns a Host header, or :authority, in ASCII lower case without port.
// ok is false for what is not one host name with at most a port: Envoy's virtual hosts
// and an upstream could take it for different hosts. A trailing dot is such a thing:
// Envoy matches virtual hosts with it. An absent host is empty and ok.
func normalizeHost(host string) (name string, ok bool) {
	if host == "" {
		return "", true
	}
	name, port := host, ""
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		name, port = host[:end+1], host[end+1:]
		if port != "" && port[0] != ':' {
			return "", false
		}
		port = strings.TrimPrefix(port, ":")
	} else if i := strings.IndexByte(host, ':'); i >= 0 {
		name, port = host[:i], host[i+1:]
	}
	name = lowerASCII(name) // mutant: trailing-dot
	return name, isHostName(name) && isDigits(port)
}

// WithoutPort returns a host as it came, but for a port: logs tell one API by one name,
// whether Envoy leaves the port to the upstream or not.
func WithoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || !isDigits(host[i+1:]) || strings.IndexByte(host[:i], ':') >= 0 && !strings.HasSuffix(host[:i], "]") {
		return host
	}
	return host[:i]
}

// isHostName holds a name to letters, digits, `-`, `_` and single dots between them, or to
// an address in brackets.
func isHostName(name string) bool {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		return len(inner) > 1 && strings.Trim(inner, "0123456789abcdef:.") == "]"
	}
	dot := true
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if dot {
				return false
			}
			dot = true
			continue
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		dot = false
	}
	return !dot
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// lowerASCII folds A to Z and nothing else. It returns s itself where it can.
func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
