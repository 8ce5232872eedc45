package usage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Read reads what `patgate usage -o json` printed, or what servers published at /usage. Of several lines of one
// instance about a token, the last counts.
func Read(r io.Reader) (Uses, error) {
	all, lines := Uses{}, map[[2]string]*Token{}
	values := json.NewDecoder(r)
	for n := 1; ; n++ {
		var v struct {
			Line
			Tokens []Token `json:"tokens"`
		}
		if err := values.Decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("value %d: %w; expected what `patgate usage -o json` prints, or lines of /usage", n, err)
		}
		switch {
		case v.Token.Token != "" && v.Count > 0 && !v.Last.IsZero():
			lines[[2]string{v.Instance, v.Token.Token}] = &v.Token
		case v.Tokens == nil:
			return nil, fmt.Errorf("value %d has no tokens with their counts: expected what `patgate usage -o json` prints, or lines of /usage", n)
		}
		for i := range v.Tokens {
			all.Add(&v.Tokens[i])
		}
	}
	for _, t := range lines {
		all.Add(t)
	}
	return all, nil
}
