package token

import (
	"fmt"
	"io"
)

// redacted is printed instead of a Secret's value.
const redacted = "REDACTED"

// Secret holds the value of a token, or another credential, on its way from a
// request to its digest. Whatever formats it (fmt with any verb, encoding/json,
// log/slog) prints REDACTED. The zero value is the empty secret.
type Secret struct{ value string }

// NewSecret wraps a value so that it can't be printed by mistake.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value. Each call of it is a place to review: `token create`
// has to print what it minted, the gate has to look at a value's form.
func (s Secret) Reveal() string { return s.value }

// Empty reports whether there is no value.
func (s Secret) Empty() bool { return s.value == "" }

// String implements fmt.Stringer without the value.
func (Secret) String() string { return redacted } // mutant: secret-printed

// Format implements fmt.Formatter, so that no verb and no flag reaches the value.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText implements encoding.TextMarshaler without the value.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
