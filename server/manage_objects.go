package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/loader/kube"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/usage"
)

// managedObjects are the objects of a namespace whose tokens are managed. To the management their names have no
// namespace; to servers, and in the audit, they have.
type managedObjects struct {
	*kube.Store
	home    string
	cluster *cluster      // of the server in this process; nil: there is none
	index   *policy.Index // its
}

// managesFiles reports whether tokens are managed in a directory of the manifests, although objects are followed too.
func (o *Options) managesFiles() bool {
	return o.Manage.Into != "" && slices.ContainsFunc(dir.Paths(o.Manifests), func(root string) bool { return dir.Within(root, o.Manage.Into) })
}

// managedNamespace sets the namespace of the tokens that are managed, where the options do not name it.
func (o *Options) managedNamespace(alone bool) error {
	m, k := o.Manage, o.Kubernetes
	refuse := func(format string, args ...any) error {
		return &UsageError{m.Flags + "into: " + fmt.Sprintf(format, args...)}
	}
	if m.Into == "" && len(k.Namespaces) == 1 {
		m.Into = k.Namespaces[0]
	}
	switch {
	case m.Into == "" && !alone:
		return refuse("missing, expected the namespace of the tokens that are managed")
	case m.Into == "":
		m.Into = kube.OwnNamespace(k.Kubeconfig)
	}
	switch {
	case slices.Contains(k.Namespaces, m.Into):
	case !alone && len(k.Namespaces) > 0:
		return refuse("%s is not among the namespaces that are followed (%s), expected one of them: the new tokens would not be served", m.Into, strings.Join(k.Namespaces, ", "))
	case alone:
		k.Namespaces = append(slices.Clone(k.Namespaces), m.Into)
	}
	return nil
}

// newManagedObjects returns the objects whose tokens are managed.
func newManagedObjects(o *Options, serving *cluster, index *policy.Index) (*managedObjects, error) {
	if err := o.managedNamespace(serving == nil); err != nil {
		return nil, err
	}
	store, err := kube.NewStore(kube.Options{
		Kubeconfig: o.Kubernetes.Kubeconfig, Namespaces: o.Kubernetes.Namespaces, Home: o.Manage.Into, Now: o.Now, Logger: o.Logger.With("for", "management"),
	})
	if err != nil {
		return nil, &UsageError{o.Manage.Flags + "into: " + err.Error()}
	}
	return &managedObjects{store, o.Manage.Into, serving, index}, nil
}

// listed waits until the objects are known, and reports whether they are.
func (m *managedObjects) listed(ctx context.Context) bool {
	if m == nil {
		return true
	}
	select {
	case <-m.Up():
		return true
	case <-ctx.Done():
		return false
	}
}

// qualified is a name as servers have it.
func (m *managedObjects) qualified(name string) string {
	if name == "" || strings.Contains(name, "/") {
		return name
	}
	return m.home + "/" + name
}

// seen is a name as the management has it.
func (m *managedObjects) seen(name string) string { return strings.TrimPrefix(name, m.home+"/") }

// qualify changes the options so that servers are called with the names that they use.
func (m *managedObjects) qualify(o *admin.Options) {
	if used := o.Usage; used != nil {
		o.Usage = func(name string) *admin.Used {
			u := used(m.qualified(name))
			if u != nil {
				u.Gate = m.seen(u.Gate)
			}
			return u
		}
	}
	if rules := o.Rules; rules != nil {
		o.Rules = func(name string) usage.Token {
			t := rules(m.qualified(name))
			t.Rules = slices.Clone(t.Rules)
			for i := range t.Rules {
				t.Rules[i].Policy = m.seen(t.Rules[i].Policy)
			}
			return t
		}
	}
	o.TokenName = m.seen
	if recent := o.Recent; recent != nil {
		o.Recent = func(name string) []admin.Call {
			calls := slices.Clone(recent(m.qualified(name)))
			for i := range calls {
				calls[i].Gate = m.seen(calls[i].Gate)
			}
			return calls
		}
	}
}

// qualifiedEvents writes events with the names that servers have.
type qualifiedEvents struct {
	admin.Recorder
	of *managedObjects
}

// Record implements admin.Recorder.
func (q qualifiedEvents) Record(ctx context.Context, e *audit.Event) error {
	e.Token, e.Gate = q.of.qualified(e.Token), q.of.qualified(e.Gate)
	return q.Recorder.Record(ctx, e)
}

// inForce returns a function that waits until a change runs: in this process, and at the servers whose status ports
// are named.
func (m *managedObjects) inForce(servers *servers, within time.Duration) func(admin.Change) bool {
	return func(c admin.Change) bool {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		version := m.Written()
		if !m.Follows(ctx, m.home, version) || !accepted(m.Snapshot(), c.Token) {
			return false
		}
		if m.cluster != nil && (!m.cluster.Follows(ctx, m.home, version) || !accepted(m.index.Snapshot(), m.qualified(c.Token))) {
			return false
		}
		return servers.follow(ctx, func(got *revisionStatus) bool { return kube.Reaches(got.Objects, m.home, version) })
	}
}

func accepted(s *policy.Snapshot, name string) bool {
	row := s.TokenByName(name)
	return row != nil && !row.NotAccepted
}
