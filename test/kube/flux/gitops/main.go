// Command gitops does to a cluster's objects what Flux's kustomize-controller does, with Flux's own package for it: server-side apply
// with its field manager, the search for drift, pruning, and the wait for health by kstatus. It also asks a health check of
// Argo CD, in Lua, about the objects, with the interpreter that Argo CD has.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	ssautils "github.com/fluxcd/pkg/ssa/utils"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the cluster")
	timeout := flag.Duration("timeout", 30*time.Second, "of wait")
	script := flag.String("script", "", "the ConfigMap of Argo CD with the health check")
	flag.Parse()
	if err := run(flag.Arg(0), *kubeconfig, *script, *timeout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run reads objects from stdin, and does something with them.
func run(what, kubeconfig, script string, timeout time.Duration) error {
	objects, err := ssautils.ReadObjects(os.Stdin)
	if err != nil {
		return err
	}
	m, c, err := manager(kubeconfig)
	if err != nil {
		return err
	}
	ctx := context.Background()
	switch what {
	case "apply":
		set, err := m.ApplyAll(ctx, objects, ssa.DefaultApplyOptions())
		return printed(set, err)
	case "drift":
		return drift(ctx, m, objects)
	case "prune":
		set, err := m.DeleteAll(ctx, objects, ssa.DefaultDeleteOptions())
		return printed(set, err)
	case "wait":
		return m.Wait(objects, ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: timeout})
	case "status", "argocd":
		return each(ctx, c, objects, func(o *unstructured.Unstructured) (string, error) {
			if what == "argocd" {
				return luaHealth(script, o)
			}
			r, err := status.Compute(o)
			if err != nil {
				return "", err
			}
			return string(r.Status) + " " + r.Message, nil
		})
	}
	return errors.New("expected apply, drift, prune, wait, status or argocd")
}

func manager(kubeconfig string) (*ssa.ResourceManager, client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	config.QPS, config.Burst = 100, 200
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		return nil, nil, err
	}
	c, err := client.New(config, client.Options{Mapper: mapper})
	if err != nil {
		return nil, nil, err
	}
	owner := ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}
	return ssa.NewResourceManager(c, polling.NewStatusPoller(c, mapper, polling.Options{}), owner), c, nil
}

func printed(set *ssa.ChangeSet, err error) error {
	if err != nil {
		return err
	}
	for _, e := range set.Entries {
		fmt.Println(e.Subject, e.Action)
	}
	return nil
}

// drift prints what Flux would do to each object, and fails if that is anything.
func drift(ctx context.Context, m *ssa.ResourceManager, objects []*unstructured.Unstructured) error {
	drifted := false
	for _, o := range objects {
		e, _, _, err := m.Diff(ctx, o, ssa.DefaultDiffOptions())
		if err != nil {
			return err
		}
		fmt.Println(e.Subject, e.Action)
		drifted = drifted || e.Action != ssa.UnchangedAction
	}
	if drifted {
		return errors.New("there is drift")
	}
	return nil
}

// each prints what is found of each object as the cluster has it.
func each(ctx context.Context, c client.Client, objects []*unstructured.Unstructured, of func(*unstructured.Unstructured) (string, error)) error {
	for _, o := range objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(o.GroupVersionKind())
		if err := c.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
			return err
		}
		text, err := of(live)
		if err != nil {
			return err
		}
		fmt.Printf("%s/%s %s\n", o.GetKind(), o.GetName(), text)
	}
	return nil
}

// healthCheck takes the script out of Argo CD's ConfigMap.
func healthCheck(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var config struct{ Data map[string]string }
	if err := yaml.Unmarshal(text, &config); err != nil {
		return "", err
	}
	checks := map[string]map[string]string{}
	err = yaml.UnmarshalStrict([]byte(config.Data["resource.customizations"]), &checks)
	return checks["patgate.dev/*"]["health.lua"], err
}

// luaHealth runs a health check as Argo CD does: obj is the object, and a table with status and message is returned.
func luaHealth(file string, o *unstructured.Unstructured) (string, error) {
	script, err := healthCheck(file)
	if err != nil {
		return "", err
	}
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} { // as Argo CD does
		l.Push(l.NewFunction(open))
		l.Push(lua.LString(name))
		l.Call(1, 0)
	}
	l.SetGlobal("obj", toLua(l, o.Object))
	if err := l.DoString(script); err != nil {
		return "", err
	}
	found, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		return "", fmt.Errorf("the check returns %s", l.Get(-1).Type())
	}
	return strings.TrimSpace(found.RawGetString("status").String() + " " + found.RawGetString("message").String()), nil
}

func toLua(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case map[string]any:
		t := l.NewTable()
		for key, value := range v {
			t.RawSetString(key, toLua(l, value))
		}
		return t
	case []any:
		t := l.NewTable()
		for _, value := range v {
			t.Append(toLua(l, value))
		}
		return t
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case nil:
		return lua.LNil
	}
	n, _ := strconv.ParseFloat(fmt.Sprint(v), 64) // all else is a number
	return lua.LNumber(n)
}
