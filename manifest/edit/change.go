package edit

import (
	"errors"
	"time"
)

// Change is one change of a token's manifest. Fields that are not set stay as they are. A store
// that holds no YAML applies the same fields to its objects.
type Change struct {
	Create   *NewToken // the document is new; the other fields are not set
	Rotation *Rotation // the token gets a new value
	Revoked  time.Time // the token ends permanently
	Fields   []Field   // get other values
	DryRun   bool      // a store finds out whether it can make the change, and writes nothing
}

// Field is a key of the spec, or an annotation, and its new value.
type Field struct {
	Annotation bool   // Key is that of an annotation, and not of the spec
	Key        string // such as suspended, or patgate.dev/hint
	Value      any    // as YAML and JSON hold it: a text, bool, time, list or map; nil takes the key out
}

// Apply returns the file's text with the change made in the document of the named token. It
// returns an error that describes what to write by hand where that can't be done safely.
func (c *Change) Apply(file string, data []byte, name string) ([]byte, error) {
	if c.Create != nil {
		if len(data) > 0 {
			return nil, errors.New(file + " is there already, expected a file of its own for a new token")
		}
		return c.Create.YAML()
	}
	var err error
	if c.Rotation != nil {
		if data, err = Rotate(file, data, name, *c.Rotation); err != nil {
			return nil, err
		}
	}
	if !c.Revoked.IsZero() {
		if data, err = Revoke(file, data, name, c.Revoked); err != nil {
			return nil, err
		}
	}
	for _, f := range c.Fields {
		if data, err = Set(file, data, name, f); err != nil {
			return nil, err
		}
	}
	return data, nil
}
