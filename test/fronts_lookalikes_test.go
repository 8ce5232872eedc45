//go:build fronts

package test

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patgate/patgate/test/upstreams/lookalikes"
)

// The look-alikes that each front gets: the same in every run.
const (
	frontRequests = 2400
	frontSeed     = 15
)

// TestFrontsLookAlikes sends the look-alikes of test-upstreams through each front to an API that says what it
// read: that satisfies the rule that allowed the request.
func TestFrontsLookAlikes(t *testing.T) {
	for _, f := range fronts() {
		t.Run(f.name, func(t *testing.T) { f.lookAlikes(t) })
	}
}

// TestFrontsLookAlikesTLS does so over TLS, as HTTP/2 where a look-alike is to be sent so, through fronts that ask over mTLS.
func TestFrontsLookAlikesTLS(t *testing.T) {
	for _, f := range secureFronts() {
		t.Run(f.name, func(t *testing.T) { f.lookAlikes(t) })
	}
}

func (f front) lookAlikes(t *testing.T) {
	suite := lookalikes.New(lookalikes.Profile{
		FormBodies: "merged", AllowEncoded: []string{"%2F", "%25", "%23", "%3F", "%3B", ";"}, KeepsEncoded: true, FoldsJSON: true,
	})
	api := httptest.NewServer(goAPI())
	defer api.Close()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), suite.Manifests())
	s := f.stand(t, dir, strings.TrimPrefix(api.URL, "http://"), false)
	reached, ordinary, silences := 0, 0, 0
	for _, q := range suite.Requests(frontSeed, frontRequests) {
		dial := s.dial("")
		switch {
		case !f.secure:
			q.HTTP2 = false
		case q.HTTP2:
			q.HTTPS, dial = true, s.dialTLS("", "h2")
		default:
			q.HTTPS, dial = true, s.dialTLS("", "http/1.1")
		}
		answer, err := q.SendOver(dial)
		if err != nil {
			silences++
			continue
		}
		got, broken := suite.Check(&q, answer)
		for _, text := range broken {
			t.Errorf("%s: %s", &q, text)
		}
		if got {
			reached++
		}
		if q.Kind == "ordinary" && got {
			ordinary++
		}
	}
	t.Logf("%d requests, %d reached the API, %d of them ordinary, %d without an answer", frontRequests, reached, ordinary, silences)
	if reached < 150 || ordinary < 5 || silences > 4 {
		t.Errorf("%d reached the API, %d of them ordinary, %d had no answer", reached, ordinary, silences)
	}
	s.holdsNo(suite.Secrets())
}
