package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/patgate/patgate/server"
)

// TestOptionsAreFlags checks that every option that an error of server may name exists, with its flag.
func TestOptionsAreFlags(t *testing.T) {
	flags := newServe(streams{}).Flags()
	for option, flag := range serveFlags {
		if _, is := reflect.TypeFor[server.Options]().FieldByName(option); !is {
			t.Errorf("server.Options has no %s", option)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), " ")
		if flags.Lookup(name) == nil {
			t.Errorf("serve has no flag %s", flag)
		}
	}
	err := namingFlags(&server.ListenError{Option: "StatusListen", Address: "127.0.0.1:1", Err: errors.New("address in use")})
	var listen *server.ListenError
	if err.Error() != "--status-listen 127.0.0.1:1: address in use" || !errors.As(err, &listen) {
		t.Error(err)
	}
}
