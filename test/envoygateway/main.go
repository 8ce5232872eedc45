// Command envoy-gateway-xds prints what Envoy Gateway would send to Envoy for the objects
// of a file: it runs Envoy Gateway's own translators, from objects to its inner form and
// from there to Envoy's resources. It prints a JSON object of lists, by the resources'
// type; a translator's complaints about the objects go to stderr.
//
// `egctl experimental translate` does the same and brings a thousand packages more. The
// translators are internal to Envoy Gateway's module: that is why this one's path begins
// with its.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	gwapiv1 "sigs.k8s.io/gateway-api/apis/v1"

	egv1a1 "github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/envoyproxy/gateway/internal/gatewayapi"
	"github.com/envoyproxy/gateway/internal/gatewayapi/resource"
	"github.com/envoyproxy/gateway/internal/logging"
	"github.com/envoyproxy/gateway/internal/xds/translator"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: envoy-gateway-xds FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	resources, err := resource.LoadResourcesFromYAMLBytes(data, false, nil)
	if err != nil {
		return err
	}
	if resources.GatewayClass == nil {
		return errors.New("no GatewayClass, expected one")
	}
	logger := logging.DefaultLogger(io.Discard, egv1a1.LogLevelInfo)
	toIR := &gatewayapi.Translator{
		GatewayControllerName:   string(resources.GatewayClass.Spec.ControllerName),
		GatewayClassName:        gwapiv1.ObjectName(resources.GatewayClass.Name),
		EndpointRoutingDisabled: true, // Services stand for their endpoints, of which there are none here
		EnvoyPatchPolicyEnabled: true,
		Logger:                  logger,
	}
	inner, err := toIR.Translate(context.Background(), resources)
	if err != nil {
		// Such as the certificate of a controller that is not there: egctl goes on, too.
		fmt.Fprintln(os.Stderr, err)
	}
	out := map[string][]json.RawMessage{}
	for name, ir := range inner.XdsIR {
		toXDS := &translator.Translator{Logger: logger}
		table, err := toXDS.Translate(context.Background(), ir)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for kind, list := range table.XdsResources {
			for _, r := range list {
				text, err := protojson.Marshal(r)
				if err != nil {
					return err
				}
				out[kind] = append(out[kind], text)
			}
		}
		for _, status := range table.EnvoyPatchPolicyStatuses {
			text, err := json.Marshal(status)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "EnvoyPatchPolicy: %s\n", text)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
