package migrate

import (
	"errors"
	"slices"
	"time"

	"github.com/patgate/patgate/manifest"
)

func sorted(list []string) []string { slices.Sort(list); return list }

// htpasswd is the key of a Secret for Envoy Gateway's basic authentication.
const htpasswd = ".htpasswd"

// EnvoyGateway reads the Secrets that a SecurityPolicy's apiKeyAuth names: each key is a
// client's id and its value the API key. It returns an error for a file that has none.
// An htpasswd Secret is refused: no digest can match its hashes.
func EnvoyGateway(data []byte, now time.Time) ([]Imported, error) {
	secrets, err := manifest.DecodeSecrets(data)
	if err != nil {
		return nil, err
	}
	var list []Imported
	var values []string
	seen := map[string]string{}
	for n := range secrets {
		s := &secrets[n]
		if i, whole := unreadable(s); whole {
			list = append(list, i)
			continue
		}
		for _, e := range s.Entries {
			i := Imported{From: e.Key, Pos: e.Pos, texts: []string{e.Key, s.Name, seen[e.Key]}}
			if e.Key == htpasswd {
				i.From = s.Name
				i.refuse("the Secret %s is an htpasswd file: it holds salted hashes, from which the digest of a value can't be made; create new tokens for its users", s.Name)
				list = append(list, i)
				continue
			}
			i.setEntry(s, &e)
			if first, twice := seen[e.Key]; twice {
				i.refuse("the client is in the Secret %s already: Envoy Gateway takes the first alone", first)
			} else {
				seen[e.Key] = s.Name
			}
			i.Token.User = e.Key
			i.setSecret(s, now)
			i.note("it was sent in a header, query parameter or cookie of its own: here it goes into Authorization, as Basic %s:VALUE or Bearer", e.Key)
			list, values = append(list, i), append(values, string(e.Value))
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no API keys in it, expected Secrets with a client's id and its key in `data`")
	}
	return finish(list, values), nil
}

// unreadable refuses a Secret as a whole: one of a type that holds no API keys, which is left out,
// and an encrypted one.
func unreadable(s *manifest.Secret) (i Imported, whole bool) {
	i = Imported{From: s.Name, Pos: s.Pos}
	switch {
	case s.Type != "" && s.Type != "Opaque" && encrypted(s.Type) == "":
		i.LeftOut = true
		i.refuse("the Secret's type is %s, which holds no API keys: expected Opaque", s.Type)
	case s.Problem != "":
		i.refuse("%s", s.Problem)
	case encrypted(s.Type) != "":
		i.refuse("%s", encrypted(s.Type))
	}
	return i, i.Refused != ""
}

// setEntry imports the value of a Secret's key.
func (i *Imported) setEntry(s *manifest.Secret, e *manifest.SecretEntry) {
	if e.Problem != "" {
		i.refuse("%s", e.Problem)
		return
	}
	if !e.Raw {
		i.setValue(string(e.Value))
		return
	}
	for _, find := range []func(string) string{encrypted, masked, template} {
		if problem := find(string(e.Value)); problem != "" {
			i.refuse("%s", problem)
			return
		}
	}
	i.refuse("data.%s of the Secret %s is no base64, expected `data` in base64, or `stringData`", e.Key, s.Name)
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
	for n := range secrets {
		s := &secrets[n]
		e := s.Entry(authorinoKey)
		if e == nil && s.Labels[authorinoLabel] == "" && s.Problem == "" {
			continue // somebody else's
		}
		i, whole := unreadable(s)
		if !whole {
			i = importKey(s, e, now)
		}
		if e != nil {
			values = append(values, string(e.Value))
		}
		list = append(list, i)
	}
	if len(list) == 0 {
		return nil, errors.New("no API keys in it, expected Secrets with `api_key` in their data")
	}
	return finish(list, values), nil
}

// importKey imports the API key of a Secret, or refuses a Secret without one.
func importKey(s *manifest.Secret, e *manifest.SecretEntry, now time.Time) Imported {
	i := Imported{From: s.Name, Pos: s.Pos, texts: []string{s.Name, s.Annotations[kuadrantUser]}}
	if e == nil {
		i.refuse("it has no value")
	} else {
		i.Pos = e.Pos
		i.setEntry(s, e)
	}
	if i.Token.User = s.Annotations[kuadrantUser]; i.Token.User == "" {
		i.Token.User = s.Name
		i.note("the Secret names no user: it is %s, after the Secret", s.Name)
	}
	i.setSecret(s, now)
	i.note("clients send it as Bearer, or as Basic %s:VALUE, instead of APIKEY", i.Token.User)
	return i
}

// setSecret imports the metadata of a Secret's keys, which have no end and no limits.
func (i *Imported) setSecret(s *manifest.Secret, now time.Time) {
	if i.Token.Issued = s.Created; s.Created.IsZero() {
		i.Token.Issued = now
	}
	i.unrestricted()
	i.note("it has no end: give it one with expires, or a group's maxLifetime")
}
