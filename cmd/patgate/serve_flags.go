package main

import (
	"errors"
	"regexp"

	"github.com/patgate/patgate/server"
)

// serveFlags are the flags of serve, by the options that errors of server name.
var serveFlags = map[string]string{
	"Manifests": "--manifests DIR", "Listen": "--listen", "HTTPListen": "--http-listen", "HTTPFront": "--http-front", "InsecureListen": "--insecure-listen", "StatusListen": "--status-listen",
	"TLSCert": "--tls-cert", "TLSKey": "--tls-key", "TLSClientCA": "--tls-client-ca", "TLSClientNames": "--tls-client-name",
	"MaxStale": "--max-stale", "StaleDeny": "--stale-action", "Kubernetes": "--kubernetes", "IsolateTokens": "--isolate-tokens",
	"AuditWait": "--audit-wait", "DrainDelay": "--drain-delay", "DrainGrace": "--drain-grace", "MaxBody": "--max-body-bytes", "MaxInFlight": "--max-in-flight", "MaxManifests": "--manifests-max-bytes",
	"MaxHeader": "--max-header-bytes", "MaxReceive": "--max-receive-bytes", "Transport": "--transport",
}

var optionName = regexp.MustCompile(`\b[A-Z][A-Za-z]+\b`)

// serveError is an error of server whose message names flags instead of options.
type serveError struct {
	error
	message string
}

func (e *serveError) Error() string { return e.message }

func (e *serveError) Unwrap() error { return e.error }

// namingFlags writes the flags of serve in the place of the options that an error names.
func namingFlags(err error) error {
	var usage *server.UsageError
	var listen *server.ListenError
	if !errors.As(err, &usage) && !errors.As(err, &listen) {
		return err
	}
	return &serveError{err, optionName.ReplaceAllStringFunc(err.Error(), func(name string) string {
		if flag, known := serveFlags[name]; known {
			return flag
		}
		return name
	})}
}
