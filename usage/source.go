package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// Line is one line of what a server publishes at /usage: a token that was used since it started.
type Line struct {
	Instance string `json:"instance"`
	Entry
}

// Source follows what servers publish at one URL. Several servers may answer there. Make one with NewSource.
type Source struct {
	url    string
	client *http.Client

	mu        sync.Mutex
	last      map[string]string // the instance that answered last, by address
	instances map[string]*instance
	order     []string // of instances, that which answered last comes last
	ended     Uses     // what instances knew that were not heard of for long
}

// instance holds the reports of one process.
type instance struct {
	cursor uint64
	tokens map[string]*Token
}

// maxInstances is how many processes are counted separately at one URL.
const maxInstances = 100

// maxAnswer bounds one answer.
const maxAnswer = 1 << 30

// NewSource returns a source. The URL is that of a status port, such as http://10.0.0.7:9192.
func NewSource(from string, client *http.Client) (*Source, error) {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("expected the URL of a status port, such as http://127.0.0.1:9192")
	}
	if !strings.HasSuffix(u.Path, "/usage") {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/usage"
	}
	return &Source{url: u.String(), client: client, last: map[string]string{}, instances: map[string]*instance{}, ended: Uses{}}, nil
}

// Fetch fetches what changed since the last time.
func (s *Source) Fetch(ctx context.Context) error { return s.FetchAt(ctx, "", s.client) }

// FetchAt does it at one address of the URL's host, to which the client connects.
func (s *Source) FetchAt(ctx context.Context, address string, client *http.Client) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return err
	}
	r.URL.RawQuery = s.query(address)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d, expected 200: is it the status port of patgate serve?", s.url, answer.StatusCode)
	}
	return s.read(address, answer.Body)
}

// query fetches from a process what changed. It does not wait long for a process that hangs.
func (s *Source) query(address string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.instances[s.last[address]]
	if known == nil {
		return ""
	}
	return url.Values{"instance": {s.last[address]}, "after": {strconv.FormatUint(known.cursor, 10)}}.Encode()
}

// read takes an answer over, line by line.
func (s *Source) read(address string, body io.Reader) error {
	lines := json.NewDecoder(io.LimitReader(body, maxAnswer))
	for {
		var l Line
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", s.url, err)
		case l.Instance == "" || l.Token.Token == "":
			return fmt.Errorf("%s: a line without instance or token", s.url)
		}
		s.take(address, &l)
	}
}

// take takes one line over.
func (s *Source) take(address string, l *Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instance(address, l.Instance)
	i.cursor = max(i.cursor, l.Cursor)
	i.tokens[l.Token.Token] = &l.Token
}

// instance returns what is known of a process, and notes that it answers at an address.
func (s *Source) instance(address, name string) *instance {
	if known := s.instances[name]; known != nil && s.last[address] == name {
		return known
	}
	s.last[address] = name
	for at, known := range s.order {
		if known == name {
			s.order = append(append(s.order[:at:at], s.order[at+1:]...), name)
			return s.instances[name]
		}
	}
	if len(s.order) == maxInstances {
		for _, t := range s.instances[s.order[0]].tokens {
			s.ended.Add(t)
		}
		delete(s.instances, s.order[0])
		maps.DeleteFunc(s.last, func(_, at string) bool { return at == s.order[0] })
		s.order = s.order[1:]
	}
	i := &instance{tokens: map[string]*Token{}}
	s.instances[name], s.order = i, append(s.order, name)
	return i
}

// AddTo adds all that is known.
func (s *Source) AddTo(all Uses) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.ended {
		all.Add(t)
	}
	for _, i := range s.instances {
		for _, t := range i.tokens {
			all.Add(t)
		}
	}
}

// Token returns how a token was used, or nil.
func (s *Source) Token(name string) *Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := Uses{}
	if t := s.ended[name]; t != nil {
		one.Add(t)
	}
	for _, i := range s.instances {
		if t := i.tokens[name]; t != nil {
			one.Add(t)
		}
	}
	return one[name]
}
