//go:build kube

package kube

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestObjectsPage runs the commands of the page about objects, with a patgate and a controller that have the rights of the
// chart's service accounts, and a real Envoy: the token of the Secret passes, and is refused once it is revoked.
func TestObjectsPage(t *testing.T) {
	ns := newNamespace(t)
	typist := newTypist(t, ns)
	t.Cleanup(func() { ns.kubectl("delete", "validatingadmissionpolicybindings,validatingadmissionpolicies", "--all") })
	value := ""
	var f *follower
	ask := func() int {
		r, err := http.NewRequest(http.MethodGet, f.url+"/rest/api/2/issue/JRA-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("alice", value)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for _, command := range documented(t, "../../docs/objects.md") {
		if strings.HasPrefix(command, "kubectl patch pat ") {
			f.until("the token passes", func() bool { return ask() == 200 })
		}
		switch out := typist.types(command); {
		case strings.HasPrefix(command, "kubectl get secret "):
			value = strings.TrimSpace(out)
		case strings.HasPrefix(command, "kubectl rollout status deployment/patgate "):
			f = followAs(ns, strings.TrimSpace(ns.kubectl("create", "token", "patgate")), ns.c.url, "--namespace", ns.name).ready()
			c := control(ns, kubeconfigOf(ns, strings.TrimSpace(ns.kubectl("create", "token", "patgate-controller")), ns.c.url, t.TempDir()), []*follower{f}, "--namespace", ns.name)
			ns.until(30*time.Second, "the controller writes", c.writes)
		case strings.HasPrefix(command, "kubectl get pat "):
			containsAll(t, command, out, "ci-bot", "alice", "active")
		}
	}
	f.until("the revoked token is refused", func() bool { return ask() == 401 })
	if typist.ran != 12 {
		t.Errorf("%d commands were run", typist.ran)
	}
}
