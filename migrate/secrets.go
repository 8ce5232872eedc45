package migrate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/patgate/patgate/manifest"
)

func sorted(list []string) []string { slices.Sort(list); return list }

// htpasswd is the key of a Secret for Envoy Gateway's basic authentication.
const htpasswd = ".htpasswd"

// EnvoyGateway reads the Secrets that a SecurityPolicy's apiKeyAuth names: each key is a
// client's id and its value the API key. It returns an error for a file that has none, and
// for an htpasswd Secret, whose hashes no digest can match.
func EnvoyGateway(data []byte, now time.Time) ([]Imported, error) {
	secrets, err := manifest.DecodeSecrets(data)
	if err != nil {
		return nil, err
	}
	var list []Imported
	var values []string
	seen := map[string]string{}
	for _, s := range secrets {
		for _, id := range slices.Sorted(maps.Keys(s.Data)) {
			if id == htpasswd {
				return nil, fmt.Errorf("the Secret %s is an htpasswd file: it holds salted hashes, from which the digest of a value can't be made; create new tokens for its users", s.Name)
			}
			value := string(s.Data[id])
			i := Imported{From: id, texts: []string{id, s.Name, seen[id]}}
			i.setValue(value)
			if first, twice := seen[id]; twice {
				i.refuse("the client stands in the Secret %s already: Envoy Gateway takes the first alone", first)
			} else {
				seen[id] = s.Name
			}
			i.Token.User = id
			i.setSecret(&s, now)
			i.note("it was sent in a header, query parameter or cookie of its own: here it goes into Authorization, as Basic %s:VALUE or Bearer", id)
			list, values = append(list, i), append(values, value)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no API keys in it, expected Secrets with a client's id and its key in `data`")
	}
	return finish(list, values), nil
}

// The names by which Authorino and Kuadrant know an API key.
const (
	authorinoLabel = "authorino.kuadrant.io/managed-by"
	authorinoKey   = "api_key"
	kuadrantUser   = "secret.kuadrant.io/user-id"
)

// Authorino reads the Secrets in which Authorino finds API keys: one each, under api_key.
// The user is Kuadrant's user-id, or the Secret's name.
func Authorino(data []byte, now time.Time) ([]Imported, error) {
	secrets, err := manifest.DecodeSecrets(data)
	if err != nil {
		return nil, err
	}
	var list []Imported
	var values []string
	for _, s := range secrets {
		value, ok := s.Data[authorinoKey]
		if !ok && s.Labels[authorinoLabel] == "" {
			continue // somebody else's
		}
		i := Imported{From: s.Name, texts: []string{s.Name, s.Annotations[kuadrantUser]}}
		i.setValue(string(value))
		if i.Token.User = s.Annotations[kuadrantUser]; i.Token.User == "" {
			i.Token.User = s.Name
			i.note("the Secret names no user: it is %s, after the Secret", s.Name)
		}
		i.setSecret(&s, now)
		i.note("clients send it as Bearer, or as Basic %s:VALUE, instead of APIKEY", i.Token.User)
		list, values = append(list, i), append(values, string(value))
	}
	if len(list) == 0 {
		return nil, errors.New("no API keys in it, expected Secrets with `api_key` in their data")
	}
	return finish(list, values), nil
}

// setSecret takes what a Secret says of its keys, which is little: they have no end and no
// limits.
func (i *Imported) setSecret(s *manifest.Secret, now time.Time) {
	if i.Token.Issued = s.Created; s.Created.IsZero() {
		i.Token.Issued = now
	}
	i.unrestricted()
	i.note("it has no end: give it one with expires, or a group's maxLifetime")
}
