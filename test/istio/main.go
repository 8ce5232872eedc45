// Command istio-envoy prints the Envoy that Istio makes of its objects: it runs istiod's
// own generator of listeners, routes and clusters for one gateway, and writes what comes
// out as a static configuration. What only Istio's build of Envoy knows is left out, and
// named on stderr.
//
//	istio-envoy -mesh values.yaml -gateway api -admin 127.0.0.1:9901 objects.yaml...
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/model"
	istiocore "istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/test"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// version is the Istio whose generator this is.
const version = "1.31.0"

func main() {
	values := flag.String("mesh", "", "file of Helm values with meshConfig")
	gateway := flag.String("gateway", "api", "name of the Gateway of the proxy")
	namespace := flag.String("namespace", "default", "its namespace")
	admin := flag.String("admin", "127.0.0.1:9901", "address of Envoy's admin listener")
	flag.Parse()
	if err := run(*values, *gateway, *namespace, *admin, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(values, gateway, namespace, admin string, files []string) error {
	config, err := meshConfig(values)
	if err != nil {
		return err
	}
	var objects bytes.Buffer
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		objects.WriteString("---\n")
		objects.Write(data)
	}
	var b *bootstrap.Bootstrap
	if err := test.Wrap(func(t test.Failer) {
		g := istiocore.NewConfigGenTest(t, istiocore.TestOptions{ConfigString: objects.String(), MeshConfig: config})
		g.PushContext().GatewayAPIController = noPools{}
		proxy := g.SetupProxy(&model.Proxy{
			Type: model.Router, ConfigNamespace: namespace,
			Labels: map[string]string{"gateway.networking.k8s.io/gateway-name": gateway},
			Metadata: &model.NodeMetadata{
				Namespace: namespace, IstioVersion: version,
				Labels:      map[string]string{"gateway.networking.k8s.io/gateway-name": gateway},
				ProxyConfig: (*model.NodeMetaProxyConfig)(config.DefaultConfig),
			},
		})
		listeners := g.Listeners(proxy)
		b = &bootstrap.Bootstrap{StaticResources: &bootstrap.Bootstrap_StaticResources{
			Listeners: listeners, Clusters: boot(g.Clusters(proxy)),
		}}
		inline(t, listeners, g.RoutesFromListeners(proxy, listeners))
	}); err != nil {
		return err
	}
	return write(b, admin)
}

// noPools stands for the controller of Gateway API objects, which is asked for inference
// pools of a gateway.
type noPools struct{ model.GatewayController }

func (noPools) HasInferencePool(types.NamespacedName) bool { return false }

// meshConfig reads what istiod's chart would hand to istiod.
func meshConfig(name string) (*meshconfig.MeshConfig, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var values struct {
		MeshConfig json.RawMessage `json:"meshConfig"`
	}
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		return nil, err
	}
	return mesh.ApplyMeshConfigDefaults(string(values.MeshConfig))
}

// boot keeps the clusters that need no control plane.
func boot(all []*cluster.Cluster) (list []*cluster.Cluster) {
	for _, c := range all {
		if c.GetType() != cluster.Cluster_EDS {
			list = append(list, c)
		}
	}
	return list
}

// inline puts the routes into the listeners, and takes out the filters that only Istio's
// build of Envoy knows.
func inline(t test.Failer, listeners []*listener.Listener, routes []*route.RouteConfiguration) {
	byName := map[string]*route.RouteConfiguration{}
	for _, r := range routes {
		byName[r.Name] = r
	}
	for _, l := range listeners {
		l.AccessLog = nil
		for _, chain := range l.FilterChains {
			for _, f := range chain.Filters {
				h := &hcm.HttpConnectionManager{}
				if f.GetTypedConfig().UnmarshalTo(h) != nil {
					continue
				}
				if name := h.GetRds().GetRouteConfigName(); name != "" {
					if byName[name] == nil {
						t.Fatalf("no route configuration %s", name)
					}
					h.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: byName[name]}
				}
				var kept []*hcm.HttpFilter
				for _, filter := range h.HttpFilters {
					if url := filter.GetTypedConfig().GetTypeUrl(); strings.Contains(url, "/istio.") || strings.Contains(url, "/udpa.") {
						fmt.Fprintf(os.Stderr, "left out: %s (%s)\n", filter.Name, url)
						continue
					}
					kept = append(kept, filter)
				}
				h.HttpFilters, h.Tracing = kept, nil
				packed, err := anypb.New(h)
				if err != nil {
					t.Fatal(err)
				}
				f.ConfigType = &listener.Filter_TypedConfig{TypedConfig: packed}
			}
		}
	}
}

// write prints a bootstrap with what Istio's own has: the runtime that lets expressions
// be long, and an admin listener.
func write(b *bootstrap.Bootstrap, admin string) error {
	host, port, err := net.SplitHostPort(admin)
	if err != nil {
		return err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	layer, err := structpb.NewStruct(map[string]any{"re2.max_program_size.error_level": 32768})
	if err != nil {
		return err
	}
	b.LayeredRuntime = &bootstrap.LayeredRuntime{Layers: []*bootstrap.RuntimeLayer{{
		Name: "static", LayerSpecifier: &bootstrap.RuntimeLayer_StaticLayer{StaticLayer: layer},
	}}}
	b.Node = &core.Node{Id: "gateway", Cluster: "gateway"}
	b.Admin = &bootstrap.Admin{Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(number)},
	}}}}
	if len(b.StaticResources.Listeners) == 0 {
		return errors.New("no listener came out: is there a Gateway for the proxy?")
	}
	out, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true}.Marshal(b)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(out, '\n'))
	return err
}
