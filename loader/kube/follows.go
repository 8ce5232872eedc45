package kube

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/patgate/patgate/manifest"
)

// signal wakes those who wait for news. The zero value is ready.
type signal struct {
	mu   sync.Mutex
	news chan struct{} // closed by the next news; nil: no one waits
}

// next returns what the next news closes.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.news == nil {
		s.news = make(chan struct{})
	}
	return s.news
}

func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.news != nil {
		close(s.news)
		s.news = nil
	}
}

// await waits for news until a condition holds, and reports whether it does.
func (s *signal) await(ctx context.Context, holds func() bool) bool {
	for {
		news := s.next()
		if holds() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-news:
		}
	}
}

// Follows waits until the tokens of a namespace run up to a version, and reports whether they do.
func (s *Source) Follows(ctx context.Context, namespace, version string) bool {
	return s.published.await(ctx, func() bool { return Reaches(s.Running(), namespace, version) })
}

// Reaches reports whether the tokens of a namespace run up to a version.
func Reaches(running []Running, namespace, version string) bool {
	for _, r := range running {
		if r.Kind != manifest.KindAPIToken || r.Namespace != namespace && r.Namespace != "" {
			continue
		}
		if order, err := resourceversion.CompareResourceVersion(r.ResourceVersion, version); err == nil && order >= 0 {
			return true
		}
	}
	return false
}
